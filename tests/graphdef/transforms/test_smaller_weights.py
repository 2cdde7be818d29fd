"""round_weights and quantize_weights, against NumPy and the Graph Transform Tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.transforms.quantize_weights import quantize_weights
from retrain_tools.graphdef.transforms.round_weights import round_weights
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, jpeg, run
from .running import apart, assert_not_changed, op_names, oracle, run_light

RNG = np.random.default_rng(4)
X = np.eye(40, dtype=np.float32)
WIDE = RNG.normal(0, 1, (40, 30)).astype(np.float32)


def product(kernel: Any = WIDE, bias: Any = None) -> Any:
    """y = x · kernel + bias."""
    graph_def = empty_graph(21)
    depth = kernel.shape[1]
    bias = np.linspace(-1, 1, depth, dtype=np.float32) if bias is None else bias
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 40]))
    add_constant(graph_def, "kernel", kernel)
    add_constant(graph_def, "bias", bias)
    add(graph_def, "xk", "MatMul", ["x", "kernel"], T=tf.float32)
    add(graph_def, "y", "BiasAdd", ["xk", "bias"], T=tf.float32)
    return graph_def


def loadable(graph_def: Any) -> Any:
    """The tool's graph with the ends of ranges as scalars, or TensorFlow 2 does not load it."""
    for node in graph_def.node:
        if node.name.endswith(("_quantized_min", "_quantized_max")):
            del node.attr["value"].tensor.tensor_shape.dim[:]
    return graph_def


def values(graph_def: Any) -> Any:
    return run(graph_def, "y:0", {"x:0": X})


def of(light: Any, weights: Any) -> Any:
    return run_light(light, weights, "y:0", {"x:0": X})


@pytest.mark.parametrize("steps", [1, 8, 256])
def test_rounded_weights_are_the_middles_of_intervals(steps: int) -> None:
    light, weights = round_weights(*apart(product()), ["y"], num_steps=steps)
    length = (WIDE.max() - WIDE.min()) / steps
    number = (weights["kernel"] - WIDE.min()) / length - 0.5
    np.testing.assert_allclose(number, np.round(number), rtol=0, atol=1e-4)
    assert np.abs(weights["kernel"] - WIDE).max() <= length / 2 + 1e-6
    assert len(np.unique(weights["kernel"])) <= steps + 1
    assert np.abs(of(light, weights) - values(product())).max() <= length + 1e-6


@pytest.mark.parametrize("steps", [8, 256])
def test_rounding_gives_the_tools_values(steps: int) -> None:
    light, weights = round_weights(*apart(product()), ["y"], num_steps=steps)
    theirs = oracle(product(), ["x"], ["y"], f"round_weights(num_steps={steps})")
    np.testing.assert_allclose(of(light, weights), values(loadable(theirs)), rtol=0, atol=2e-6)


def test_a_constant_of_sixteen_elements_is_rounded_within_the_light_graph() -> None:
    kernel = RNG.normal(0, 1, (40, 16)).astype(np.float32)
    bias = RNG.normal(0, 1, 16).astype(np.float32)
    graph_def = product(kernel, bias)
    light, weights = round_weights(*apart(graph_def), ["y"], num_steps=4)
    theirs = oracle(graph_def, ["x"], ["y"], "round_weights(num_steps=4)")
    assert "bias" not in weights
    np.testing.assert_allclose(of(light, weights), values(loadable(theirs)), rtol=0, atol=2e-6)


@pytest.mark.parametrize("transform", [round_weights, quantize_weights])
def test_what_is_small_or_no_number_stays(transform: Any) -> None:
    small = product(np.full((40, 15), 3, np.float32))  # one value only, and few biases
    if transform is round_weights:
        assert_not_changed(transform, small, ["y"])
    else:
        assert_not_changed(transform, small, ["y"], minimum_size=601)
    broken = WIDE.copy()
    broken[0, 0] = np.nan
    broken[1, 1] = np.inf
    bias = np.full(30, 2, np.float32)
    graph_def = product(broken, bias)
    light, weights = apart(graph_def)
    made, arrays = transform(light, weights, ["y"])
    assert made == light
    np.testing.assert_array_equal(arrays["kernel"], broken)


@pytest.mark.parametrize("shift", [0, 3, -3], ids=["both signs", "above zero", "below zero"])
def test_quantized_weights_are_the_tools(shift: int) -> None:
    graph_def = product((WIDE / 4 + shift).astype(np.float32))
    light, weights = quantize_weights(*apart(graph_def), ["y"])
    step = (max(WIDE.max() / 4 + shift, 0) - min(WIDE.min() / 4 + shift, 0)) / 255
    found = of(light, weights)
    assert np.abs(found - values(graph_def)).max() <= step * 1.01
    theirs = oracle(graph_def, ["x"], ["y"], "quantize_weights")
    np.testing.assert_allclose(found, values(loadable(theirs)), rtol=0, atol=1e-5)
    assert sorted(op_names(light)) == sorted(
        ["Placeholder", "Placeholder", "Placeholder", "Const", "Const", "Dequantize", "MatMul",
         "BiasAdd"]
    )  # fmt: skip
    assert weights["kernel_quantized_const"].nbytes == WIDE.size


def test_quantized_zeros_are_zero() -> None:
    graph_def = product(np.zeros((40, 30), np.float32))
    light, weights = quantize_weights(*apart(graph_def), ["y"])
    np.testing.assert_array_equal(of(light, weights), values(graph_def))


def test_minimum_size_decides_what_is_quantized() -> None:
    graph_def = product()
    assert "Dequantize" not in op_names(quantize_weights(*apart(graph_def), minimum_size=1201)[0])
    light, weights = quantize_weights(*apart(graph_def), ["y"], minimum_size=1)
    assert op_names(light).count("Dequantize") == 2
    theirs = oracle(graph_def, ["x"], ["y"], "quantize_weights(minimum_size=1)")
    np.testing.assert_allclose(of(light, weights), values(loadable(theirs)), rtol=0, atol=1e-5)
    few = product(WIDE[:, :4])
    light, weights = quantize_weights(*apart(few), ["y"], minimum_size=4)
    assert "bias_quantized_const" not in weights, "so short that it stands in the light graph"
    np.testing.assert_allclose(of(light, weights), values(few), rtol=0, atol=0.05)


def test_integers_stay() -> None:
    graph_def = product()
    add_constant(graph_def, "numbers", np.arange(2000, dtype=np.int32))
    for transform in (round_weights, quantize_weights):
        _, weights = transform(*apart(graph_def), ["y", "numbers"])
        np.testing.assert_array_equal(weights["numbers"], np.arange(2000))


@pytest.mark.parametrize("transform", [round_weights, quantize_weights])
def test_a_network_still_gives_nearly_the_same(transform: Any) -> None:
    graph_def, feeds = inception_like(), {"DecodeJpeg/contents:0": jpeg()}
    light, weights = transform(*apart(graph_def), ["softmax"])
    expected = run(graph_def, "softmax:0", feeds)
    np.testing.assert_allclose(
        run_light(light, weights, "softmax:0", feeds), expected, rtol=0, atol=0.02
    )


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="num_steps=0 must be 1 or more: it is how many values"):
        round_weights(*apart(product()), num_steps=0)
    with pytest.raises(InputError, match="minimum_size=0 must be 1 or more: constants of fewer"):
        quantize_weights(*apart(product()), minimum_size=0)
