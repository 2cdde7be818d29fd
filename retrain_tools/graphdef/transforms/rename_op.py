"""Gives the nodes of an op another op.

1. The nodes of the graph, and of the functions in its library, whose op is `old_op_name`, have the
   op `new_op_name` afterwards, and all else as it was.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.weights import (
    Weights,
    all_nodes_with_ops,
    fill_whole_constant,
    op_of,
)


def rename_op(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    old_op_name: str,
    new_op_name: str,
) -> tuple[Any, Weights]:
    """Let the nodes of one op be of another, as one that a custom op of yours replaces.

    Args:
        light: the graph.
        weights: its weights.
        keep: the nodes whose values must stay.
        old_op_name: the op.
        new_op_name: the other op, which takes the same inputs and attributes.
    """
    result, weights = copy_nodes(light, lambda _: False), dict(weights)
    for node in light.node:
        added = result.node.add()
        if op_of(node, weights) == old_op_name != new_op_name and node.name in weights:
            fill_whole_constant(added, node, weights.pop(node.name))
        else:
            added.CopyFrom(node)
    for node, op in all_nodes_with_ops(result, weights):
        if op == old_op_name:
            node.op = new_op_name
    return result, weights
