"""Walks along a graph's edges: what depends on a node, shortest paths.

The walk against the edges is `navigate.upstream`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.navigate import node_name, reached
from retrain_tools.graphdef.view import once_for_a_view

Successors = Mapping[str, Sequence[str]]
"""For each node that is an input or control input, the names of the nodes that it is one of."""


@once_for_a_view
def successors(graph_def: Any) -> Successors:
    """Return the nodes that come directly after each node, in file order, each once."""
    return _successors(graph_def, control=True)


def consumers(graph_def: Any) -> Successors:
    """Return the nodes that take data from each node: its `successors` along data edges."""
    return _successors(graph_def, control=False)


def _successors(graph_def: Any, control: bool) -> Successors:
    found: dict[str, list[str]] = {}
    for node in graph_def.node:
        name = node.name
        for source in node.input:
            if ":" in source or source[:1] == "^":  # most names are plain, and there may be many
                if source[0] == "^" and not control:
                    continue
                source = node_name(source)
            after = found.get(source)
            if after is None:
                found[source] = [name]
            elif after[-1] != name:  # it may have two inputs from the same node
                after.append(name)
    return found


def downstream(after: Successors, tensors: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """Return the names of all nodes that depend on `tensors`, their own nodes included.

    Args:
        after: the graph's `successors`.
        tensors: tensor or node names.
        stop: names of nodes whose own successors are not followed (they are part of the result).
    """
    return reached(tensors, lambda name: after.get(name, ()), stop)


def shortest_path(after: Successors, start: str, end: str) -> list[str] | None:
    """Return the nodes on a shortest path along the edges, both ends included; None without one.

    `after` are the graph's `successors`, `start` and `end` names of tensors or nodes.
    """
    first, last = node_name(start), node_name(end)
    came_from = {first: first}
    row = [first]
    while row and last not in came_from:
        following = []
        for name in row:
            for successor in after.get(name, ()):
                if successor not in came_from:
                    came_from[successor] = name
                    following.append(successor)
        row = following
    if last not in came_from:
        return None
    path = [last]
    while path[-1] != first:
        path.append(came_from[path[-1]])
    return path[::-1]
