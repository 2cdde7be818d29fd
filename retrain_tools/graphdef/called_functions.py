"""Which functions of a graph's library its nodes call, and what attributes hold at any depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, reached


def called_functions(graph_def: Any) -> list[Any]:
    """Return the functions that a graph's nodes call, directly or by others, in their order.

    1. A function is called by a node whose op it is, or by an attribute that names it.
    2. A few ops name a function in a text, so a text that is a function's name calls it.
    3. The gradient of a function is called wherever the function is: SymbolicGradient runs it.

    Args:
        graph_def: a GraphDef, or what has its `node` and `library`; it is not changed.
    """
    known = {function.signature.name: function for function in graph_def.library.function}
    if not known:
        return []
    gradients = {g.function_name: g.gradient_func for g in graph_def.library.gradient}

    def called_by(name: str) -> list[str]:
        called = [*_names_in(known[name].node_def), gradients.get(name, "")]
        return [function for function in called if function in known]

    starts = [name for name in _names_in(graph_def.node) if name in known]
    called = reached(starts, called_by, ())
    return [function for name, function in known.items() if name in called]


def remove_unused_functions(graph_def: Any) -> Any:
    """Return a graph without the functions that none of its nodes calls; see `called_functions`."""
    result = copy_nodes(graph_def, lambda _: True)
    called = called_functions(graph_def)
    del result.library.function[:]
    result.library.function.extend(called)
    names = {function.signature.name for function in called}
    del result.library.gradient[:]
    result.library.gradient.extend(
        g for g in graph_def.library.gradient if g.function_name in names
    )
    return result


def functions_named(attributes: Any) -> Iterator[str]:
    """Yield the names of the functions that attributes name, at any depth.

    Args:
        attributes: a map of AttrValues.
    """
    for value in attributes.values():
        for function in _functions_of(value):
            yield function.name
            yield from functions_named(function.attr)


def strings_of(attributes: Any) -> Iterator[tuple[str, bytes]]:
    """Yield all strings in the attributes of a node or function, each with its attribute's name.

    Args:
        attributes: a map of AttrValues, which may themselves hold functions with attributes.
    """
    for key, value in attributes.items():
        kind = value.WhichOneof("value")
        tensors: Iterable[Any] = ()
        if kind == "s":
            yield key, value.s
        elif kind == "tensor":
            tensors = (value.tensor,)
        elif kind == "list":
            yield from ((key, text) for text in value.list.s)
            tensors = value.list.tensor
        yield from ((key, text) for tensor in tensors for text in tensor.string_val)
        for function in _functions_of(value):
            yield from ((f"{key}.{inner}", text) for inner, text in strings_of(function.attr))


def _functions_of(value: Any) -> Iterable[Any]:
    """Return the NameAttrLists in an AttrValue."""
    kind = value.WhichOneof("value")
    if kind == "func":
        return (value.func,)
    return value.list.func if kind == "list" else ()


def _names_in(nodes: Iterable[Any]) -> Iterator[str]:
    """Yield whatever may name a function in nodes."""
    for node in nodes:
        yield node.op
        yield from functions_named(node.attr)
        yield from (text.decode("utf-8", "replace") for _, text in strings_of(node.attr))
