"""Lets a network compute in bfloat16 what costs time, and in float32 what costs accuracy.

1. Convolutions by weights compute in bfloat16, and with them the BiasAdd and the activation behind
   each, which run in one kernel with it.
2. What lies between convolutions and only moves, pools or adds up values (see `_BETWEEN`) does,
   too: less memory is read and written.
3. All else stays float32: what prepares the pixels, and what follows the last convolution, such as
   the pooling of the last feature map and the classifier.
4. Where a value passes from one type into the other, a Cast is put, one for each tensor.
5. Constants that bfloat16 nodes take become bfloat16 weights, of half the size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import ml_dtypes

from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import BFLOAT16, FLOAT32
from retrain_tools.graphdef.navigate import (
    constant_value,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import CONCATENATIONS, FLOAT_CONVOLUTIONS, PADDINGS
from retrain_tools.graphdef.toposort import topological_order
from retrain_tools.graphdef.walks import consumers
from retrain_tools.graphdef.weights import Weights, stand_in

_BEHIND = ("BiasAdd", "Relu", "Relu6", "Elu", "LeakyRelu")
_BETWEEN = (
    *(*_BEHIND, *PADDINGS, *CONCATENATIONS),
    *("MaxPool", "AvgPool", "Add", "AddV2", "Mul", "Squeeze", "Reshape", "Identity"),
)
# Inputs that are no values: paddings, axes, shapes.
_INDEXES = {"Pad": (1,), "MirrorPad": (1,), "PadV2": (1,), "Reshape": (1,), "Concat": (0,)}


def to_bfloat16(light: Any, weights: Weights, keep: Collection[str] = ()) -> tuple[Any, Weights]:
    """Let convolutions, and what lies between them, compute in bfloat16; see the module.

    The values of the nodes in `keep` may be bfloat16, too.
    """
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes = nodes_by_name(result)
    low = _low_nodes(result, weights)
    casts: dict[tuple[str, bool], str] = {}
    for node in list(result.node):
        is_low = node.name in low
        for index, name in enumerate(node.input):
            source = node_name(name)
            if (source in low) == is_low or name.startswith("^"):
                continue
            if is_low and index in _indexes(node):
                continue
            if (full_name(name), is_low) not in casts:
                cast = _cast(unique_name(f"{source}/cast", nodes), name, nodes, weights, is_low)
                nodes[cast.name] = cast
                result.node.append(cast)
                casts[full_name(name), is_low] = cast.name
            node.input[index] = casts[full_name(name), is_low]
        if is_low:
            node.attr["T"].type = BFLOAT16
    used = consumers(result)
    unused = {name for name in weights if name not in used and name not in keep}
    return (
        copy_nodes(result, lambda node: node.name not in unused),
        {name: array for name, array in weights.items() if name not in unused},
    )


def _low_nodes(light: Any, weights: Weights) -> set[str]:
    """Return the names of the nodes that are to compute in bfloat16."""
    nodes = nodes_by_name(light)
    layers = {
        node.name
        for node in light.node
        if node.op in FLOAT_CONVOLUTIONS and _is_float(node) and node_name(node.input[1]) in weights
    }
    before_layers = upstream(nodes, layers)
    low = set(layers)
    order = topological_order({n.name: list(map(node_name, n.input)) for n in light.node})
    for node in map(nodes.__getitem__, order):
        values = [
            node_name(name) for index, name in enumerate(node.input) if index not in _indexes(node)
        ]
        if not _is_float(node):
            continue
        is_in_one_kernel = node.op in _BEHIND and (
            values[0] in layers or (values[0] in low and nodes[values[0]].op == "BiasAdd")
        )
        is_between = node.op in _BETWEEN and node.name in before_layers
        moving = {name for name in values if not _is_constant(nodes[name], weights)}
        if is_in_one_kernel or (is_between and low & moving):
            low.add(node.name)
    return low


def _is_float(node: Any) -> bool:
    return "T" not in node.attr or bool(node.attr["T"].type == FLOAT32)  # MaxPool's default


def _is_constant(node: Any, weights: Weights) -> bool:
    return node.op == "Const" or node.name in weights


def _indexes(node: Any) -> tuple[int, ...]:
    """Return which inputs of a node are no values: paddings, axes, shapes."""
    if node.op == "ConcatV2":
        return (len(node.input) - 1,)
    return _INDEXES.get(node.op, ())


def _cast(name: str, source: str, nodes: Mapping[str, Any], weights: Weights, to_low: bool) -> Any:
    """Return a node that gives a value in the other type; of a constant, a weight."""
    constant = constant_value(nodes, source, weights) if to_low else None
    if constant is not None:
        weights[name] = constant.astype(ml_dtypes.bfloat16)
        return stand_in(name, weights[name])
    types = (FLOAT32, BFLOAT16) if to_low else (BFLOAT16, FLOAT32)
    return new_node(name, "Cast", [source], SrcT=types[0], DstT=types[1])
