"""Changes which device nodes ask for.

`remove_device`:

1. No node of the graph, or of a function in its library, asks for a device any more.

`set_device`:

1. All nodes of the graph, and of the functions in its library, ask for `device`; with `if_default`
   only those that asked for none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.weights import Weights, all_nodes_with_ops


def remove_device(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),
) -> tuple[Any, Weights]:
    """Let all nodes run on whatever device there is.

    The weights stay as they are.
    """
    return set_device(light, weights, keep)


def set_device(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    device: str = "",
    if_default: bool = False,
) -> tuple[Any, Weights]:
    """Let nodes ask for a device, as `/cpu:0`.

    Args:
        light: the graph.
        weights: its weights, which stay as they are.
        keep: the nodes whose values must stay, as all do.
        device: the device, as TensorFlow names it; an empty text for none.
        if_default: leave nodes alone that ask for one already.
    """
    result = copy_nodes(light, lambda _: True)
    for node, _ in all_nodes_with_ops(result, weights):
        if not (if_default and node.device):
            node.device = device
    return result, weights
