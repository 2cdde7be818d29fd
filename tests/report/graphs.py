"""Small graphs to make pages of."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_tools.quiet_tensorflow import tf

SCRIPT_NAME = "</script><script>document.title='injected'</script>"
IMAGE_NAME = "<img src=x onerror=document.title='injected'>"


def add(graph_def: Any, name: str, op: str, *inputs: str) -> Any:
    return graph_def.node.add(name=name, op=op, input=inputs)


def add_constant(graph_def: Any, name: str, value: Any) -> Any:
    node = add(graph_def, name, "Const")
    node.attr["dtype"].type = tf.as_dtype(np.asarray(value).dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node


def small_network() -> Any:
    """An image input, two scopes of a convolution each, a bottleneck and a classifier."""
    graph_def = tf.compat.v1.GraphDef()
    numbers = np.random.default_rng(7)
    add(graph_def, "input", "Placeholder").attr["dtype"].type = 1
    taken = "input"
    for scope, channels in (("conv", 3), ("conv_1", 8)):
        weights = numbers.normal(size=(3, 3, channels, 8)).astype(np.float32)
        add_constant(graph_def, f"{scope}/weights", weights)
        add(graph_def, f"{scope}/weights/read", "Identity", f"{scope}/weights")
        layer = add(graph_def, f"{scope}/Conv2D", "Conv2D", taken, f"{scope}/weights/read")
        layer.attr["strides"].list.i.extend([1, 2, 2, 1])
        layer.attr["padding"].s = b"SAME"
        add(graph_def, f"{scope}/check", "CheckNumerics", f"{scope}/Conv2D")
        add(graph_def, scope, "Relu", f"{scope}/Conv2D", f"^{scope}/check")
        taken = scope
    add(graph_def, "pool", "Mean", taken)
    add_constant(graph_def, "logits/weights", np.array([[0, 0.5], [np.nan, -1]], np.float32))
    add(graph_def, "logits/MatMul", "MatMul", "pool", "logits/weights")
    return graph_def


SMALL_PATH = ("input", "conv/Conv2D", "conv", "conv_1/Conv2D", "conv_1", "pool")
SMALL_SHAPES = {
    "input:0": (None, 32, 32, 3),
    "conv/Conv2D:0": (None, 16, 16, 8),
    "conv:0": (None, 16, 16, 8),
    "conv/weights:0": (3, 3, 3, 8),
    "conv_1:0": (None, 8, 8, 8),
    "pool:0": None,
}
SMALL_DTYPES = dict.fromkeys(SMALL_SHAPES, "float32")


def hostile_network() -> Any:
    """Names, ops and values that are markup."""
    graph_def = tf.compat.v1.GraphDef()
    add_constant(graph_def, f"a/{SCRIPT_NAME}", np.array([SCRIPT_NAME.encode(), b"<!--"]))
    add(graph_def, f"a/{IMAGE_NAME}", IMAGE_NAME, f"a/{SCRIPT_NAME}", "missing<b>")
    add(graph_def, "--><script>", "NoOp").device = IMAGE_NAME
    graph_def.node[1].attr[SCRIPT_NAME].s = IMAGE_NAME.encode() + b"\xff"
    graph_def.library.function.add().signature.name = IMAGE_NAME
    return graph_def


def flat_network(count: int) -> Any:
    """A chain of nodes without any scope: input, Conv2D, Relu, Conv2D_1, Relu_1, …"""
    graph_def = tf.compat.v1.GraphDef()
    add(graph_def, "input", "Placeholder")
    taken = "input"
    for number in range((count - 1) // 4):
        suffix = f"_{number}" if number else ""
        add_constant(graph_def, f"weights{suffix}", np.float32(number))
        add(graph_def, f"Conv2D{suffix}", "Conv2D", taken, f"weights{suffix}")
        add_constant(graph_def, f"axis{suffix}", np.int32(number))
        add(graph_def, f"Relu{suffix}", "Relu", f"Conv2D{suffix}", f"axis{suffix}")
        taken = f"Relu{suffix}"
    return graph_def
