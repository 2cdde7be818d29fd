"""Moves an average pooling behind the 1×1 convolution that follows it, where channels get fewer.

Both are sums with the same weights everywhere, so their order does not matter but for rounding;
behind the convolution, the pooling has less to read and write. In the networks of the Inception
family that is the branch `pool` of each block.

1. The pooling goes in steps of 1 with SAME padding, for which TensorFlow averages only what is
   there; nothing but the convolution takes it.
2. The convolution is 1×1 in steps of 1, gives fewer channels than it takes, and its kernel is a
   weight. A BiasAdd behind it goes before the pooling, too: an average of a constant is the
   constant.
3. None of the three, the last apart, is to be kept; the last one's value is the pooling's now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from retrain_tools.graphdef.navigate import attribute, copy_nodes, node_name, nodes_by_name
from retrain_tools.graphdef.walks import Successors, consumers
from retrain_tools.graphdef.weights import Weights


def pool_after_convolution(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Move average poolings behind 1×1 convolutions; see the module. The weights stay."""
    result = copy_nodes(light, lambda _: True)
    nodes, used_by = nodes_by_name(result), consumers(result)
    for pool in result.node:
        convolution = _following(pool, nodes, used_by, keep)
        if not _is_moved(pool) or convolution is None or not _fits(convolution, weights):
            continue
        last = convolution
        bias = _following(convolution, nodes, used_by, keep)
        if bias is not None and bias.op == "BiasAdd":
            last = bias
        if last.name in keep:
            continue
        for name in used_by.get(last.name, ()):
            taker = nodes[name]
            taker.input[:] = [pool.name if node_name(i) == last.name else i for i in taker.input]
        convolution.input[0], pool.input[0] = pool.input[0], last.name
    return result, weights


def _following(
    node: Any, nodes: Mapping[str, Any], used_by: Successors, keep: Collection[str]
) -> Any | None:
    names = used_by.get(node.name, ())
    return nodes[names[0]] if len(names) == 1 and node.name not in keep else None


def _is_moved(node: Any) -> bool:
    return (
        node.op == "AvgPool"
        and list(node.attr["strides"].list.i) == [1, 1, 1, 1]
        and node.attr["padding"].s == b"SAME"
        and attribute(node, "data_format").s in (b"", b"NHWC")
    )


def _fits(node: Any, weights: Weights) -> bool:
    if node.op != "Conv2D" or attribute(node, "data_format").s not in (b"", b"NHWC"):
        return False
    kernel = weights.get(node_name(node.input[1]))
    if kernel is None or list(node.attr["strides"].list.i) != [1, 1, 1, 1]:
        return False
    return kernel.shape[:2] == (1, 1) and kernel.shape[3] < kernel.shape[2]
