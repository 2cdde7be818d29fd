"""Computes what depends on constants alone, so that it is not computed again for every batch.

1. Looked at are nodes of the arithmetic in which networks write out batch norms and scalings (see
   `_ARITHMETIC`), on float32 numbers.
2. One whose inputs are all constants, and which nothing controls, becomes a constant of its own
   name. What it was computed from goes, unless something else takes it or it is to be kept.
3. Values are those of NumPy in float32; TensorFlow's differ by rounding, in the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.graphdef.toposort import topological_order
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights, stand_in

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "RealDiv": np.divide,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Rsqrt": lambda x: np.float32(1) / np.sqrt(x),
    "Sqrt": np.sqrt,
    "Square": np.square,
}


def fold_constants(light: Any, weights: Weights, keep: Collection[str] = ()) -> tuple[Any, Weights]:
    """Replace arithmetic on constants by its results; see the module."""
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes = nodes_by_name(result)
    order = topological_order({n.name: list(map(node_name, n.input)) for n in result.node})
    ends = set(keep) | {n.name for n in result.node if not _is_constant(n, weights)}
    for node in map(nodes.__getitem__, order):
        if node.op not in _ARITHMETIC or attribute(node, "T").type != FLOAT32:
            continue
        values = [constant_value(nodes, name, weights) for name in node.input]
        if any(value is None for value in values):
            continue
        with np.errstate(all="ignore"):  # as TensorFlow does
            value = np.asarray(_ARITHMETIC[node.op](*values), np.float32)
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
