from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.transforms.batchable import batchable
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import (
    NEAR_REAL,
    SIZE,
    add,
    add_constant,
    empty_graph,
    inception_like,
    own,
    pixels_graph,
    real,
    run,
)
from .running import apart, assert_not_changed, run_light

RNG = np.random.default_rng(2)


def one_by_one(graph_def: Any, start: str, end: str, images: Any) -> Any:
    return np.concatenate([run(graph_def, end, {start: image[None]}) for image in images])


def made_of(build: Any, shape: list[int] | None = None) -> Any:
    """A graph of TensorFlow's from x [1, 2, 3] to y."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, shape or [1, 2, 3], "x")
        tf.identity(build(x), name="y")
    return own(graph.as_graph_def())


def test_the_graph_of_2015_in_little_takes_a_batch() -> None:
    graph_def = inception_like()
    images = RNG.normal(0, 1, (5, SIZE, SIZE, 3)).astype(np.float32)
    light, weights = batchable(*apart(graph_def), ["softmax"], inputs=["Mul"])
    found = run_light(light, weights, "softmax:0", {"Mul:0": images})
    expected = one_by_one(graph_def, "Mul:0", "softmax:0", images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert "DecodeJpeg" not in nodes_by_name(light)


CASES = {
    "Reshape": lambda x: tf.reshape(x, [1, 6]),
    "Reshape to a computed shape": lambda x: tf.reshape(x, tf.stack([1, 6])),
    "Squeeze": lambda x: tf.squeeze(tf.reduce_sum(x, 1, keepdims=True)),
    "Squeeze of one axis": lambda x: tf.squeeze(tf.reduce_sum(x, 1, keepdims=True), [1]),
    "Squeeze of the batch, too": lambda x: tf.squeeze(tf.reduce_sum(x, 1, keepdims=True), [0, -2]),
    "Slice": lambda x: tf.slice(x, [0, 1, 0], [1, 1, 2]),
    "none of these": lambda x: x[:, 1] * 2,
    "a batch that is taken from the graph": lambda x: tf.reshape(x, [tf.shape(x)[0], -1]),
}


@pytest.mark.parametrize("build", CASES.values(), ids=CASES)
def test_a_batch_gives_what_each_image_gives(build: Any) -> None:
    graph_def = made_of(build)
    images = RNG.normal(0, 1, (4, 2, 3)).astype(np.float32)
    light, weights = batchable(*apart(graph_def), ["y"], inputs=["x"])
    found = run_light(light, weights, "y:0", {"x:0": images})
    expected = [run(graph_def, "y:0", {"x:0": image[None]}) for image in images]
    np.testing.assert_allclose(found, np.reshape(expected, found.shape), rtol=0, atol=1e-6)
    assert len(found) == 4
    alone = run_light(light, weights, "y:0", {"x:0": images[:1]})
    np.testing.assert_allclose(alone.reshape(-1), expected[0].reshape(-1), rtol=0, atol=1e-6)


def test_two_inputs_are_lifted_together() -> None:
    with tf.Graph().as_default() as graph:
        a, b = (tf.compat.v1.placeholder(tf.float32, [1, 4], name) for name in "ab")
        tf.reshape(tf.concat([a, b], 1), [1, 2, 4], name="y")
    graph_def = own(graph.as_graph_def())
    light, weights = batchable(*apart(graph_def), ["y"], inputs=["a:0", "b:0"])
    values = {f"{n}:0": RNG.normal(0, 1, (3, 4)).astype(np.float32) for n in "ab"}
    expected = np.stack([values["a:0"], values["b:0"]], 1)
    np.testing.assert_array_equal(run_light(light, weights, "y:0", values), expected)


def test_what_else_is_fed_stays_as_it_is() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [1, 4], "x")
        factor = tf.compat.v1.placeholder(tf.float32, [], "factor")
        tf.multiply(tf.identity(x, name="pixels"), factor, name="y")
    light, weights = batchable(*apart(own(graph.as_graph_def())), ["y"], inputs=["pixels"])
    x = RNG.normal(0, 1, (3, 4)).astype(np.float32)
    found = run_light(light, weights, "y:0", {"pixels:0": x, "factor:0": 2})
    np.testing.assert_array_equal(found, 2 * x)


def test_a_graph_that_takes_batches_stays() -> None:
    assert_not_changed(batchable, pixels_graph(), ["probabilities"], inputs=["input"])


def first_of_all(x: Any) -> Any:
    return tf.reshape(x[0:1], [1, 6])


@pytest.mark.parametrize(
    ("build", "node"),
    [
        (first_of_all, "'strided_slice' .StridedSlice."),
        (lambda x: tf.reduce_sum(x, 0, keepdims=True), "'Sum' .Sum."),
        (lambda x: tf.squeeze(x, [0]), "'Squeeze' .Squeeze."),
    ],
)
def test_a_node_that_keeps_the_batch_at_one_is_named(build: Any, node: str) -> None:
    with pytest.raises(InputError, match=f"The batch stays 1 at {node}, which is none of the"):
        batchable(*apart(made_of(build)), ["y"], inputs=["x"])


def test_inputs_that_take_no_batch_are_refused() -> None:
    light, weights = apart(inception_like())
    with pytest.raises(InputError, match="inputs names no tensor: say which one takes the pixels"):
        batchable(light, weights, ["softmax"], inputs=[])
    with pytest.raises(InputError, match="'DecodeJpeg/contents:0' takes one encoded image, and"):
        batchable(light, weights, ["softmax"], inputs=["DecodeJpeg/contents"])
    with pytest.raises(InputError, match=r"No tensor 'Mil:0' .* Did you mean 'Mul:0'"):
        batchable(light, weights, ["softmax"], inputs=["Mil"])
    with pytest.raises(InputError, match="'mixed/join/concat_dim:0' is a single value: name a te"):
        batchable(light, weights, ["softmax"], inputs=["mixed/join/concat_dim"])
    of_eight = apart(made_of(lambda x: x, [8, 3]))
    with pytest.raises(InputError, match=r"'x:0' \[8, 3\] has a first dimension of 8, and what"):
        batchable(*of_eight, ["y"], inputs=["x"])
    unknown = empty_graph(21)
    add(unknown, "x", "Placeholder", dtype=tf.float32)
    with pytest.raises(InputError, match="'x:0' has an unknown number of dimensions: name a ten"):
        batchable(*apart(unknown), ["x"], inputs=["x"])
    with tf.Graph().as_default() as graph:
        tf.add(*tf.split(tf.compat.v1.placeholder(tf.float32, [2, 3]), 2, name="s"), name="y")
    halves = apart(own(graph.as_graph_def()))
    with pytest.raises(InputError, match="'s:1' is not the first output of its node: use the tran"):
        batchable(*halves, ["y"], inputs=["s:1"])


def test_a_shape_that_others_take_too_is_not_changed_for_them() -> None:
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([1, 2, 3]))
    for name, value in (("begin", [0, 0, 0]), ("size", [1, 1, 3])):
        add_constant(graph_def, name, np.array(value, np.int32))
    add(graph_def, "y", "Slice", ["x", "begin", "size"], T=tf.float32, Index=tf.int32)
    add(graph_def, "z", "Identity", ["size"], T=tf.int32)
    light, weights = batchable(*apart(graph_def), ["y", "z"], inputs=["x"])
    x = RNG.normal(0, 1, (3, 2, 3)).astype(np.float32)
    y, z = run_light(light, weights, ["y:0", "z:0"], {"x:0": x})
    np.testing.assert_array_equal(y, x[:, :1])
    np.testing.assert_array_equal(z, [1, 1, 3])


def test_the_graph_of_2015_takes_a_batch() -> None:
    graph_def = schema.GraphDef.FromString(real(NEAR_REAL).read_bytes())
    light, weights = batchable(*apart(graph_def), ["pool_3/_reshape"], inputs=["Mul"])
    images = RNG.uniform(-1, 1, (2, 299, 299, 3)).astype(np.float32)
    found = run_light(light, weights, "pool_3/_reshape:0", {"Mul:0": images})
    expected = one_by_one(graph_def, "Mul:0", "pool_3/_reshape:0", images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
