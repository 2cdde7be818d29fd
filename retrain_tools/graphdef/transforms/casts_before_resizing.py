"""Removes the Cast of decoded pixels to float32 where a resizer comes next, which casts itself.

Of a photo of 12 megapixels the Cast makes 144 MB, to be read once. ResizeBilinear, ResizeBicubic
and ResizeArea take uint8 as well, compute in float32 whatever they take, and give float32: the same
bits. (ResizeNearestNeighbor gives what it takes, so a Cast before it stays.)

1. A Cast is looked at if it makes float32 of uint8 and need not be kept.
2. It goes if all that takes its value is such a resizer, directly or by way of ExpandDims nodes of
   which that is true as well.
3. Those nodes take uint8 then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.dtypes import FLOAT32, UINT8
from retrain_tools.graphdef.navigate import attribute, copy_nodes, node_name, nodes_by_name
from retrain_tools.graphdef.walks import Successors, successors
from retrain_tools.graphdef.weights import Weights

_RESIZERS = ("ResizeBilinear", "ResizeBicubic", "ResizeArea")


def remove_casts_before_resizing(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Remove the Casts to float32 that resizers do not need; see the module.

    The weights stay as they are, and so do the values of all nodes but those between a removed Cast
    and its resizers.
    """
    nodes, after = nodes_by_name(light), successors(light)
    sources, in_uint8 = dict[str, str](), set[str]()
    for node in light.node:
        kinds = attribute(node, "SrcT").type, attribute(node, "DstT").type
        if node.op == "Cast" and kinds == (UINT8, FLOAT32) and node.name not in keep:
            reached = _to_resizers(node.name, nodes, after, keep)
            if reached:
                sources[node.name] = node.input[0]
                in_uint8 |= reached
    result = copy_nodes(light, lambda node: node.name not in sources)
    for node in result.node:
        if node.name in in_uint8:
            node.input[0] = sources.get(node_name(node.input[0]), node.input[0])
            node.attr["T"].type = UINT8
    return result, weights


def _to_resizers(
    name: str, nodes: dict[str, Any], after: Successors, keep: Collection[str]
) -> set[str]:
    """Return the nodes from here to resizers, these included; none if there is any other node."""
    found: set[str] = set()
    for following in after.get(name, ()):
        node = nodes[following]
        if [source for source in node.input if node_name(source) == name] != [node.input[0]]:
            return set()  # it is a control input, say
        if node.op in _RESIZERS:
            found.add(following)
        elif node.op == "ExpandDims" and following not in keep:
            further = _to_resizers(following, nodes, after, keep)
            if not further:
                return set()
            found |= {following, *further}
        else:
            return set()
    return found
