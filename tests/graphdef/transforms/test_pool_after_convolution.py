from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.transforms.pool_after_convolution import pool_after_convolution
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run

X = np.random.default_rng(1).normal(0, 1, (2, 7, 5, 20)).astype(np.float32)
ONES = [1, 1, 1, 1]


def branch(
    pool: str = "AvgPool",
    stride: int = 1,
    kernel: tuple[int, ...] = (1, 1, 20, 6),
    bias: bool = True,
    padding: str = "SAME",
) -> Any:
    graph_def, rng = empty_graph(21), np.random.default_rng(2)
    shape = tf.TensorShape([None, 7, 5, 20])
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=shape)
    said = {"T": tf.float32, "padding": padding}
    add(graph_def, "pool", pool, ["x"], ksize=[1, 3, 3, 1], strides=ONES, **said)
    add_constant(graph_def, "kernel", rng.normal(0, 0.5, kernel).astype(np.float32))
    strides = [1, stride, stride, 1]
    add(graph_def, "c", "Conv2D", ["pool", "kernel"], strides=strides, **said)
    if bias:
        add_constant(graph_def, "b", rng.normal(0, 0.5, kernel[3]).astype(np.float32))
        add(graph_def, "biased", "BiasAdd", ["c", "b"], T=tf.float32)
    add(graph_def, "out", "Relu", ["biased" if bias else "c"], T=tf.float32)
    return graph_def


def moved(graph_def: Any, keep: tuple[str, ...] = ("out",)) -> Any:
    light, weights = pool_after_convolution(light_copy(graph_def), large_constants(graph_def), keep)
    with tf.Graph().as_default() as graph:
        import_light(light, {name: tf.constant(value) for name, value in weights.items()})
    with tf.compat.v1.Session(graph=graph) as session:
        value = session.run("out:0", {"x:0": X})
    return {node.name: list(node.input) for node in light.node}, value


@pytest.mark.parametrize("bias", [True, False])
def test_the_pooling_is_behind_the_convolution_with_the_same_values(bias: bool) -> None:
    graph_def = branch(bias=bias)
    inputs, value = moved(graph_def)
    assert inputs["c"] == ["x", "kernel"]
    assert inputs["pool"] == ["biased" if bias else "c"]
    assert inputs["out"] == ["pool"]
    np.testing.assert_allclose(value, run(graph_def, "out:0", {"x:0": X}), rtol=0, atol=1e-5)


def shared() -> Any:
    graph_def = branch()
    add(graph_def, "other", "Relu", ["pool"], T=tf.float32)
    return graph_def


@pytest.mark.parametrize(
    ("make", "keep"),
    [
        (lambda: branch("MaxPool"), ()),
        (lambda: branch(stride=2), ()),
        (lambda: branch(padding="VALID"), ()),
        (lambda: branch(kernel=(1, 1, 20, 20)), ()),
        (lambda: branch(kernel=(3, 3, 20, 6)), ()),
        (shared, ("other",)),
        (branch, ("pool",)),
        (branch, ("biased",)),
        (lambda: branch(bias=False), ("c",)),
    ],
)
def test_it_stays_where_that_would_change_values_or_save_nothing(make: Any, keep: Any) -> None:
    graph_def = make()
    inputs, _ = moved(graph_def, ("out", *keep))
    assert inputs["c"][0] == "pool"
    assert inputs["pool"] == ["x"]


def test_a_kept_convolution_moves_nothing_but_a_kept_bias_neither() -> None:
    inputs, _ = moved(branch(), ("out", "c"))
    assert inputs["pool"] == ["x"]
