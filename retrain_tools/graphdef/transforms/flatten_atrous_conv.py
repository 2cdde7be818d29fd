"""Writes convolutions with holes, made of three nodes, as one plain convolution each.

The Graph Transform Tool's transform of this name, with a look at the paddings more: the tool takes
them to be those of SAME, whatever they are.

1. Looked at are Conv2D and DepthwiseConv2dNative nodes (NHWC, float32, strides 1, padding VALID, a
   kernel that is a constant) between a SpaceToBatchND and a BatchToSpaceND of the same constant
   block [b, c], where nothing else takes what is between. The first pads by p, the second crops.
2. The kernel gets b - 1 rows and c - 1 columns of zeros between its own: k becomes (k - 1) b + 1.
3. If the paddings, less what is cropped again, are those of SAME or of VALID, a convolution
   of that padding under the name of the BatchToSpaceND takes what the SpaceToBatchND took. Other
   paddings stay as they are.
4. What was between, and constants without a consumer, go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
)
from retrain_tools.graphdef.op_sets import FLOAT_CONVOLUTIONS
from retrain_tools.graphdef.transforms.freed import drop_freed
from retrain_tools.graphdef.walks import Successors, successors
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights, stand_in

_NHWC = (b"", b"NHWC")


def flatten_atrous_conv(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Write SpaceToBatchND, convolution, BatchToSpaceND as one convolution with a wider kernel.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes whose values must stay.

    Returns:
        The light graph and its weights; values differ by rounding only.

    Example:
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> light, weights = flatten_atrous_conv(GraphDef(), {})
        >>> len(light.node)
        0
    """
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes, after = nodes_by_name(result), successors(result)
    gone: set[str] = set()
    freed: set[str] = set()
    for node in list(result.node):
        if node.op != "BatchToSpaceND":
            continue
        found = _convolution_between(node, nodes, after, keep, weights)
        if found is None:
            continue
        before, convolution, block, padding = found
        kernel = np.asarray(constant_value(nodes, convolution.input[1], weights))
        name = unique_name(f"{node_name(convolution.input[1])}/with_holes", nodes)
        nodes[name] = _constant(name, with_holes(kernel, block), weights)
        result.node.append(nodes[name])
        freed |= {node_name(n) for part in (before, convolution, node) for n in part.input[1:]}
        gone |= {before.name, convolution.name}
        flat = type(node)()
        flat.CopyFrom(convolution)
        flat.name = node.name
        flat.input[:] = [before.input[0], name]
        flat.attr["padding"].s = padding
        node.CopyFrom(flat)
    result = copy_nodes(result, lambda node: node.name not in gone)
    return drop_freed(result, weights, freed, keep)


def with_holes(kernel: npt.NDArray[Any], block: tuple[int, int]) -> npt.NDArray[Any]:
    """Return a kernel [h, w, …] with block[0] - 1 rows and block[1] - 1 columns of zeros between.

    A convolution by it is the one that a dilation, or rate, of `block` means.
    """
    reach = (np.array(kernel.shape[:2]) - 1) * block
    wide = np.zeros((*(reach + 1), *kernel.shape[2:]), kernel.dtype)
    wide[:: block[0], :: block[1]] = kernel
    return wide


def _constant(name: str, value: npt.NDArray[Any], weights: Weights) -> Any:
    if value.size <= LARGEST_VALUE_KEPT:
        return new_constant(name, value)
    weights[name] = value
    return stand_in(name, value)


def _convolution_between(
    last: Any,
    nodes: Mapping[str, Any],
    after: Successors,
    keep: Collection[str],
    weights: Weights,
) -> tuple[Any, Any, tuple[int, int], bytes] | None:
    """Return the SpaceToBatchND, the convolution, the block and the padding that all three make."""
    convolution = nodes[node_name(last.input[0])]
    if convolution.op not in FLOAT_CONVOLUTIONS or not _is_plain(convolution):
        return None
    before = nodes[node_name(convolution.input[0])]
    if before.op != "SpaceToBatchND" or any(
        len(after[node.name]) != 1 or node.name in keep for node in (before, convolution)
    ):
        return None
    if any(n.startswith("^") for node in (before, convolution, last) for n in node.input):
        return None
    kernel = constant_value(nodes, convolution.input[1], weights)
    said = [constant_value(nodes, n) for n in (*before.input[1:3], *last.input[1:3])]
    if kernel is None or any(value is None for value in said):
        return None
    block, paddings, block_after, crops = (np.asarray(value, np.int64) for value in said)
    if block.shape != (2,) or (block != block_after).any():
        return None
    padding = _padding((np.array(kernel.shape[:2]) - 1) * block, paddings, crops)
    return None if padding is None else (before, convolution, (block[0], block[1]), padding)


def _is_plain(convolution: Any) -> bool:
    strides, dilations = (attribute(convolution, key).list.i for key in ("strides", "dilations"))
    return (
        attribute(convolution, "T").type == FLOAT32
        and attribute(convolution, "data_format").s in _NHWC
        and attribute(convolution, "padding").s == b"VALID"
        and set(strides) == {1}
        and set(dilations) <= {1}
    )


def _padding(reach: Any, paddings: Any, crops: Any) -> bytes | None:
    """Return SAME or VALID, if the paddings less the crops are so; `reach` is the kernel's - 1."""
    if crops[:, 0].any():
        return None
    net = np.stack([paddings[:, 0], paddings[:, 1] - crops[:, 1]], axis=1)
    same = np.stack([reach // 2, reach - reach // 2], axis=1)
    if (net == same).all():
        return b"SAME"
    return b"VALID" if not net.any() else None
