"""Graphs without their weights: large constants held apart, so that rewriting copies kilobytes.

A GraphDef of 95 MB is nearly all kernels, and each copy of it is another 95 MB. In a light graph
every large constant is a placeholder of the same name and shape, and the arrays are in a dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.build import fill_constant, new_node
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.dtypes import array_dtype, dtype_of, number_of
from retrain_tools.graphdef.navigate import attribute, copy_nodes

Weights = dict[str, npt.NDArray[Any]]
"""Arrays by the name of the constant's node."""

OF_STAND_INS = ("dtype", "shape")
"""The attributes of a placeholder that stands for a constant; its others are the constant's."""

# Smaller constants are shapes, axes and scalars, whose values shape inference looks at.
LARGEST_VALUE_KEPT = 16


def light_copy(graph_def: Any, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    """Return a copy of the nodes for which `wanted` holds, large constants as placeholders."""
    light = copy_nodes(graph_def, lambda _: False)
    for node in graph_def.node:
        if not wanted(node):
            continue
        if not _is_large_constant(node):
            light.node.add().CopyFrom(node)
            continue
        stand_in = light.node.add(name=node.name, op="Placeholder", device=node.device)
        for key in node.attr:
            if key != "value":
                stand_in.attr[key].CopyFrom(node.attr[key])
        stand_in.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
    return light


def whole_graph(light: Any, weights: Weights) -> Any:
    """Return the GraphDef that a light graph and its weights stand for.

    Example:
        >>> from retrain_tools.graphdef import schema
        >>> from retrain_tools.graphdef.build import new_constant
        >>> graph_def = schema.GraphDef(node=[new_constant("c", np.zeros((3, 100)))])
        >>> whole_graph(light_copy(graph_def), large_constants(graph_def)) == graph_def
        True
    """
    result = copy_nodes(light, lambda _: False)
    for node in light.node:
        if node.name in weights:
            fill_whole_constant(result.node.add(), node, weights[node.name])
        else:
            result.node.add().CopyFrom(node)
    return result


def fill_whole_constant(node: Any, stand_in: Any, weight: npt.NDArray[Any]) -> None:
    """Make `node`, an empty NodeDef, the constant for which a placeholder stands."""
    fill_constant(node, stand_in.name, weight)
    node.input[:], node.device = stand_in.input, stand_in.device
    for key in stand_in.attr:
        if key not in OF_STAND_INS:
            node.attr[key].CopyFrom(stand_in.attr[key])


def op_of(node: Any, weights: Weights) -> str:
    """Return the op of a light graph's node; `Const` where it stands for one."""
    return "Const" if node.name in weights else str(node.op)


def large_constants(graph_def: Any, wanted: Callable[[Any], bool] = lambda _: True) -> Weights:
    """Return the arrays that `light_copy` left out; quantized ones as TensorFlow has them."""
    return {
        node.name: _weight(node.attr["value"].tensor)
        for node in graph_def.node
        if wanted(node) and _is_large_constant(node)
    }


def all_nodes_with_ops(light: Any, weights: Weights) -> Iterator[tuple[Any, str]]:
    """Yield a light graph's nodes and their ops, then those of the functions in its library."""
    for node in light.node:
        yield node, op_of(node, weights)
    for function in light.library.function:
        for node in function.node_def:
            yield node, str(node.op)


def size_of_constants(graph_def: Any) -> int:
    """Return the bytes that a graph's constants take in its file, which is nearly all of it."""
    return sum(node.ByteSize() for node in graph_def.node if node.op == "Const")


def stand_in(name: str, weight: npt.NDArray[Any]) -> Any:
    """Return the placeholder that stands in a light graph for the constant `weight`."""
    return new_node(name, "Placeholder", dtype=number_of(weight.dtype), shape=weight.shape)


def _weight(tensor: Any) -> npt.NDArray[Any]:
    values, dtype = array(tensor), dtype_of(tensor.dtype)
    kind = None if dtype is None else array_dtype(dtype)
    return values if kind is None or kind.hasobject else values.view(kind)


def _is_large_constant(node: Any) -> bool:
    if node.op != "Const":
        return False
    shape = attribute(node, "value").tensor.tensor_shape
    return int(np.prod([dim.size for dim in shape.dim])) > LARGEST_VALUE_KEPT
