"""Convolutions as oneDNN's kernels take them, with kernels that are re-ordered only once.

On CPUs, TensorFlow runs convolutions by oneDNN, which wants kernels in an order of its own. It
re-orders them for every batch unless it is told that they are constants; and constants in a graph
cost TensorFlow 1 GB and 3 s for the 2015 graph, because it copies them a dozen times. So kernels
are held in variables, and convolutions become the nodes that TensorFlow's own rewriting makes of
them (`mkl_layout_pass.cc`), which carry `is_filter_const`. What follows a convolution is fused into
it as Grappler's remapper does it: BiasAdd and an activation. Adding a shortcut in the same kernel,
as that does too, was measured and is no faster.

These nodes are TensorFlow's own business and may change with a version of it: where it refuses
them, the graph runs as it is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import BFLOAT16, FLOAT32
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_node,
    copy_nodes,
    node_name,
    nodes_by_name,
)
from retrain_tools.graphdef.walks import Successors, consumers
from retrain_tools.graphdef.weights import Weights

_PLAIN = {"Conv2D": "_MklNativeConv2D", "DepthwiseConv2dNative": "_MklNativeDepthwiseConv2dNative"}
_FUSED = {
    "Conv2D": "_MklNativeFusedConv2D",
    "DepthwiseConv2dNative": "_MklNativeFusedDepthwiseConv2dNative",
}
_ACTIVATIONS = ("Relu", "Relu6", "Elu", "LeakyRelu")
_COPIED = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
_KERNEL_LABEL = b"MklNameChangeOp"  # mkl_util.h: kMklNameChangeOpLabel


def is_wanted() -> bool:
    """Tell whether the user has left oneDNN on, as TensorFlow has it."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"


def with_onednn_kernels(light: Any, weights: Weights, keep: Collection[str]) -> Any:
    """Return a light graph whose convolutions by weights are oneDNN's nodes; see the module.

    The nodes in `keep` are still there, with the same values.
    """
    result = copy_nodes(light, lambda _: True)
    nodes, used_by = nodes_by_name(result), consumers(result)
    gone: set[str] = set()
    for node in list(result.node):
        if not _is_taken(node, weights):
            continue
        chain = _fused_with(node, nodes, used_by, keep)
        fused = _one_node(node, chain)
        if chain:
            gone.update(one.name for one in [node, *chain[:-1]])
        (chain[-1] if chain else node).CopyFrom(fused)
    return copy_nodes(result, lambda node: node.name not in gone)


def _is_taken(node: Any, weights: Weights) -> bool:
    return (
        node.op in _PLAIN
        and attribute(node, "T").type in (FLOAT32, BFLOAT16)
        and attribute(node, "data_format").s in (b"", b"NHWC")
        and node_name(node.input[1]) in weights
        and not any(name.startswith("^") for name in node.input)
        and (node.op == "Conv2D" or node.attr["padding"].s != b"EXPLICIT")
    )


def _fused_with(
    node: Any, nodes: Mapping[str, Any], used_by: Successors, keep: Collection[str]
) -> list[Any]:
    """Return the nodes after a convolution that its kernel can do as well, in order."""

    def after(last: Any) -> Any | None:
        names = used_by.get(last.name, ())
        return nodes[names[0]] if len(names) == 1 and last.name not in keep else None

    bias = after(node)
    if bias is None or bias.op != "BiasAdd" or node_name(bias.input[0]) != node.name:
        return []
    if constant_node(nodes, bias.input[1]) is None and not _is_placeholder(nodes, bias):
        return []
    activation = after(bias)
    is_fused = activation is not None and activation.op in _ACTIVATIONS
    return [bias, activation] if is_fused else [bias]


def _is_placeholder(nodes: Mapping[str, Any], bias: Any) -> bool:
    """Tell whether the bias is one of the weights, for which a light graph has placeholders."""
    return bool(nodes[node_name(bias.input[1])].op == "Placeholder")


def _one_node(node: Any, chain: Sequence[Any]) -> Any:
    """Return a convolution and what it is fused with as one node, under the last one's name."""
    made = schema.NodeDef(name=(chain[-1] if chain else node).name, input=node.input)
    made.op = (_FUSED if chain else _PLAIN)[node.op]
    for key in ("T", *_COPIED):
        # The fused depthwise node has no place for explicit paddings, not even for none.
        if key in node.attr and (key != "explicit_paddings" or node.attr[key].list.i):
            made.attr[key].CopyFrom(node.attr[key])
    made.attr["is_filter_const"].b = True
    made.attr["_kernel"].s = _KERNEL_LABEL
    if not chain:
        return made
    made.input.append(chain[0].input[1])
    made.attr["num_args"].i = 1
    if node.op == "Conv2D":
        made.attr["TArgs"].list.type.append(node.attr["T"].type)
    made.attr["fused_ops"].list.s.extend(one.op.encode() for one in chain)
    if chain[-1].op == "LeakyRelu":
        alpha = chain[-1].attr["alpha"].f if "alpha" in chain[-1].attr else 0.2  # nn_ops.cc
        made.attr["leakyrelu_alpha"].f = alpha
    return made
