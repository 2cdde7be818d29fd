"""Parts of other training graphs: batch norm, averages, loops, queues, datasets, checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from retrain_tools.graphdef.tensors import graph_inputs, graph_outputs, list_tensors
from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.test_training_parts import Steps, assert_network, dense
from tests.graphdef.tiny_graphs import own

v1 = tf.compat.v1


@pytest.fixture
def old_control_flow() -> Iterator[None]:
    """Loops and conditionals of TensorFlow 1: Switch, Merge, Enter and Exit."""
    v1.disable_control_flow_v2()
    yield
    v1.enable_control_flow_v2()


def ends(steps: Steps) -> tuple[list[str], list[str]]:
    graph_def = own(steps.graph.as_graph_def())
    tensors = list_tensors(graph_def)
    inputs, outputs = graph_inputs(graph_def, tensors), graph_outputs(graph_def, tensors)
    return [t.name for t in inputs], [t.name for t in outputs]


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.usefixtures("old_control_flow")
def test_batch_norm_averages_and_clipped_gradients(use_resource: bool) -> None:
    """As slim trains: the loss is all that looks at the logits; a barrier passes the loss on."""
    steps = Steps()
    steps.step("step", v1.train.get_or_create_global_step)

    def variable(name: str, shape: list[int], trainable: bool = True) -> Any:
        return v1.get_variable(name, shape, trainable=trainable, use_resource=use_resource)

    def network() -> tuple[Any, Any, Any]:
        x = v1.placeholder(tf.float32, [None, 16, 16, 3], "x")
        y = tf.nn.conv2d(x, variable("kernel", [3, 3, 3, 4]), 1, "SAME")
        y, mean, spread = v1.nn.fused_batch_norm(y, variable("gamma", [4]), variable("beta", [4]))
        y = tf.reduce_mean(tf.nn.max_pool2d(tf.nn.relu(y), 2, 2, "SAME"), [1, 2])
        return tf.matmul(y, variable("weights", [4, 5])), mean, spread

    logits, *moments = steps.step("network", network)

    def follow() -> list[Any]:
        averages = [variable(name, [4], False) for name in ("moving_mean", "moving_variance")]
        pairs = zip(averages, moments, strict=True)
        return [v1.assign_sub(average, (average - value) * 0.1) for average, value in pairs]

    updates = steps.step("updates", follow)
    labels = steps.step("labels", lambda: tf.one_hot(v1.placeholder(tf.int32, [None]), 5))
    loss = steps.step(
        "loss",
        lambda: (
            v1.losses.softmax_cross_entropy(labels, logits)
            + v1.add_n([0.1 * tf.nn.l2_loss(v) for v in v1.trainable_variables()])
        ),
    )

    def train() -> Any:
        optimizer = v1.train.AdamOptimizer()
        pairs = optimizer.compute_gradients(loss)
        clipped, _ = tf.clip_by_global_norm([gradient for gradient, _ in pairs], 1.0)
        done = optimizer.apply_gradients(
            [(g, v) for g, (_, v) in zip(clipped, pairs, strict=True)], v1.train.get_global_step()
        )
        average = v1.train.ExponentialMovingAverage(0.9, v1.train.get_global_step())
        with tf.control_dependencies([done, *updates]):
            averaged = average.apply(v1.trainable_variables())
        with tf.control_dependencies([averaged]):
            return tf.identity(loss, "train_op")

    steps.step("training", train)
    steps.step("saver", lambda: v1.train.Saver(sharded=True))
    steps.step("init", lambda: [v1.global_variables_initializer(), v1.tables_initializer("no")])
    parts = steps.parts()
    assert_network(steps, parts)
    assert set(steps.found("labels", parts)) == {"loss"}
    assert set(steps.found("loss", parts)) == {"loss"}
    assert set(steps.found("updates", parts)) <= {"gradients", "initialising", "saving"}
    found = steps.found("training", parts)
    # What the way back takes of the loss's own values may be called either.
    assert set(found) <= {"gradients", "initialising", "saving", "loss"}
    assert len(found["gradients"]) > 10 * len(found.get("loss", ()))
    assert set(steps.found("saver", parts)) == {"saving"}
    inputs, outputs = ends(steps)
    assert inputs == ["x:0", "Placeholder:0"]
    assert outputs == [logits.name]


@pytest.mark.usefixtures("old_control_flow")
def test_a_loop_and_its_way_back() -> None:
    steps = Steps()

    def network() -> Any:
        x = v1.placeholder(tf.float32, [None, 7, 3], "x")
        kernel = v1.get_variable("kernel", [7, 4], use_resource=False)
        rows = tf.TensorArray(tf.float32, 7).unstack(tf.transpose(x, [1, 0, 2]))

        def body(i: Any, h: Any) -> tuple[Any, Any]:
            return i + 1, tf.tanh(tf.matmul(tf.concat([rows.read(i), h], 1), kernel))

        start = tf.zeros([tf.shape(x)[0], 4])
        _, h = tf.while_loop(lambda i, _: i < 7, body, [0, start])
        return tf.matmul(h, v1.get_variable("last", [4, 2], use_resource=False))

    logits = steps.step("network", network)
    steps.step("result", lambda: tf.nn.softmax(logits, name="scores"))
    labels = steps.step("labels", lambda: v1.placeholder(tf.float32, [None, 2]))
    loss = steps.step(
        "loss",
        lambda: tf.reduce_mean(
            tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        ),
    )
    steps.step("training", lambda: v1.train.AdagradOptimizer(0.1).minimize(loss))
    parts = steps.parts()
    assert_network(steps, parts)
    assert set(steps.found("result", parts)) == {None}
    assert set(steps.found("loss", parts)) == {"loss"}
    assert set(steps.found("training", parts)) == {"gradients", "initialising"}
    assert "scores:0" in ends(steps)[1]


@pytest.mark.usefixtures("old_control_flow")
def test_a_pipeline_of_queues_and_readers() -> None:
    steps = Steps()

    def pipeline() -> Any:
        names = v1.train.string_input_producer(["a.tfrecord"])
        _, example = v1.TFRecordReader().read(names)
        fields = v1.parse_single_example(
            example,
            {
                "image": tf.io.FixedLenFeature([], tf.string),
                "label": tf.io.FixedLenFeature([], tf.int64),
            },
        )
        pixels = tf.cast(tf.image.decode_jpeg(fields["image"], channels=3), tf.float32)
        pixels = tf.image.resize(tf.image.random_flip_left_right(pixels), [8, 8])
        pixels.set_shape([8, 8, 3])
        return v1.train.shuffle_batch([pixels, fields["label"]], 4, 100, 10)

    images, labels = steps.step("pipeline", pipeline)
    logits = steps.step("network", lambda: dense(tf.reshape(images, [4, 192]), 3, False))
    steps.step("written", lambda: v1.summary.image("images", images))
    loss = steps.step(
        "loss",
        lambda: tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        ),
    )
    steps.step("training", lambda: v1.train.GradientDescentOptimizer(0.1).minimize(loss))
    parts = steps.parts()
    assert_network(steps, parts)
    # How full a queue is, is a summary; a picture's form is asserted.
    found = steps.found("pipeline", parts)
    assert set(found) == {"queues", "summaries", "checks"}
    assert any("decode" in name.lower() for name in found["queues"])
    assert set(steps.found("written", parts)) == {"summaries"}
    assert set(steps.found("training", parts)) == {"gradients"}
    assert ends(steps) == ([], [logits.name])


@pytest.mark.usefixtures("old_control_flow")
def test_a_dataset_and_assertions() -> None:
    steps = Steps()

    def pipeline() -> Any:
        fed = v1.placeholder(tf.float32, [None, 8], "all")
        dataset = tf.data.Dataset.from_tensor_slices(fed).map(lambda x: x * 2).batch(4)
        return v1.data.make_initializable_iterator(dataset).get_next()

    x = steps.step("pipeline", pipeline)
    steps.step("network", lambda: tf.sigmoid(dense(x, 3, True), name="y"))
    steps.step("checks", lambda: [v1.assert_greater(x, 0.0), v1.Assert(tf.reduce_all(x > 0), [x])])
    parts = steps.parts()
    assert set(steps.found("pipeline", parts)) == {"queues"}
    assert_network(steps, parts)
    assert set(steps.found("checks", parts)) == {"checks"}
    assert ends(steps) == (["all:0"], ["y:0"])


def test_a_gradient_that_nothing_is_trained_by_is_a_result() -> None:
    """As a saliency map."""
    steps = Steps()
    x = steps.step("input", lambda: v1.placeholder(tf.float32, [None, 8], "x"))
    y = steps.step("network", lambda: tf.nn.relu(x * 2))
    (saliency,) = steps.step("gradient", lambda: tf.gradients(y, [x]))
    assert steps.parts() == {}
    assert saliency.name in ends(steps)[1]


def test_a_stateful_network_is_no_update() -> None:
    """What an assignment gives goes on: it is a value of the network."""
    steps = Steps()

    def network() -> Any:
        x = v1.placeholder(tf.float32, [1, 4], "x")
        state = v1.get_variable("state", [1, 4], trainable=False, use_resource=False)
        return tf.nn.relu(v1.assign(state, state + x), name="y")

    steps.step("network", network)
    assert_network(steps, steps.parts())
    assert ends(steps)[1] == ["y:0"]
