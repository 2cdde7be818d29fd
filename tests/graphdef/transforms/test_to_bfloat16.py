"""Which nodes compute in bfloat16, and that values are those of rounding where it is said."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.transforms.to_bfloat16 import to_bfloat16
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run

X = np.random.default_rng(4).normal(0, 1, (2, 8, 8, 3)).astype(np.float32)
STRIDES = [1, 1, 1, 1]


def network() -> Any:
    """Two convolutions with a pooling between them, a sum with a shortcut, and a classifier.

    The pooling says no type, as files do that leave out defaults.
    """
    graph_def, rng = empty_graph(21), np.random.default_rng(5)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 8, 8, 3]))
    add_constant(graph_def, "scale", np.float32(0.5))
    add(graph_def, "prepared", "Mul", ["x", "scale"], T=tf.float32)
    previous, channels = "prepared", 3
    for number, depth in ((1, 20), (2, 20)):
        kernel = rng.normal(0, 0.2, (3, 3, channels, depth)).astype(np.float32)
        add_constant(graph_def, f"k{number}", kernel)
        add_constant(graph_def, f"b{number}", rng.normal(0, 0.2, depth).astype(np.float32))
        inputs = [previous, f"k{number}"]
        add(
            graph_def, f"c{number}", "Conv2D", inputs,
            T=tf.float32, strides=STRIDES, padding="SAME",
        )  # fmt: skip
        add(graph_def, f"a{number}", "BiasAdd", [f"c{number}", f"b{number}"], T=tf.float32)
        add(graph_def, f"r{number}", "Relu", [f"a{number}"], T=tf.float32)
        if number == 1:
            pool = {"ksize": [1, 3, 3, 1], "strides": STRIDES, "padding": "SAME"}
            add(graph_def, "pool", "MaxPool", ["r1"], **pool)
            previous, channels = "pool", depth
    add(graph_def, "sum", "AddV2", ["r2", "pool"], T=tf.float32)
    add_constant(graph_def, "axes", np.array([1, 2], np.int32))
    add(graph_def, "mean", "Mean", ["sum", "axes"], T=tf.float32, Tidx=tf.int32)
    add_constant(graph_def, "w", rng.normal(0, 0.2, (20, 5)).astype(np.float32))
    add(graph_def, "logits", "MatMul", ["mean", "w"], T=tf.float32)
    return graph_def


def low_nodes(light: Any) -> set[str]:
    return {node.name for node in light.node if node.attr["T"].type == 14}


def lowered() -> tuple[Any, Any]:
    graph_def = network()
    return to_bfloat16(light_copy(graph_def), large_constants(graph_def), ["logits"])


def test_layers_and_what_lies_between_them_are_bfloat16_and_the_rest_is_not() -> None:
    light, weights = lowered()
    assert low_nodes(light) == {"c1", "a1", "r1", "pool", "c2", "a2", "r2"}
    assert weights["w"].dtype == np.float32
    low = {name for name, value in weights.items() if value.dtype == ml_dtypes.bfloat16}
    assert len(low) == 4, "two kernels and two biases"
    assert len(weights) == 5, "and none of them is there twice"
    casts = [node for node in light.node if node.op == "Cast"]
    assert len(casts) == 3, "before the first layer, and before the sum two"


def test_values_are_those_of_float32_but_for_the_rounding() -> None:
    light, weights = lowered()
    with tf.Graph().as_default() as graph:
        import_light(light, {name: tf.constant(value) for name, value in weights.items()})
    with tf.compat.v1.Session(graph=graph) as session:
        found, first = session.run(["logits:0", "c1:0"], {"x:0": X})
    graph_def = network()
    expected = run(graph_def, "logits:0", {"x:0": X})
    kernels = large_constants(graph_def)

    def rounded(value: Any) -> Any:
        return value.astype(ml_dtypes.bfloat16).astype(np.float32)

    by_hand = tf.nn.conv2d(rounded(X * 0.5), rounded(kernels["k1"]), STRIDES, "SAME").numpy()
    np.testing.assert_allclose(first.astype(np.float32), by_hand, rtol=0.01, atol=0.01)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_weights_that_float32_nodes_take_as_well_stay_beside_the_rounded_ones() -> None:
    graph_def = network()
    add(graph_def, "square", "Square", ["b1"], T=tf.float32)
    _, weights = to_bfloat16(
        light_copy(graph_def), large_constants(graph_def), ["logits", "square"]
    )
    np.testing.assert_array_equal(weights["b1"], large_constants(graph_def)["b1"])
    assert sum(np.array_equal(v.shape, (20,)) for v in weights.values()) == 3


def test_small_constants_in_the_graph_become_weights_too_and_need_no_cast() -> None:
    """Of a layer of few channels, whose bias a light graph holds itself."""
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 8, 8, 3]))
    add_constant(graph_def, "k", np.ones((3, 3, 3, 8), np.float32))
    add_constant(graph_def, "b", np.arange(8, dtype=np.float32))
    add(graph_def, "c", "Conv2D", ["x", "k"], T=tf.float32, strides=STRIDES, padding="SAME")
    add(graph_def, "a", "BiasAdd", ["c", "b"], T=tf.float32)
    light, weights = to_bfloat16(light_copy(graph_def), large_constants(graph_def), ["a"])
    [bias] = (value for value in weights.values() if value.shape == (8,))
    np.testing.assert_array_equal(bias.astype(np.float32), np.arange(8))
    assert [node.op for node in light.node].count("Cast") == 1, "of the pixels"
