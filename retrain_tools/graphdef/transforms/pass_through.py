"""Removes the nodes that only pass a value on: Identity, StopGradient, CheckNumerics.

1. Such a node goes unless it is to be kept.
2. Whatever took data from it takes data from its input instead.
3. Control inputs that named it go as well.

A CheckNumerics node stops a run when a value is not finite; whoever removes it has to look at the
results instead.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, node_name
from retrain_tools.graphdef.op_sets import PASS_THROUGH
from retrain_tools.graphdef.weights import Weights


def remove_pass_through(
    light: Any, weights: Weights, keep: Collection[str] = ()
) -> tuple[Any, Weights]:
    """Remove the nodes that only pass a value on; see the module. The weights stay as they are."""
    passed_on = {
        node.name: node.input[0]
        for node in light.node
        if node.op in PASS_THROUGH and node.name not in keep
    }

    def source(name: str) -> str:
        while node_name(name) in passed_on:
            name = passed_on[node_name(name)]
        return name

    result = copy_nodes(light, lambda node: node.name not in passed_on)
    for node in result.node:
        data = [source(name) for name in node.input if not name.startswith("^")]
        control = [n for n in node.input if n.startswith("^") and node_name(n) not in passed_on]
        node.input[:] = data + control
    return result, weights
