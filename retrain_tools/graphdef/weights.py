"""Graphs without their weights: large constants held apart, so that rewriting copies kilobytes.

A GraphDef of 95 MB is nearly all kernels, and each copy of it is another 95 MB. In a light graph
every large constant is a placeholder of the same name and shape, and the arrays are in a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.navigate import attribute, node_name
from retrain_tools.quiet_tensorflow import tf

Weights = dict[str, npt.NDArray[Any]]
"""Arrays by the name of the constant's node."""

# Smaller constants are shapes, axes and scalars, whose values shape inference looks at.
_LARGEST_VALUE_KEPT = 16


def light_copy(graph_def: Any, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    """Return a copy of the nodes for which `wanted` holds, large constants as placeholders."""
    light = tf.compat.v1.GraphDef()
    light.versions.CopyFrom(graph_def.versions)
    light.library.CopyFrom(graph_def.library)
    for node in graph_def.node:
        if not wanted(node):
            continue
        if not _is_large_constant(node):
            light.node.add().CopyFrom(node)
            continue
        stand_in = light.node.add(name=node.name, op="Placeholder")
        stand_in.attr["dtype"].CopyFrom(node.attr["dtype"])
        stand_in.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
    return light


def large_constants(graph_def: Any, wanted: Callable[[Any], bool] = lambda _: True) -> Weights:
    """Return the arrays that `light_copy` left out."""
    return {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph_def.node
        if wanted(node) and _is_large_constant(node)
    }


def stand_in(name: str, array: npt.NDArray[Any]) -> Any:
    """Return the placeholder that stands in a light graph for the constant `array`."""
    node = tf.compat.v1.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = tf.as_dtype(array.dtype).as_datatype_enum
    node.attr["shape"].shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    return node


def import_light(light: Any, tensors: Mapping[str, Any], fetches: Sequence[str] = ()) -> list[Any]:
    """Put a light graph into TensorFlow's current default graph, under its own names.

    Args:
        light: the light graph.
        tensors: for each weight (or other node), by name, the tensor of the current graph that
            takes its place.
        fetches: full tensor names.

    Returns:
        The tensors that `fetches` name; in a graph with other nodes their names may differ.

    Raises:
        ValueError: TensorFlow does not accept the graph.
    """
    used = {node_name(name) for node in light.node for name in node.input}
    replaced = {f"{name}:0": tensor for name, tensor in tensors.items() if name in used}
    rest = tf.compat.v1.GraphDef()
    rest.versions.CopyFrom(light.versions)
    rest.library.CopyFrom(light.library)
    rest.node.extend(node for node in light.node if node.name not in tensors)
    imported = tf.compat.v1.import_graph_def(
        rest, name="", input_map=replaced, return_elements=list(fetches) or None
    )
    return list(imported or [])


def _is_large_constant(node: Any) -> bool:
    if node.op != "Const":
        return False
    shape = attribute(node, "value").tensor.tensor_shape
    return int(np.prod([dim.size for dim in shape.dim])) > _LARGEST_VALUE_KEPT
