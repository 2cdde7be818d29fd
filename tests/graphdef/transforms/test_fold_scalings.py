"""What scales the channels behind a convolution is folded into it, however it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_batch_norms
from retrain_tools.graphdef.transforms.fold_constants import fold_constants
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run

DEPTH = 20
RNG = np.random.default_rng(3)
X = RNG.normal(0, 1, (2, 6, 6, 3)).astype(np.float32)


def vector(low: float = 0.5, high: float = 1.5, depth: int = DEPTH) -> Any:
    return RNG.uniform(low, high, depth).astype(np.float32)


def convolution(depth: int = DEPTH) -> Any:
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 6, 6, 3]))
    kernel = RNG.normal(0, 0.5, (3, 3, 3, depth)).astype(np.float32)
    add_constant(graph_def, "kernel", kernel)
    strides = [1, 1, 1, 1]
    add(graph_def, "c", "Conv2D", ["x", "kernel"], T=tf.float32, strides=strides, padding="SAME")
    return graph_def


def fused_batch_norm(
    graph_def: Any, source: str, op: str = "FusedBatchNormV3", depth: int = DEPTH, **more: Any
) -> Any:
    for name in ("gamma", "beta", "mean", "variance"):
        add_constant(graph_def, f"bn/{name}", vector(depth=depth))
    types = {"T": tf.float32} | ({"U": tf.float32} if op != "FusedBatchNorm" else {})
    inputs = [source, *(f"bn/{name}" for name in ("gamma", "beta", "mean", "variance"))]
    said = {"is_training": False, "epsilon": 0.01} | types | more
    add(graph_def, "bn", op, inputs, **said)
    add(graph_def, "out", "Relu", ["bn"], T=tf.float32)
    return graph_def


def written_out_by_keras() -> Any:
    """x * (gamma * rsqrt(variance + ε)) + (beta - mean * …), as Keras 3 writes it."""
    graph_def = convolution()
    for name in ("gamma", "beta", "mean", "variance"):
        add_constant(graph_def, f"bn/{name}", vector())
    add_constant(graph_def, "bn/eps", np.float32(1e-3))
    for name, op, inputs in (
        ("bn/add", "AddV2", ["bn/variance", "bn/eps"]),
        ("bn/rsqrt", "Rsqrt", ["bn/add"]),
        ("bn/mul", "Mul", ["bn/rsqrt", "bn/gamma"]),
        ("bn/mul_1", "Mul", ["c", "bn/mul"]),
        ("bn/mul_2", "Mul", ["bn/mean", "bn/mul"]),
        ("bn/sub", "Sub", ["bn/beta", "bn/mul_2"]),
        ("bn", "AddV2", ["bn/mul_1", "bn/sub"]),
        ("out", "Relu", ["bn"]),
    ):
        add(graph_def, name, op, inputs, T=tf.float32)
    return graph_def


def bias_before_batch_norm() -> Any:
    graph_def = convolution()
    add_constant(graph_def, "b", vector(-1, 1))
    add(graph_def, "biased", "BiasAdd", ["c", "b"], T=tf.float32)
    return fused_batch_norm(graph_def, "biased")


def arithmetic() -> Any:
    graph_def = convolution()
    add_constant(graph_def, "two", np.float32(2))
    add_constant(graph_def, "rows", vector().reshape(1, 1, 1, DEPTH))
    add_constant(graph_def, "minuend", vector())
    add(graph_def, "doubled", "Mul", ["two", "c"], T=tf.float32)
    add(graph_def, "scaled", "Mul", ["doubled", "rows"], T=tf.float32)
    add(graph_def, "less", "Sub", ["scaled", "two"], T=tf.float32)
    add(graph_def, "turned", "Sub", ["minuend", "less"], T=tf.float32)
    add(graph_def, "out", "Relu", ["turned"], T=tf.float32)
    return graph_def


def depthwise() -> Any:
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 6, 6, 3]))
    add_constant(graph_def, "kernel", RNG.normal(0, 0.5, (3, 3, 3, 2)).astype(np.float32))
    strides = [1, 1, 1, 1]
    add(
        graph_def, "c", "DepthwiseConv2dNative", ["x", "kernel"],
        T=tf.float32, strides=strides, padding="SAME",
    )  # fmt: skip
    add_constant(graph_def, "factors", vector(depth=6))
    add_constant(graph_def, "offsets", vector(depth=6))
    add(graph_def, "scaled", "Mul", ["c", "factors"], T=tf.float32)
    add(graph_def, "bn", "Add", ["scaled", "offsets"], T=tf.float32)
    add(graph_def, "out", "Relu", ["bn"], T=tf.float32)
    return graph_def


def run_light(light: Any, weights: Any, fetch: str) -> Any:
    with tf.Graph().as_default() as graph:
        import_light(light, {name: tf.constant(value) for name, value in weights.items()})
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(fetch, {"x:0": X})


def folded(graph_def: Any, keep: tuple[str, ...] = ("out",)) -> tuple[Any, Any]:
    light, weights = fold_constants(light_copy(graph_def), large_constants(graph_def), keep)
    return fold_batch_norms(light, weights, keep)


@pytest.mark.parametrize(
    "make",
    [
        *(
            pytest.param(lambda op=op: fused_batch_norm(convolution(), "c", op), id=op)
            for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
        ),
        written_out_by_keras,
        bias_before_batch_norm,
        arithmetic,
        depthwise,
        # so few channels that their statistics stand in the light graph itself
        pytest.param(lambda: fused_batch_norm(convolution(8), "c", depth=8), id="few channels"),
    ],
)
def test_one_convolution_and_one_bias_are_left_with_the_same_values(make: Any) -> None:
    graph_def = make()
    light, weights = folded(graph_def)
    assert [n.op for n in light.node if n.op not in ("Placeholder", "Const")] == [
        next(n.op for n in graph_def.node if n.name == "c"), "BiasAdd", "Relu",
    ]  # fmt: skip
    assert len(weights) == 2, "the kernel and the bias"
    expected = run(graph_def, "out:0", {"x:0": X})
    assert expected.max() > 0.1
    np.testing.assert_allclose(run_light(light, weights, "out:0"), expected, rtol=0, atol=2e-5)


def in_training() -> Any:
    return fused_batch_norm(convolution(), "c", is_training=True)


def statistics_fetched() -> Any:
    graph_def = fused_batch_norm(convolution(), "c")
    add(graph_def, "mean", "Identity", ["bn:1"], T=tf.float32)
    return graph_def


def channels_mixed() -> Any:
    """A vector along the width, which happens to be as long as there are channels."""
    graph_def = convolution()
    add_constant(graph_def, "factors", RNG.uniform(0.5, 1.5, (6, 1)).astype(np.float32))
    add(graph_def, "bn", "Mul", ["c", "factors"], T=tf.float32)
    add(graph_def, "out", "Relu", ["bn"], T=tf.float32)
    return graph_def


def squared() -> Any:
    graph_def = convolution()
    add(graph_def, "bn", "Mul", ["c", "c"], T=tf.float32)
    add(graph_def, "out", "Relu", ["bn"], T=tf.float32)
    return graph_def


@pytest.mark.parametrize("make", [in_training, statistics_fetched, channels_mixed, squared])
def test_what_is_no_scaling_of_channels_stays(make: Any) -> None:
    graph_def = make()
    there = {node.name for node in graph_def.node}
    light, weights = folded(graph_def, tuple(there & {"out", "mean"}))
    assert [n.op for n in light.node if n.name == "bn"] == [
        n.op for n in graph_def.node if n.name == "bn"
    ]
    np.testing.assert_array_equal(weights["kernel"], large_constants(graph_def)["kernel"])


def test_a_plain_bias_is_left_as_it_is() -> None:
    graph_def = convolution()
    add_constant(graph_def, "b", vector(-1, 1))
    add(graph_def, "out", "BiasAdd", ["c", "b"], T=tf.float32)
    light, weights = folded(graph_def)
    assert set(weights) == {"kernel", "b"}
    assert light == light_copy(graph_def)


def test_a_control_input_of_a_node_that_is_folded_away_goes_too() -> None:
    graph_def = bias_before_batch_norm()
    next(node for node in graph_def.node if node.name == "out").input.append("^biased")
    light, weights = folded(graph_def)
    expected = run(graph_def, "out:0", {"x:0": X})
    np.testing.assert_allclose(run_light(light, weights, "out:0"), expected, rtol=0, atol=2e-5)


def test_constants_are_computed_once_and_what_they_came_from_goes() -> None:
    graph_def = written_out_by_keras()
    light, weights = fold_constants(light_copy(graph_def), large_constants(graph_def), ["out"])
    assert {n.op for n in light.node} == {"Placeholder", "Conv2D", "Mul", "AddV2", "Relu"}
    assert set(weights) == {"kernel", "bn/mul", "bn/sub"}
    value = {name: array.astype(np.float64) for name, array in large_constants(graph_def).items()}
    factor = value["bn/gamma"] / np.sqrt(value["bn/variance"] + 1e-3)
    np.testing.assert_allclose(weights["bn/mul"], factor, rtol=1e-6)
    offset = value["bn/beta"] - value["bn/mean"] * factor
    np.testing.assert_allclose(weights["bn/sub"], offset, rtol=1e-5, atol=1e-6)


def test_a_constant_that_is_to_be_kept_or_is_used_elsewhere_stays() -> None:
    graph_def = written_out_by_keras()
    add(graph_def, "other", "Neg", ["bn/rsqrt"], T=tf.float32)
    keep = ["out", "other", "bn/add"]
    light, weights = fold_constants(light_copy(graph_def), large_constants(graph_def), keep)
    names = {node.name for node in light.node}
    assert {"bn/add", "other"} <= names
    np.testing.assert_allclose(weights["other"], -1 / np.sqrt(weights["bn/add"]), rtol=1e-6)
