"""What a transform leaves behind without a use: constants, and Identity nodes of constants."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, node_name, nodes_by_name
from retrain_tools.graphdef.walks import successors
from retrain_tools.graphdef.weights import Weights


def drop_freed(
    light: Any, weights: Weights, freed: Collection[str], keep: Collection[str]
) -> tuple[Any, Weights]:
    """Return a light graph without those constants of `freed` that nothing takes any more.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        freed: names of nodes of which a consumer went; those that are no constants stay.
        keep: names of nodes that stay.
    """
    nodes = nodes_by_name(light)
    used = {name: set(after) for name, after in successors(light).items()}
    gone: set[str] = set()
    waiting = [name for name in freed if name in nodes]
    while waiting:
        name = waiting.pop()
        is_constant = nodes[name].op in ("Const", "Identity") or name in weights
        if name in gone or name in keep or used.get(name) or not is_constant:
            continue
        gone.add(name)
        for source in map(node_name, nodes[name].input):
            used[source].discard(name)
            waiting.append(source)
    return (
        copy_nodes(light, lambda node: node.name not in gone),
        {name: array for name, array in weights.items() if name not in gone},
    )
