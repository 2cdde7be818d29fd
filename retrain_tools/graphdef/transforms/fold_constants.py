"""Computes what depends on constants alone, so that it is not computed again for every batch.

1. Looked at are the ops by which networks compute weights, shapes and axes (`constant_ops`):
   arithmetic, above all that of batch norms and scalings, and what moves values. The Graph
   Transform Tool ran any op in TensorFlow; here, nothing is run.
2. A node whose inputs are all constants, and which nothing controls, becomes a constant of its own
   name. What it was computed from goes, unless something else takes it or it is to be kept.
3. Values are those of NumPy in the node's own type; TensorFlow's differ by rounding, in the last
   bit.
4. A result stays uncomputed if it would have a million elements more than what it is made of.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.navigate import (
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.graphdef.toposort import CycleError, topological_order
from retrain_tools.graphdef.transforms.constant_ops import compute
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights, stand_in


def fold_constants(light: Any, weights: Weights, keep: Collection[str] = ()) -> tuple[Any, Weights]:
    """Compute what depends on constants alone, once and for all.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes that must stay.

    Returns:
        The light graph and its weights. A graph with a loop stays as it is.

    Example:
        >>> import numpy as np
        >>> from retrain_tools.graphdef.build import new_constant, new_node
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> two = new_constant("two", np.float32(2))
        >>> nodes = [two, new_node("four", "Add", ["two", "two"], T=1)]
        >>> light, _ = fold_constants(GraphDef(node=nodes), {}, keep=["four"])
        >>> [(node.name, node.op) for node in light.node]
        [('four', 'Const')]
    """
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes = nodes_by_name(result)
    try:
        order = topological_order({n.name: list(map(node_name, n.input)) for n in result.node})
    except CycleError:
        return result, weights
    ends = set(keep) | {n.name for n in result.node if not _is_constant(n, weights)}
    for node in map(nodes.__getitem__, order):
        if any(name.startswith("^") for name in node.input):
            continue
        values = [constant_value(nodes, name, weights) for name in node.input]
        known = [value for value in values if value is not None]
        value = compute(node, known) if len(known) == len(values) else None
        if value is None:
            continue
        if value.size > LARGEST_VALUE_KEPT:
            weights[node.name] = value
            node.CopyFrom(stand_in(node.name, value))
        else:
            node.CopyFrom(new_constant(node.name, value))
        ends.discard(node.name)
    wanted = upstream(nodes, ends | set(keep))
    return (
        copy_nodes(result, lambda node: node.name in wanted),
        {name: array for name, array in weights.items() if name in wanted},
    )


def _is_constant(node: Any, weights: Weights) -> bool:
    return node.op == "Const" or node.name in weights
