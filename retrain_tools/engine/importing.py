"""The one way for a graph of the package to get into a graph of TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.navigate import copy_nodes, node_name
from retrain_tools.quiet_tensorflow import import_tensorflow, tf
from retrain_tools.safety.running import safe_part


def import_light(
    light: Any,
    tensors: Mapping[str, Any],
    fetches: Sequence[str] = (),
    *,
    allow_unsafe_graph: bool = False,
) -> list[Any]:
    """Put a light graph into TensorFlow's current default graph, under its own names.

    Here, and nowhere else, a graph that does more than compute is refused. What no fetch depends on
    does not count, and of such a graph it stays outside: TensorFlow may run parts of a graph as
    soon as it has it.

    Args:
        light: the light graph, a `schema.GraphDef`.
        tensors: for each weight (or other node), by name, the tensor of the current graph that
            takes its place.
        fetches: full tensor names.
        allow_unsafe_graph: take it whatever it does: see `safety.running.refuse_unsafe`.

    Returns:
        The tensors that `fetches` name; in a graph with other nodes their names may differ.

    Raises:
        UnsafeGraphError: something in it does more than compute, and that is not allowed.
        ValueError, OpError: TensorFlow does not accept the graph.
    """
    if not allow_unsafe_graph:
        light = safe_part(light, fetches, stop=tensors)
    try:
        return _import(light, tensors, fetches)
    except (ValueError, tf.errors.OpError) as error:
        # A few of TensorFlow's ops lie in libraries that only the package itself loads.
        if "Op type not registered" not in str(error) or "tensorflow" in sys.modules:
            raise
        import_tensorflow()
        return _import(light, tensors, fetches)


def _import(light: Any, tensors: Mapping[str, Any], fetches: Sequence[str]) -> list[Any]:
    used = {node_name(name) for node in light.node for name in node.input}
    replaced = {f"{name}:0": tensor for name, tensor in tensors.items() if name in used}
    rest = copy_nodes(light, lambda node: node.name not in tensors)
    imported = tf.compat.v1.import_graph_def(
        tf.compat.v1.GraphDef.FromString(rest.SerializeToString()),
        name="",
        input_map=replaced,
        return_elements=list(fetches) or None,
    )
    return list(imported or [])
