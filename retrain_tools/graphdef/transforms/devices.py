"""Changes which device the nodes of a graph ask for.

`remove_device`:

1. No node of the graph, or of a function in its library, asks for a device any more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.weights import Weights


def remove_device(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
) -> tuple[Any, Weights]:
    """Let all nodes run on whatever device there is."""
    result = copy_nodes(light, lambda _: True)
    for node in result.node:
        node.device = ""
    for function in result.library.function:
        for node in function.node_def:
            node.device = ""
    return result, weights
