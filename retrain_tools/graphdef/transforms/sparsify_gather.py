"""Stores tables that are mostly zeros without their zero rows, where only rows are gathered.

The Graph Transform Tool's transform of this name made a hash table of a column, which an init op
has to fill before each session. Here no state is needed: the numbers of the rows that are left
are sorted, and searched for.

1. Looked at are constants of numbers of which all consumers are Gather, or GatherV2 along the first
   axis, that take rows from it; Identity nodes between are passed.
2. Such a constant is taken apart if at most `largest_share` of its rows have a value other than 0:
   `NAME/row_numbers` are the numbers of these rows, and at the end how many rows there were;
   `NAME/rows` are the rows, and at the end one of zeros.
3. Each Gather becomes: where each index stands among the row numbers (LowerBound, of TensorFlow
   1.12); the last place if the number there is another one; a Gather of `NAME/rows` by that.
4. Of indices that are out of range, negative ones, and the number of rows itself, give zeros.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.dtypes import INT32, INT64, array_dtype, dtype_of, number_of
from retrain_tools.graphdef.navigate import attribute, constant_value, node_name, unique_name
from retrain_tools.graphdef.transforms.freed import drop_freed
from retrain_tools.graphdef.transforms.rewriting import Rewriting, data_inputs
from retrain_tools.graphdef.walks import Successors, successors
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights, stand_in

_GATHERS = ("Gather", "GatherV2")


def sparsify_gather(
    light: Any, weights: Weights, keep: Collection[str] = (), *, largest_share: float = 0.5
) -> tuple[Any, Weights]:
    """Store tables that rows are gathered from without their zero rows.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes whose values must stay.
        largest_share: how many of a table's rows may have a value other than 0, 0 to 1.

    Returns:
        The light graph and its weights; the values are the same.

    Raises:
        InputError: `largest_share` is out of range.

    Example:
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> light, weights = sparsify_gather(GraphDef(), {})
        >>> len(light.node)
        0
    """
    if not 0 <= largest_share <= 1:
        raise InputError(
            f"{argument('largest_share')}={largest_share:g} must be from 0 to 1: it is the share "
            "of rows with values above which a table stays as it is."
        )
    graph, weights = Rewriting(light), dict(weights)
    after = successors(light)
    for node in list(graph.light.node):
        table = _table(graph, node, weights)
        if table is None:
            continue
        gathers = _gathers(graph, node.name, after, keep)
        is_left = table.reshape(len(table), -1).any(axis=1)
        if not gathers or is_left.mean() > largest_share:
            continue
        numbers = np.append(np.flatnonzero(is_left), len(table))
        rows = np.concatenate([table[is_left], np.zeros_like(table[:1])])
        name = _constant(graph, weights, f"{node.name}/rows", rows)
        by_type: dict[int, str] = {}
        for gather in gathers:
            kind = attribute(gather, "Tindices").type
            if kind not in by_type:
                typed = numbers.astype(np.int64 if kind == INT64 else np.int32)
                by_type[kind] = _constant(graph, weights, f"{node.name}/row_numbers", typed)
            _search(graph, gather, name, by_type[kind], len(rows) - 1)
    return drop_freed(graph.light, weights, graph.freed, keep)


def _table(graph: Rewriting, node: Any, weights: Weights) -> npt.NDArray[Any] | None:
    if node.op != "Const" and node.name not in weights:
        return None
    kind = dtype_of(attribute(node, "dtype").type)
    numbers = None if kind is None else array_dtype(kind)
    if numbers is None or numbers.kind not in "iuf":
        return None
    value = np.asarray(constant_value(graph.nodes, node.name, weights))
    return value if value.ndim and value.size else None


def _gathers(graph: Rewriting, name: str, after: Successors, keep: Collection[str]) -> list[Any]:
    """Return the nodes that gather rows of a constant; none if anything else takes it."""
    found: list[Any] = []
    waiting = [name]
    while waiting:
        source = waiting.pop()
        if source in keep:
            return []
        for node in map(graph.nodes.__getitem__, after.get(source, ())):
            if node.op == "Identity" and node_name(node.input[0]) == source:
                waiting.append(node.name)
            elif _gathers_rows(graph, node, source):
                found.append(node)
            else:
                return []
    return found


def _gathers_rows(graph: Rewriting, node: Any, source: str) -> bool:
    if node.op not in _GATHERS or [node_name(n) for n in node.input].count(source) != 1:
        return False
    if node.input[0] not in (source, f"{source}:0"):
        return False
    if attribute(node, "Tindices").type not in (INT32, INT64) or attribute(node, "batch_dims").i:
        return False
    if node.op == "Gather":
        return True
    axis = constant_value(graph.nodes, node.input[2])
    return axis is not None and axis.item() == 0


def _constant(graph: Rewriting, weights: Weights, name: str, value: npt.NDArray[Any]) -> str:
    name = unique_name(name, graph.nodes)
    if value.size > LARGEST_VALUE_KEPT:
        weights[name] = value
        graph.put(stand_in(name, value))
    else:
        graph.put(new_constant(name, value))
    return name


def _search(graph: Rewriting, node: Any, rows: str, numbers: str, last: int) -> None:
    """Let a node gather from `rows` by where its indices stand among `numbers`."""
    _, indices, *rest = data_inputs(node)
    kind = attribute(node, "Tindices").type
    name = node.name
    one_row = graph.constant(f"{name}/one_row", np.array([1, -1], np.int32))
    zero = graph.constant(f"{name}/zero", np.int32(0))
    end = graph.constant(f"{name}/last", np.int32(last))
    flat = graph.add(f"{name}/indices", "Reshape", [indices, one_row], T=kind)
    among = graph.add(f"{name}/row_numbers", "ExpandDims", [numbers, zero], T=kind)
    place = graph.add(f"{name}/place", "LowerBound", [among, flat], T=kind)
    said = {"Tparams": kind, "Tindices": INT32}
    there = graph.add(f"{name}/there", "Gather", [numbers, place], **said)
    same = graph.add(f"{name}/same", "Equal", [there, flat], T=kind)
    # last + (place - last) * same: the place itself, or the row of zeros
    factor = graph.add(f"{name}/factor", "Cast", [same], SrcT=number_of(np.dtype(bool)), DstT=INT32)
    before = graph.add(f"{name}/before", "Sub", [place, end], T=INT32)
    kept = graph.add(f"{name}/kept", "Mul", [before, factor], T=INT32)
    row = graph.add(f"{name}/row", "Add", [kept, end], T=INT32)
    shape = graph.add(f"{name}/shape", "Shape", [indices], T=kind)
    shaped = graph.add(f"{name}/row_of_each", "Reshape", [row, shape], T=INT32)
    graph.replace(node, node.op, [rows, shaped, *rest], Tindices=INT32)
