"""Lets nodes print what they compute while a graph runs, with TensorFlow's Print op, to stderr.

1. Nodes are those of the ops `op`, and those whose names begin with one of `prefix`; without
   either, all. Constants, placeholders and what gives no values (handles, references) are left out.
2. Each output of theirs that another node takes goes through a Print node, NAME__print__ (or
   NAME_1__print__ for the output 1), and whatever took the output takes it from there.
3. A node to be kept that has a single output keeps its name for what is fetched: the Print node has
   it, and the node that computes the value is called NAME__value__.
4. What is printed is `message`, then with `show_op` the op, with `show_name` the name, and up to
   `summarize` values; of `first_n` runs, or of all if it is negative.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import dtype_number
from retrain_tools.graphdef.navigate import copy_nodes, full_name, unique_name
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.tensors import Tensor, consumers_by_tensor, list_tensors
from retrain_tools.graphdef.weights import Weights, op_of

_SILENT = ("Const", "Print", *PLACEHOLDERS)
_NO_VALUES = ("resource", "variant")


def insert_logging(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),
    *,
    op: Sequence[str] = (),
    prefix: Sequence[str] = (),
    show_op: bool = False,
    show_name: bool = False,
    message: str = "",
    first_n: int = -1,
    summarize: int = 1024,
) -> tuple[Any, Weights]:
    """Let nodes print their values to stderr while the graph runs.

    Args:
        light: the graph.
        weights: its weights, which stay as they are.
        keep: the nodes whose values must stay.
        op: the ops whose nodes print.
        prefix: the beginnings of the names of nodes that print.
        show_op: print the op before the values.
        show_name: print the node's name before the values.
        message: a text before these.
        first_n: in how many runs a node prints; all if it is negative.
        summarize: how many values are printed.
    """
    logged = {
        node.name: node
        for node in light.node
        if op_of(node, weights) not in _SILENT and _is_chosen(node, op, prefix)
    }
    tensors: dict[str, list[Tensor]] = {}
    for tensor in list_tensors(light):
        tensors.setdefault(tensor.name.rpartition(":")[0], []).append(tensor)
    taken, names = consumers_by_tensor(light), {node.name for node in light.node}
    prints, instead, values = list[Any](), dict[str, str](), dict[str, str]()
    for name, node in logged.items():
        made = tensors.get(name, [])  # a NoOp makes none
        is_kept = name in keep and len(made) == 1
        for number, tensor in enumerate(made):
            if not _has_values(tensor) or not (is_kept or tensor.name in taken):
                continue
            place = unique_name(
                f"{name}_{number}__print__" if number else f"{name}__print__", names
            )
            if is_kept:
                place, values[name] = name, unique_name(f"{name}__value__", names)
            names |= {place, values.get(name, name)}
            source = values.get(name, tensor.name.removesuffix(":0"))
            text = _text(message, node.op if show_op else "", name if show_name else "")
            prints.append(_print(place, source, tensor, text, first_n, summarize))
            instead[tensor.name] = place
    return _with_prints(light, weights, prints, instead, values)


def _is_chosen(node: Any, ops: Sequence[str], prefixes: Sequence[str]) -> bool:
    if not ops and not prefixes:
        return True
    return node.op in ops or node.name.startswith(tuple(prefixes))


def _has_values(tensor: Tensor) -> bool:
    return dtype_number(tensor.dtype) is not None and not (
        tensor.dtype in _NO_VALUES or tensor.dtype.endswith("_ref")
    )


def _text(message: str, op: str, name: str) -> str:
    return "".join(f"{text};" for text in (message, op, name) if text)


def _print(
    name: str, source: str, tensor: Tensor, message: str, first_n: int, summarize: int
) -> Any:
    number = dtype_number(tensor.dtype)
    return new_node(
        name,
        "Print",
        [source, source],
        T=number,
        U=[number],
        message=message,
        first_n=first_n,
        summarize=summarize,
    )


def _with_prints(
    light: Any,
    weights: Weights,
    prints: Sequence[Any],
    instead: Mapping[str, str],
    values: Mapping[str, str],
) -> tuple[Any, Weights]:
    """Return the graph with Print nodes, each behind the node whose value it prints."""
    taking = copy_nodes(light, lambda _: True)
    for node in taking.node:
        node.input[:] = [
            source if source.startswith("^") else instead.get(full_name(source), source)
            for source in node.input
        ]
    # Only the nodes themselves: what takes or waits for a kept node takes or waits for its Print.
    for node in taking.node:
        node.name = values.get(node.name, node.name)
    by_source: dict[str, list[Any]] = {}
    for node in prints:
        by_source.setdefault(node.input[0].partition(":")[0], []).append(node)
    result = copy_nodes(light, lambda _: False)
    for node in taking.node:
        result.node.add().CopyFrom(node)
        result.node.extend(by_source.get(node.name, ()))
    return result, weights
