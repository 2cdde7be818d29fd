"""Leaves of a graph's library the functions that something calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, reached


def remove_unused_functions(graph_def: Any) -> Any:
    """Return a graph without the functions that none of its nodes calls, directly or by others.

    A function is called by a node whose op it is, or by an attribute that names it; a gradient of
    it is called wherever it is.
    """
    known = {function.signature.name: function for function in graph_def.library.function}
    result = copy_nodes(graph_def, lambda _: True)
    if not known:
        return result
    gradients = {g.function_name: g.gradient_func for g in graph_def.library.gradient}

    def called_by(name: str) -> list[str]:
        called = [*_named(known[name].node_def), gradients.get(name, "")]
        return [function for function in called if function in known]

    starts = [name for name in _named(graph_def.node) if name in known]
    called = reached(starts, called_by, ())
    del result.library.function[:]
    result.library.function.extend(f for name, f in known.items() if name in called)
    del result.library.gradient[:]
    result.library.gradient.extend(
        g for g in graph_def.library.gradient if g.function_name in called
    )
    return result


def _named(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield whatever may be the name of a function in nodes."""
    for node in nodes:
        yield node.op
        for key in node.attr:
            yield from _named_by(node.attr[key])


def _named_by(value: Any) -> Iterator[str]:
    kind = value.WhichOneof("value")
    if kind == "func":
        functions = [value.func]
    elif kind == "list":
        functions = list(value.list.func)
    else:
        if kind == "s":  # a few ops name a function in a text
            yield value.s.decode("utf-8", "replace")
        return
    for function in functions:
        yield function.name
        for key in function.attr:
            yield from _named_by(function.attr[key])
