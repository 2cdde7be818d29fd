"""Puts the nodes of a graph into an order in which they can be computed.

1. Each node comes after its inputs and control inputs, but for the edge that leads back in a loop.
2. A graph that is in such an order stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, nodes_by_name
from retrain_tools.graphdef.toposort import execution_order
from retrain_tools.graphdef.weights import Weights


def sort_by_execution_order(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
) -> tuple[Any, Weights]:
    """Put each node after its inputs, for readers that go through a file once.

    The weights stay as they are.
    """
    nodes = nodes_by_name(light)
    result = copy_nodes(light, lambda _: False)
    result.node.extend(nodes[name] for name in execution_order(light))
    return result, weights
