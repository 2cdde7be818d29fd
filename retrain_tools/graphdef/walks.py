"""Walks along a graph's edges, control edges included: what follows, and the way from A to B.

The walk against the edges is `navigate.upstream`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.view import GraphView

Followers = Mapping[str, Sequence[str]]
"""For each node that is taken from, the names of the nodes that take from it or wait for it."""


def followers(graph_def: Any) -> Followers:
    """Return the nodes that come directly after each node, in file order, each once."""
    return graph_def.once(_followers) if isinstance(graph_def, GraphView) else _followers(graph_def)


def _followers(graph_def: Any) -> Followers:
    found: dict[str, list[str]] = {}
    for node in graph_def.node:
        name = node.name
        for source in node.input:
            if ":" in source or source[:1] == "^":  # most names are plain, and there may be many
                source = node_name(source)
            after = found.get(source)
            if after is None:
                found[source] = [name]
            elif after[-1] != name:  # it may take from the same node twice
                after.append(name)
    return found


def downstream(after: Followers, tensors: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """Return the names of all nodes that depend on `tensors`, their own nodes included.

    Args:
        after: the graph's `followers`.
        tensors: tensor or node names.
        stop: names of nodes whose own followers are not looked at (they are part of the result).
    """
    found: set[str] = set()
    waiting = [node_name(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name not in stop:
                waiting.extend(after.get(name, ()))
    return found


def shortest_way(after: Followers, start: str, end: str) -> list[str] | None:
    """Return the nodes on a shortest way along the edges, both ends included; None without one.

    Args:
        after: the graph's `followers`.
        start: tensor or node name.
        end: tensor or node name.
    """
    first, last = node_name(start), node_name(end)
    came_from: dict[str, str | None] = {first: None}
    row = [first]
    while row and last not in came_from:
        following = []
        for name in row:
            for follower in after.get(name, ()):
                if follower not in came_from:
                    came_from[follower] = name
                    following.append(follower)
        row = following
    if last not in came_from:
        return None
    way: list[str] = []
    name_or_none: str | None = last
    while name_or_none is not None:
        way.append(name_or_none)
        name_or_none = came_from[name_or_none]
    return way[::-1]
