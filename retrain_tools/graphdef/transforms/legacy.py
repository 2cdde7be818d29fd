"""Writes a graph so that an old TensorFlow loads it, or says why that cannot be.

What TensorFlow had when is known from its releases 1.2 to 1.15, 2.3, 2.6, 2.12 and 2.21 (see
`op_history`); a release between two of these is taken for the one before it.

1. A node whose op came up later is written with older ops that do the same, under its name; see
   `old_forms`. So is one with an attribute that came up later and says more than its default:
   convolutions with dilations get kernels with holes, and explicit paddings become a Pad.
2. Attributes that came up later and say their default go, and those that no TensorFlow knows.
3. Where an op, an attribute or a type is left that came up later, the graph is refused, and all
   such nodes are said.
4. The graph's version becomes at most the old one's, the oldest consumer at most 12, and functions
   that nothing calls go.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.called_functions import remove_unused_functions
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.op_history import OpHistory, op_history, version_place, versions
from retrain_tools.graphdef.ops import defaults, registry
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.transforms.freed import drop_freed
from retrain_tools.graphdef.transforms.old_forms import ATTRIBUTE_FORMS, FORMS, Backward
from retrain_tools.graphdef.weights import Weights

_MOST_SHOWN = 5
_MOST_PASSES = 4  # an older form may itself be too young: V3 of an op becomes V2, then V1
# Every graph without functions can say so: consumers since TensorFlow 0.11.
_OLDEST_CONSUMER = 12


def legacy(
    light: Any, weights: Weights, keep: Collection[str] = (), *, tf: str = "1.4"
) -> tuple[Any, Weights]:
    """Write the graph with what an old TensorFlow has, as `tf="1.4"`, or say why not.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes whose values must stay.
        tf: the oldest TensorFlow that is to load the graph: 1.2 or later.

    Returns:
        The light graph and its weights; values differ by rounding at most.

    Raises:
        InputError: `tf` is no such version; or the graph has nodes that it does not have, and that
            cannot be written with older ones.

    Example:
        >>> from retrain_tools.graphdef.build import new_node
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> x = new_node("x", "Placeholder", dtype=1)
        >>> nodes = [x, new_node("y", "AddV2", ["x", "x"], T=1)]
        >>> light, _ = legacy(GraphDef(node=nodes), {}, tf="1.4")
        >>> light.node[1].op
        'Add'
    """
    place = version_place(tf)
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(light)}
    graph = Backward(light, dict(weights), shapes)
    for _ in range(_MOST_PASSES):
        for node in list(graph.light.node):
            _rewrite(graph, node, place)
    functions = {function.signature.name for function in graph.light.library.function}
    _check(graph, place, functions, tf)
    result = remove_unused_functions(graph.light)
    result.versions.producer = min(result.versions.producer, list(versions().values())[place])
    result.versions.min_consumer = min(result.versions.min_consumer, _OLDEST_CONSUMER)
    return drop_freed(result, graph.weights, graph.freed, keep)


def _rewrite(graph: Backward, node: Any, place: int) -> None:
    history = op_history().get(node.op)
    if history is None:
        return
    if history.since > place:
        if node.op in FORMS:
            FORMS[node.op](graph, node)
        return
    definition = registry().get(node.op)
    if definition is None:
        return
    said, known = defaults(definition), {attribute.name for attribute in definition.attr}
    for key in list(node.attr):
        if key.startswith("_") or key not in node.attr:
            continue
        is_late = history.later.get(key, 0) > place
        if key not in known or (is_late and node.attr[key] == said.get(key)):
            del node.attr[key]
        elif is_late and key in ATTRIBUTE_FORMS:
            ATTRIBUTE_FORMS[key](graph, node)


def _check(graph: Backward, place: int, functions: Collection[str], tf: str) -> None:
    problems = []
    for node in graph.light.node:
        reason = _reason(node, place, functions)
        if reason:
            why = f" ({graph.reasons[node.name]})" if node.name in graph.reasons else ""
            problems.append(f"{node.name!r} is a {node.op}, {reason}{why}")
    if not problems:
        return
    more = f" … and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
    raise InputError(
        f"TensorFlow {tf} cannot load this graph: {'; '.join(problems[:_MOST_SHOWN])}{more}. What "
        "the outputs do not need is removed by strip_unused_nodes; a later version may do."
    )


def _reason(node: Any, place: int, functions: Collection[str]) -> str | None:
    """Say what of a node the version at `place` does not have; None if it has all."""
    names = list(versions())
    history = op_history().get(node.op)
    if _calls(node, functions) and _is_late(op_history().get("PartitionedCall"), place):
        return "which calls a function: freezing the graph writes these out"
    if history is None:
        return None if node.op in functions else "which no TensorFlow has"
    if history.since > place:
        return f"which TensorFlow {names[history.since]} has first"
    for key, value in node.attr.items():
        if history.later.get(key, 0) > place:
            return f"whose {key} TensorFlow {names[history.later[key]]} has first"
        for number in (value.type, *value.list.type):
            dtype = dtype_name(number)
            since = history.later.get(f"{key}:{dtype}", 0)
            if since > place:
                return f"which takes {dtype} since TensorFlow {names[since]}"
    return None


def _is_late(history: OpHistory | None, place: int) -> bool:
    return history is not None and history.since > place


def _calls(node: Any, functions: Collection[str]) -> bool:
    return node.op in functions or any(
        value.func.name or value.list.func for value in node.attr.values()
    )
