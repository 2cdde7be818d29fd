"""oneDNN's nodes: what becomes of a convolution and what follows it, and that values stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.engine.onednn import is_wanted, with_onednn_kernels
from retrain_tools.engine.session import TensorFlowEngine
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.tiny_graphs import add, add_constant, empty_graph, run

RNG = np.random.default_rng(8)
X = RNG.normal(0, 1, (2, 8, 8, 6)).astype(np.float32)


def convolution(op: str = "Conv2D", padding: str = "SAME", stride: int = 1) -> Any:
    graph_def = empty_graph(21)
    shape = tf.TensorShape([None, 8, 8, 6])
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=shape)
    size = (3, 3, 6, 6) if op == "Conv2D" else (3, 3, 6, 1)
    add_constant(graph_def, "kernel", RNG.normal(0, 0.5, size).astype(np.float32))
    strides = [1, stride, stride, 1]
    add(graph_def, "c", op, ["x", "kernel"], T=tf.float32, strides=strides, padding=padding)
    return graph_def


def biased(graph_def: Any, after: str | None = None, **more: Any) -> Any:
    add_constant(graph_def, "b", RNG.normal(0, 0.5, 6).astype(np.float32))
    add(graph_def, "biased", "BiasAdd", ["c", "b"], T=tf.float32)
    if after:
        add(graph_def, "after", after, ["biased"], T=tf.float32, **more)
    return graph_def


def shortcut(graph_def: Any) -> Any:
    biased(graph_def)
    add(graph_def, "sum", "AddV2", ["x", "biased"], T=tf.float32)
    add(graph_def, "after", "Relu", ["sum"], T=tf.float32)
    return graph_def


def ops(light: Any) -> list[str]:
    return [node.op for node in light.node if node.op not in ("Placeholder", "Const")]


CASES = {
    "alone": (lambda: convolution(), ["_MklNativeConv2D"]),
    "bias": (lambda: biased(convolution()), ["_MklNativeFusedConv2D"]),
    "relu": (lambda: biased(convolution(), "Relu"), ["_MklNativeFusedConv2D"]),
    "relu6": (lambda: biased(convolution(stride=2), "Relu6"), ["_MklNativeFusedConv2D"]),
    "leaky": (
        lambda: biased(convolution(padding="VALID"), "LeakyRelu", alpha=0.3),
        ["_MklNativeFusedConv2D"],
    ),
    "shortcut": (lambda: shortcut(convolution()), ["_MklNativeFusedConv2D", "AddV2", "Relu"]),
    "depthwise": (
        lambda: biased(convolution("DepthwiseConv2dNative"), "Relu6"),
        ["_MklNativeFusedDepthwiseConv2dNative"],
    ),
    "depthwise alone": (
        lambda: convolution("DepthwiseConv2dNative", "VALID"),
        ["_MklNativeDepthwiseConv2dNative"],
    ),
    "another activation": (
        lambda: biased(convolution(), "Softplus"),
        ["_MklNativeFusedConv2D", "Softplus"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_convolution_and_what_follows_it_are_one_node_with_the_same_values(case: str) -> None:
    make, expected_ops = CASES[case]
    graph_def = make()
    last = graph_def.node[-1].name
    weights = large_constants(graph_def)
    light = with_onednn_kernels(light_copy(graph_def), weights, [last])
    assert ops(light) == expected_ops
    expected = run(graph_def, f"{last}:0", {"x:0": X})
    with TensorFlowEngine(light, weights, "x:0", [f"{last}:0"], "g.pb") as engine:
        for _ in range(2):  # the second time with the kernel as oneDNN re-ordered it
            [found] = engine.run(X)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kept", ["c", "biased"])
def test_what_is_kept_is_still_there_and_nothing_is_fused_past_it(kept: str) -> None:
    graph_def = biased(convolution(), "Relu")
    weights = large_constants(graph_def)
    light = with_onednn_kernels(light_copy(graph_def), weights, [kept, "after"])
    assert {kept, "after"} <= {node.name for node in light.node}
    fetches = [f"{kept}:0", "after:0"]
    with TensorFlowEngine(light, weights, "x:0", fetches, "g.pb") as engine:
        for fetch, found in zip(fetches, engine.run(X), strict=True):
            expected = run(graph_def, fetch, {"x:0": X})
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def computed_kernel() -> Any:
    graph_def = convolution()
    add(graph_def, "negative", "Neg", ["kernel"], T=tf.float32)
    next(node for node in graph_def.node if node.name == "c").input[1] = "negative"
    return graph_def


def channels_first() -> Any:
    graph_def = convolution()
    node = next(node for node in graph_def.node if node.name == "c")
    node.attr["data_format"].s = b"NCHW"
    return graph_def


def explicit_depthwise() -> Any:
    graph_def = convolution("DepthwiseConv2dNative", "EXPLICIT")
    node = next(node for node in graph_def.node if node.name == "c")
    node.attr["explicit_paddings"].list.i.extend([0, 0, 1, 1, 1, 1, 0, 0])
    return graph_def


@pytest.mark.parametrize("make", [computed_kernel, channels_first, explicit_depthwise])
def test_what_has_no_node_of_onednn_stays(make: Any) -> None:
    light = light_copy(make())
    assert with_onednn_kernels(light, large_constants(make()), ["c"]) == light


def test_it_is_left_alone_where_the_user_turned_onednn_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_wanted()
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not is_wanted()
