"""Computes once what a graph computes several times.

1. Two nodes are the same if they have the same op, device, inputs, control inputs (in any order)
   and attributes (one that is left out is its default), and, as constants, the same bits.
2. They are looked at in the order in which they are computed, so that nodes are the same whose
   inputs were.
3. The first of them stays, or one that is to be kept; what took or waited for the others takes or
   waits for it. Of several that are to be kept, all stay.
4. Nodes that hold a state, draw random numbers or have other effects are never the same, nor those
   of loops and of ops that are not known; nor are placeholders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import strip_defaults
from retrain_tools.graphdef.navigate import copy_nodes, node_name, nodes_by_name
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.ops import registry
from retrain_tools.graphdef.toposort import execution_order
from retrain_tools.graphdef.weights import OF_STAND_INS, Weights, op_of

# control_flow_ops.cc: what they give depends on the turn of the loop, or on the way that is taken.
_OF_LOOPS = frozenset(
    f"{reference}{op}"
    for op in ("Enter", "Exit", "NextIteration", "Merge", "Switch", "LoopCond")
    for reference in ("", "Ref")
)


def merge_duplicate_nodes(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Compute once what nodes of the same op, inputs and attributes compute several times.

    Args:
        light: the graph.
        weights: its weights; of arrays with the same bits, one stays.
        keep: the nodes whose values must stay.
    """
    nodes = nodes_by_name(light)
    same_as: dict[str, str] = {}
    first: dict[bytes, str] = {}
    for name in execution_order(light):
        node = nodes[name]
        is_candidate = _may_be_merged(node, weights)
        same_as[name] = (
            first.setdefault(_key(node, weights, same_as), name) if is_candidate else name
        )
    stays = dict[str, str]()  # for the first of those that are the same, the one that stays
    for name in (*(name for name in keep if name in nodes), *same_as.values()):
        stays.setdefault(same_as[name], name)
    goes_to = {
        name: stays[other]
        for name, other in same_as.items()
        if name not in keep and stays[other] != name
    }
    result = copy_nodes(light, lambda node: node.name not in goes_to)
    for node in result.node:
        node.input[:] = _inputs(node, goes_to)
    return result, {name: array for name, array in weights.items() if name not in goes_to}


def _may_be_merged(node: Any, weights: Weights) -> bool:
    if node.name in weights:
        return True
    definition = registry().get(node.op)
    if definition is None or definition.is_stateful or node.op in _OF_LOOPS:
        return False
    takes_references = any(argument.is_ref for argument in definition.input_arg)
    return node.op not in PLACEHOLDERS and not takes_references


def _key(node: Any, weights: Weights, same_as: Mapping[str, str]) -> bytes:
    """Return bytes that only the same nodes have, with inputs by the first of those the same."""
    plain = schema.NodeDef(op=op_of(node, weights), device=node.device)
    plain.input[:] = _inputs(node, same_as)
    for key in node.attr:
        if node.name not in weights or key not in OF_STAND_INS:
            plain.attr[key].CopyFrom(node.attr[key])
    strip_defaults(plain)
    values = _digest(weights[node.name]) if node.name in weights else b""
    data: bytes = plain.SerializeToString(deterministic=True) + values
    return data


def _inputs(node: Any, names: Mapping[str, str]) -> list[str]:
    """Return a node's inputs by other names, its control inputs sorted and each once."""
    found = []
    for source in node.input:
        name = node_name(source)
        found.append(source.replace(name, names[name], 1) if name in names else source)
    data = [source for source in found if not source.startswith("^")]
    return data + sorted({source for source in found if source.startswith("^")})


def _digest(array: npt.NDArray[Any]) -> bytes:
    digest = hashlib.sha256(f"{array.dtype} {array.dtype.names} {array.shape}".encode())
    if array.dtype.hasobject:
        digest.update(repr(array.tolist()).encode())
    elif array.size and not any(array.strides):  # one value for all, whatever shape a file claims
        digest.update(array[(0,) * array.ndim].tobytes())
    else:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.digest()
