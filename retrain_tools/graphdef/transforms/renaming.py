"""Gives nodes other names.

`rename_node`:

1. The node gets its new name, which no other node may have, whether it is to be kept or not.
2. What takes it, waits for it, or is to be on the same device follows, and the graph's own note.

`obfuscate_names`:

1. All nodes but the inputs and those to be kept get short names that say nothing: 0, 1, … 9, a, …
   z, A, … Z, 00, … in file order, without the names that stay.
2. Their references follow, as above. The names of end points go from the graph's own note.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.navigate import copy_nodes, node_name
from retrain_tools.graphdef.note import rename_in_note
from retrain_tools.graphdef.weights import Weights

_LETTERS = string.digits + string.ascii_lowercase + string.ascii_uppercase
_SAME_DEVICE = b"loc:@"  # before the name of a node, in the attribute _class


def rename_node(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    old_node_name: str,
    new_node_name: str,
) -> tuple[Any, Weights]:
    """Give a node, also an input or output, another name.

    Args:
        light: the graph.
        weights: its weights.
        keep: the nodes whose values must stay.
        old_node_name: its name.
        new_node_name: its new name.

    Raises:
        InputError: there is no such node, or the new name is taken or none.
    """
    names = [node.name for node in light.node]
    if old_node_name not in names:
        raise InputError(f"No node {old_node_name!r}.{did_you_mean(old_node_name, names)}")
    if new_node_name != old_node_name and new_node_name in names:
        raise InputError(f"There is a node {new_node_name!r} already.")
    if not new_node_name or ":" in new_node_name or new_node_name.startswith("^"):
        raise InputError(f"{new_node_name!r} is no name of a node.")
    return renamed(light, weights, {old_node_name: new_node_name})


def obfuscate_names(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),
    *,
    inputs: Sequence[str] = (),
) -> tuple[Any, Weights]:
    """Give all nodes but inputs and outputs short names: the file is smaller, and says less.

    Args:
        light: the graph.
        weights: its weights.
        keep: the nodes whose values, and names, must stay.
        inputs: the tensors that are fed.
    """
    stay = {*keep, *map(node_name, inputs)}
    short = (name for name in _short_names() if name not in stay)
    names = {node.name: next(short) for node in light.node if node.name not in stay}
    result, weights = renamed(light, weights, names)
    for node in result.node:
        rename_in_note(node, {}, end_points=False)
    return result, weights


def renamed(light: Any, weights: Weights, names: Mapping[str, str]) -> tuple[Any, Weights]:
    """Return a graph and its weights with new names for some nodes, by their old ones."""
    result = copy_nodes(light, lambda _: True)
    for node in result.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [_renamed(source, names) for source in node.input]
        if "_class" in node.attr:
            places = node.attr["_class"].list.s
            places[:] = [_place(place, names) for place in places]
        rename_in_note(node, names)
    return result, {names.get(name, name): array for name, array in weights.items()}


def _renamed(source: str, names: Mapping[str, str]) -> str:
    name = node_name(source)
    return source if name not in names else source.replace(name, names[name], 1)


def _place(place: bytes, names: Mapping[str, str]) -> bytes:
    name = place.removeprefix(_SAME_DEVICE).decode("utf-8", "surrogateescape")
    if not place.startswith(_SAME_DEVICE) or name not in names:
        return place
    return _SAME_DEVICE + names[name].encode()


def _short_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(_LETTERS, repeat=length):
            yield "".join(letters)
