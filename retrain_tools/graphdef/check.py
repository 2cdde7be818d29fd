"""Refuses graphs that cannot be walked through, or on which TensorFlow would abort."""

from __future__ import annotations

from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.constants import is_sound
from retrain_tools.graphdef.navigate import node_name, nodes_by_name, nodes_by_op
from retrain_tools.graphdef.toposort import CycleError, topological_order
from retrain_tools.graphdef.view import GraphView, view_of


def check_graph(graph_def: Any, where: str) -> None:
    """Refuse a graph that cannot be walked through, or on which TensorFlow would abort.

    Args:
        graph_def: the graph, or a view of it; it may have variables.
        where: its file, for error messages.

    Raises:
        InputError: a node name stands twice or is none, an input is made by no node, nodes form
            a cycle, or a constant does not hold what it says.
    """
    graph = view_of(graph_def)
    names: set[str] = set()
    is_in_order = True  # as nearly every file is: then no edge can be loose or lead back
    for node in graph.node:
        name = node.name
        if name in names:
            raise InputError(f"{where} is damaged: two nodes are called {name!r}.")
        if ":" in name or name.startswith("^"):  # an input of that name would be another node's
            raise InputError(f"{where} is damaged: {name!r} is no name of a node.")
        for source in node.input:
            # As it stands, most often: the first output of a node.
            if source not in names and node_name(source) not in names:
                is_in_order = False
        names.add(name)
    if not is_in_order:
        _check_order(graph, where)
    for node in nodes_by_op(graph).get("Const", ()):
        if not is_sound(node):  # some of these make TensorFlow abort
            raise InputError(
                f"{where} is damaged: the constant {node.name!r} does not hold what its type and "
                "shape say."
            )


def _check_order(graph: GraphView, where: str) -> None:
    """Refuse a graph that could never run, on which a walk along the inputs would never end."""
    nodes = nodes_by_name(graph)
    # The one edge that may lead back is that of a while loop, from NextIteration to Merge.
    loops = {node.name for node in nodes_by_op(graph).get("NextIteration", ())}
    inputs: dict[str, list[str]] = {}
    for name, node in nodes.items():
        sources = inputs[name] = []
        for source in node.input:
            producer = node_name(source)
            if producer not in nodes:
                raise InputError(
                    f"{where} is damaged: node {name!r} takes {source!r}, which no node makes."
                )
            if producer not in loops:
                sources.append(producer)
    try:
        topological_order(inputs)
    except CycleError as error:
        raise InputError(f"{where} is damaged: its nodes form a cycle: {error}.") from error
