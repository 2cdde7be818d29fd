"""The edges of a graph in both directions, and what data come to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from retrain_tools.graphdef.navigate import node_name, nodes_by_name, nodes_by_op, reached
from retrain_tools.graphdef.op_sets import LAYERS, PLACEHOLDERS, VARIABLES
from retrain_tools.graphdef.training_ops import SHAPE_TAKERS
from retrain_tools.graphdef.view import GraphView

_SOURCES = re.compile(
    rf"{'|'.join(PLACEHOLDERS)}|Queue.*Dequeue.*|.*IteratorGet.*|Reader.*|PyFunc.*"
)


class Edges:
    """The nodes of a graph, and their edges in both directions, data and control apart.

    Attributes:
        nodes, by_op: the nodes by name, and those of each op.
        before, after: the nodes that each one takes data from, and gives data to.
        waits, released: the same for control edges.
        from_data: what is computed from data that are fed, not only from their shapes.
        results: what is computed from data and by layers or variables.
    """

    def __init__(self, view: GraphView) -> None:
        self.nodes = nodes_by_name(view)
        self.by_op = nodes_by_op(view)
        self.before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.after: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.waits: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.released: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in view.node:
            for source in node.input:
                is_control, name = source[:1] == "^", node_name(source)
                if name in self.nodes:
                    (self.waits if is_control else self.before)[node.name].append(name)
                    (self.released if is_control else self.after)[name].append(node.name)
        learned = [n.name for op in (*VARIABLES, *LAYERS) for n in self.by_op.get(op, ())]
        shapes = {n.name for op in SHAPE_TAKERS for n in self.by_op.get(op, ())}
        sources = [name for name in self.nodes if self.is_source(name)]
        self.from_data = self.downstream(sources, stop=shapes) - shapes
        self.results = self.from_data & self.downstream(learned, stop=shapes)

    def is_source(self, name: str) -> bool:
        """Tell whether data come in here."""
        return _SOURCES.fullmatch(self.nodes[name].op) is not None

    def upstream(self, names: Iterable[str], stop: Collection[str] = ()) -> set[str]:
        """Return what nodes are computed from, themselves included; control edges do not count."""
        return reached(names, lambda name: self.before[name], stop)

    def downstream(self, names: Iterable[str], stop: Collection[str] = ()) -> set[str]:
        """Return what is computed from nodes, themselves included, on ways that end at `stop`."""
        return reached(names, lambda name: self.after[name], stop)
