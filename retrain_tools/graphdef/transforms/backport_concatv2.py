"""Writes ConcatV2 as Concat, which every TensorFlow since the first has.

The Graph Transform Tool's transform of this name.

1. A ConcatV2 becomes a Concat of the same name. Its axis, the last data input, comes first; control
   inputs stay last. `Tidx` goes, which Concat does not have.
2. One whose axis is int64 stays, because Concat takes int32 only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.dtypes import INT64
from retrain_tools.graphdef.navigate import attribute, copy_nodes
from retrain_tools.graphdef.weights import Weights


def backport_concatv2(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
) -> tuple[Any, Weights]:
    """Write ConcatV2 as Concat, for TensorFlow before 1.0 and its tools.

    Args:
        light: the light graph; it is not changed.
        weights: its weights; they stay as they are.
        keep: names of nodes that must stay; all do.

    Returns:
        A light graph with the same nodes and values, and the weights.

    Example:
        >>> from retrain_tools.graphdef.build import new_node
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> node = new_node("c", "ConcatV2", ["a", "b", "axis"], N=2, T=1)
        >>> light, _ = backport_concatv2(GraphDef(node=[node]), {})
        >>> light.node[0].op, list(light.node[0].input)
        ('Concat', ['axis', 'a', 'b'])
    """
    result = copy_nodes(light, lambda _: True)
    for node in result.node:
        if node.op == "ConcatV2" and attribute(node, "Tidx").type != INT64:
            data = [name for name in node.input if not name.startswith("^")]
            control = [name for name in node.input if name.startswith("^")]
            node.op = "Concat"
            node.input[:] = [data[-1], *data[:-1], *control]
            node.attr.pop("Tidx", None)
    return result, weights
