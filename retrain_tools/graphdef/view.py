"""A graph read once into plain Python objects, for all that only looks at it.

Each look at a field of a protobuf message makes a new Python object: a single pass over the names
and inputs of 100,000 nodes takes a fifth of a second, and a summary makes twenty of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

_Found = TypeVar("_Found")


class NodeView:
    """A node: its fields by the names that NodeDef has for them, not to be changed.

    Attributes:
        proto: the NodeDef.
        name, op, input, attr: as there.
    """

    __slots__ = ("attr", "input", "name", "op", "proto")

    def __init__(self, proto: Any) -> None:
        self.proto = proto
        self.name: str = proto.name
        self.op: str = proto.op
        self.input: list[str] = proto.input[:]
        self.attr = proto.attr

    @property
    def device(self) -> str:
        """The device that the node asks for."""
        return str(self.proto.device)


class GraphView:
    """A GraphDef as it was when it was read; it goes wherever a GraphDef is only looked at.

    Attributes:
        proto: the GraphDef.
        node: its nodes.
        library, versions: as there.
    """

    def __init__(self, graph_def: Any) -> None:
        self.proto = graph_def
        self.node = [NodeView(node) for node in graph_def.node]
        self.library = graph_def.library
        self.versions = graph_def.versions
        self._found: dict[Callable[[GraphView], Any], Any] = {}

    def once(self, work_out: Callable[[GraphView], _Found]) -> _Found:
        """Return what a function says of this graph; it is called the first time only.

        The result is shared, and so must not be changed.
        """
        if work_out not in self._found:
            self._found[work_out] = work_out(self)
        found: _Found = self._found[work_out]
        return found


def once_for_a_view(work_out: Callable[[Any], _Found]) -> Callable[[Any], _Found]:
    """Make a function of a graph ask a view with `GraphView.once`: its result is shared."""

    @functools.wraps(work_out)
    def look(graph_def: Any) -> _Found:
        return graph_def.once(work_out) if isinstance(graph_def, GraphView) else work_out(graph_def)

    return look


def view_of(graph_def: Any) -> GraphView:
    """Return the view of a GraphDef; a view as it is."""
    return graph_def if isinstance(graph_def, GraphView) else GraphView(graph_def)
