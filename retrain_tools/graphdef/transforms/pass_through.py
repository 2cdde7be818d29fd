"""Takes out the nodes that only pass a value on: Identity, StopGradient, CheckNumerics."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, node_name

_PASS_THROUGH = ("Identity", "StopGradient", "CheckNumerics")


def remove_pass_through(graph_def: Any, keep: Collection[str] = ()) -> Any:
    """Return the graph without pass-through nodes and without the control inputs that named them.

    A CheckNumerics node stops a run when a value is not finite; whoever removes it has to look at
    the results instead.

    Args:
        graph_def: the graph; it is not changed.
        keep: names of nodes that must stay, such as those to be fetched.
    """
    passes_on = {
        node.name: node.input[0]
        for node in graph_def.node
        if node.op in _PASS_THROUGH and node.name not in keep
    }

    def source(name: str) -> str:
        while node_name(name) in passes_on:
            name = passes_on[node_name(name)]
        return name

    result = copy_nodes(graph_def, lambda node: node.name not in passes_on)
    for node in result.node:
        data = [source(name) for name in node.input if not name.startswith("^")]
        control = [n for n in node.input if n.startswith("^") and node_name(n) not in passes_on]
        node.input[:] = data + control
    return result
