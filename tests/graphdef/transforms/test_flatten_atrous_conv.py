from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.transforms.flatten_atrous_conv import flatten_atrous_conv
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, run
from .running import apart, assert_not_changed, op_names, oracle, run_light

RNG = np.random.default_rng(7)
X = RNG.normal(0, 1, (2, 11, 13, 3)).astype(np.float32)
SAME = "SAME"


def atrous(
    kernel: tuple[int, int] = (3, 3),
    block: tuple[int, int] = (2, 2),
    padding: str = SAME,
    depthwise: bool = False,
    change: Any = None,
) -> Any:
    """x, convolved by a kernel with holes as TensorFlow 1 wrote it."""
    graph_def = empty_graph(21)
    reach = [(size - 1) * step for size, step in zip(kernel, block, strict=True)]
    same = padding == SAME
    pads = [[r // 2, r - r // 2] if same else [0, 0] for r in reach]
    sizes = [size + sum(pad) for size, pad in zip(X.shape[1:3], pads, strict=True)]
    crops = [[0, -size % step] for size, step in zip(sizes, block, strict=True)]
    paddings = [[pad[0], pad[1] + crop[1]] for pad, crop in zip(pads, crops, strict=True)]
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 11, 13, 3]))
    weights = RNG.normal(0, 0.5, (*kernel, 3, 2)).astype(np.float32)
    for name, value in (
        ("block", np.array(block, np.int32)),
        ("paddings", np.array(paddings, np.int32)),
        ("crops", np.array(crops, np.int32)),
        ("kernel", weights),
    ):
        add_constant(graph_def, name, value)
    add(graph_def, "s2b", "SpaceToBatchND", ["x", "block", "paddings"], T=tf.float32)
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    add(graph_def, "conv", op, ["s2b", "kernel"], T=tf.float32, strides=[1] * 4, padding="VALID")
    add(graph_def, "y", "BatchToSpaceND", ["conv", "block", "crops"], T=tf.float32)
    add(graph_def, "out", "Relu", ["y"], T=tf.float32)
    if change is not None:
        change(graph_def)
    return graph_def


def names(graph_def: Any) -> set[str]:
    return {node.name for node in graph_def.node}


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("padding", [SAME, "VALID"])
@pytest.mark.parametrize("block", [(2, 2), (3, 1), (1, 4)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 2), (1, 1)])
def test_one_convolution_computes_the_same(
    kernel: tuple[int, int], block: tuple[int, int], padding: str, depthwise: bool
) -> None:
    graph_def = atrous(kernel, block, padding, depthwise)
    light, weights = flatten_atrous_conv(*apart(graph_def), ["out"])
    assert names(light) == {"x", "y", "out", "kernel/with_holes"}
    assert len(weights) <= 1
    expected = run(graph_def, "out:0", {"x:0": X})
    found = run_light(light, weights, "out:0", {"x:0": X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_tool_computes_the_same() -> None:
    graph_def = atrous()
    for node in graph_def.node:  # without these the tool ends the process
        if node.op == "Conv2D":
            node.attr["data_format"].s = b"NHWC"
            node.attr["use_cudnn_on_gpu"].b = True
    theirs = oracle(graph_def, ["x"], ["out"], "flatten_atrous_conv")
    assert "BatchToSpaceND" not in op_names(theirs)
    light, weights = flatten_atrous_conv(*apart(graph_def), ["out"])
    found = run_light(light, weights, "out:0", {"x:0": X})
    np.testing.assert_allclose(found, run(theirs, "out:0", {"x:0": X}), rtol=0, atol=1e-5)


def change_constant(graph_def: Any, name: str, value: Any) -> None:
    [node] = [node for node in graph_def.node if node.name == name]
    other = empty_graph()
    node.CopyFrom(add_constant(other, name, np.array(value, np.int32)))


def pads_more(graph_def: Any) -> None:
    change_constant(graph_def, "paddings", [[4, 3], [2, 3]])


def crops_the_start(graph_def: Any) -> None:
    change_constant(graph_def, "crops", [[1, 0], [1, 0]])


def used_twice(graph_def: Any) -> None:
    add(graph_def, "other", "Relu", ["conv"], T=tf.float32)


def controlled(graph_def: Any) -> None:
    next(node for node in graph_def.node if node.name == "conv").input.append("^x")


def strided(graph_def: Any) -> None:
    [node] = [node for node in graph_def.node if node.name == "conv"]
    node.attr["strides"].list.i[:] = [1, 2, 2, 1]


def blocks_differ(graph_def: Any) -> None:
    add_constant(graph_def, "block_after", np.array([2, 4], np.int32))
    next(node for node in graph_def.node if node.name == "y").input[1] = "block_after"


def kernel_computed(graph_def: Any) -> None:
    add(graph_def, "halved", "Neg", ["kernel"], T=tf.float32)
    next(node for node in graph_def.node if node.name == "conv").input[1] = "halved"


@pytest.mark.parametrize(
    "change",
    [
        *(pads_more, crops_the_start, used_twice, controlled, strided, blocks_differ),
        kernel_computed,
    ],
)
def test_what_is_something_else_stays(change: Any) -> None:
    assert_not_changed(flatten_atrous_conv, atrous(change=change), ["out"])


def test_what_is_kept_and_graphs_without_stay() -> None:
    assert_not_changed(flatten_atrous_conv, atrous(), ["out", "conv"])
    assert_not_changed(flatten_atrous_conv, inception_like(), ["softmax"])


def test_a_kernel_that_others_take_stays() -> None:
    def share(graph_def: Any) -> None:
        add(graph_def, "other", "Identity", ["kernel"], T=tf.float32)

    light, weights = flatten_atrous_conv(*apart(atrous(change=share)), ["out", "other"])
    assert {"kernel", "kernel/with_holes", "other"} <= names(light)
    assert set(weights) == {"kernel", "kernel/with_holes"}
