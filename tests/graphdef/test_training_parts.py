"""Parts of training graphs, made by TensorFlow step by step: each step's nodes have its part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from retrain_tools.graphdef.training_parts import training_parts
from retrain_tools.graphdef.view import view_of
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.readers.graph_def import read_graph_def
from tests.graphdef.tiny_graphs import MOBILENET, MOBILENET_RETRAINED, NEAR_REAL, own, real

v1 = tf.compat.v1


class Steps:
    """A graph under construction, and which of its nodes each step of it has added."""

    def __init__(self) -> None:
        self.graph = tf.Graph()
        self.added: dict[str, set[str]] = {}

    def step(self, name: str, make: Callable[[], Any]) -> Any:
        before = {op.name for op in self.graph.get_operations()}
        with self.graph.as_default():
            made = make()
        self.added[name] = {op.name for op in self.graph.get_operations()} - before
        return made

    def parts(self) -> dict[str, str]:
        return dict(training_parts(own(self.graph.as_graph_def())))

    def found(self, step: str, parts: dict[str, str]) -> dict[str | None, set[str]]:
        """The nodes that a step has added by their part, without constants that nothing takes."""
        used = {i.op.name for op in self.graph.get_operations() for i in op.inputs}
        found: dict[str | None, set[str]] = {}
        for name in self.added[step]:
            if self.graph.get_operation_by_name(name).type != "Const" or name in used:
                found.setdefault(parts.get(name), set()).add(name)
        return found


def dense(x: Any, size: int, use_resource: bool, activation: Any = None) -> Any:
    with v1.variable_scope(None, "dense"):
        kernel = v1.get_variable("kernel", [x.shape[-1], size], use_resource=use_resource)
        bias = v1.get_variable(
            "bias", [size], initializer=v1.zeros_initializer(), use_resource=use_resource
        )
    y = tf.nn.bias_add(tf.matmul(x, kernel), bias)
    return y if activation is None else activation(y)


def assert_network(steps: Steps, parts: dict[str, str], step: str = "network") -> None:
    """All of the network is network, but for its variables' first values and reads to save them."""
    found = steps.found(step, parts)
    operations = {n: steps.graph.get_operation_by_name(n).type for n in steps.added[step]}
    for name in found.pop("initialising", ()):
        assert "Initializer" in name or operations[name] in (
            "Assign",
            "AssignVariableOp",
            "VarIsInitializedOp",
        )
    assert {operations[name] for name in found.pop("saving", ())} <= {"ReadVariableOp"}
    assert set(found) == {None}


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: v1.train.GradientDescentOptimizer(0.1),
        lambda: v1.train.AdamOptimizer(),
        lambda: v1.train.MomentumOptimizer(v1.placeholder(tf.float32, [], "rate"), 0.9),
        lambda: v1.train.RMSPropOptimizer(
            v1.train.exponential_decay(0.1, v1.train.get_or_create_global_step(), 100, 0.9)
        ),
    ],
    ids=["sgd", "adam", "momentum", "rmsprop"],
)
def test_each_step_of_a_classifiers_training_graph_is_recognised(
    use_resource: bool, optimizer: Callable[[], Any]
) -> None:
    steps = Steps()

    def network() -> Any:
        x = v1.placeholder(tf.float32, [None, 8], "x")
        return dense(dense(x, 6, use_resource, tf.nn.relu), 3, use_resource)

    logits = steps.step("network", network)
    steps.step("result", lambda: tf.nn.softmax(logits, name="scores"))
    labels = steps.step("labels", lambda: v1.placeholder(tf.int64, [None], "labels"))
    loss = steps.step(
        "loss",
        lambda: tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        ),
    )
    right = steps.step("best", lambda: tf.argmax(logits, 1))
    accuracy = steps.step(
        "accuracy", lambda: tf.reduce_mean(tf.cast(tf.equal(right, labels), tf.float32))
    )
    steps.step("optimiser", lambda: optimizer().minimize(loss))
    steps.step(
        "summaries",
        lambda: (
            v1.summary.scalar("loss", loss),
            v1.summary.scalar("accuracy", accuracy),
            v1.summary.histogram("logits", logits),
            [v1.summary.scalar("mean", tf.reduce_mean(v)) for v in v1.trainable_variables()],
            v1.summary.merge_all(),
        ),
    )
    steps.step("init", v1.global_variables_initializer)
    steps.step("saver", lambda: v1.train.Saver())
    parts = steps.parts()
    assert_network(steps, parts)
    assert set(steps.found("result", parts)) == {None}
    assert set(steps.found("best", parts)) == {None}
    for step, part in {"labels": "loss", "loss": "loss", "accuracy": "loss"}.items():
        assert set(steps.found(step, parts)) == {part}
    found = steps.found("optimiser", parts)
    assert set(found) <= {"gradients", "initialising", "saving"}
    assert len(found["gradients"]) > 20
    summaries = steps.found("summaries", parts)
    assert set(summaries) == {"summaries"} or (
        use_resource and summaries[None] == {n for n in summaries[None] if "Read" in n}
    )
    assert set(steps.found("init", parts)) == {"initialising"}
    assert set(steps.found("saver", parts)) == {"saving"}


@pytest.mark.parametrize(
    "make_loss",
    [
        lambda y, x: tf.sqrt(tf.reduce_mean(tf.square(y - x))),
        lambda y, x: tf.reduce_sum(tf.abs(y - x)),
        lambda y, x: tf.nn.l2_loss(y - x),
        lambda y, x: tf.reduce_mean(tf.maximum(y - x, 0) ** 3),
    ],
    ids=["root", "abs", "l2", "hinge"],
)
@pytest.mark.parametrize("is_written", [False, True])
def test_a_network_that_only_its_training_uses_stays_a_network(
    make_loss: Callable[[Any, Any], Any], is_written: bool
) -> None:
    """An autoencoder: nothing takes its result but the loss; its images are written."""
    steps = Steps()
    x = steps.step("input", lambda: v1.placeholder(tf.float32, [None, 8], "x"))
    y = steps.step("network", lambda: dense(dense(x, 3, False, tf.tanh), 8, False, tf.sigmoid))
    loss = steps.step("loss", lambda: make_loss(y, x))
    steps.step("optimiser", lambda: v1.train.AdamOptimizer().minimize(loss))
    if is_written:
        image = steps.step(
            "summaries",
            lambda: (
                v1.summary.image("x", tf.reshape(x, [-1, 2, 4, 1])),
                v1.summary.scalar("loss", loss),
            ),
        )
        assert image is not None
    parts = steps.parts()
    assert set(steps.found("input", parts)) == {None}
    assert_network(steps, parts)
    assert y.op.name not in parts
    assert set(steps.found("optimiser", parts)) <= {"gradients", "initialising"}
    assert set(steps.found("loss", parts)) <= {None, "loss"}


@pytest.mark.parametrize("name", [NEAR_REAL, MOBILENET, MOBILENET_RETRAINED])
def test_a_frozen_network_has_no_such_parts(name: str) -> None:
    assert training_parts(read_graph_def(real(name))) == {}


def test_parts_are_worked_out_once_for_a_view() -> None:
    steps = Steps()
    steps.step("network", lambda: tf.nn.relu(v1.placeholder(tf.float32, [2], "x")))
    view = view_of(own(steps.graph.as_graph_def()))
    assert training_parts(view) is training_parts(view)
