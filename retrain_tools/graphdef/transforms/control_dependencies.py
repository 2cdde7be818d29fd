"""Lets no node wait for another that it takes nothing from.

1. All control inputs go.

What only runs because something waits for it (a check, an assignment) runs no more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.weights import Weights


def remove_control_dependencies(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
) -> tuple[Any, Weights]:
    """Remove all control inputs, so that only what gives data to the outputs runs.

    The weights stay as they are.
    """
    result = copy_nodes(light, lambda _: True)
    for node in result.node:
        if any(name.startswith("^") for name in node.input):
            node.input[:] = [name for name in node.input if not name.startswith("^")]
    return result, weights
