"""Outputs of a graph with variables and functions to a frozen GraphDef that TensorFlow takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import fill_constant
from retrain_tools.graphdef.dtypes import dtype_name, dtype_number, number_of
from retrain_tools.graphdef.navigate import (
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.sources.inlining import inline_calls
from retrain_tools.sources.messages import check_graph
from retrain_tools.sources.opened import Signature, TensorInfo
from retrain_tools.sources.substitution import variables_to_constants

PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
# What tf.function adds at the end of a function for each result, under no name of its own.
_ADDED_RESULT = re.compile(r"(.*/)?Identity(_\d+)*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\\/>-]")
_MOST_BYTES = 2**31 - 1  # a protobuf message cannot be larger

Values = Callable[[str], npt.NDArray[Any]]
"""Gives the value of the variable that a node stands for."""


def freeze_signature(
    graph_def: Any,
    signature: Signature,
    values: Values,
    where: str,
    handles: Mapping[str, int] | None = None,
) -> tuple[Any, dict[str, str]]:
    """Return the GraphDef from the inputs of a signature to its outputs.

    An input that is no placeholder, as TensorFlow 1 allows, becomes one.

    Args:
        graph_def: a `schema.GraphDef` with variables and calls; it is not changed.
        signature: what goes in and comes out.
        values: gives each variable's value.
        where: the file, for messages.
        handles: see `variables_to_constants`.

    Returns:
        The graph, and the full tensor name of each output by its key.

    Raises:
        InputError: the graph cannot be frozen, or a variable's value is missing or of a wrong kind.
    """
    wanted = [info.name for info in signature.outputs.values()]
    nodes = nodes_by_name(graph_def)
    for name in (*wanted, *(info.name for info in signature.inputs.values())):
        if node_name(name) not in nodes:
            raise InputError(
                f"{where} is damaged: its signature names {name!r}, which is not there."
            )
    needed = upstream(nodes, wanted)
    graph = copy_nodes(graph_def, lambda node: node.name in needed)
    _make_placeholders(graph, signature.inputs.values())
    inlined = inline_calls(graph, where)
    check_graph(inlined.graph_def, where)  # functions may hold cycles, too
    nodes = nodes_by_name(inlined.graph_def)
    outputs = {
        key: _before_added(nodes, inlined.tensor(full_name(info.name)))
        for key, info in signature.outputs.items()
    }
    substituted = variables_to_constants(inlined.graph_def, list(outputs.values()), where, handles)
    return _filled(substituted.graph_def, substituted.empty, values, where), outputs


def _make_placeholders(graph_def: Any, inputs: Iterable[TensorInfo]) -> None:
    nodes = nodes_by_name(graph_def)
    for info in inputs:
        node = nodes.get(node_name(info.name))
        dtype = dtype_number(info.dtype)
        if node is None or node.op in PLACEHOLDERS or dtype is None:
            continue
        if full_name(info.name) == f"{node.name}:0":
            name = node.name
            node.Clear()
            node.name, node.op = name, "Placeholder"
            node.attr["dtype"].type = dtype
            set_shape(node.attr["shape"].shape, info.shape)


def set_shape(proto: Any, shape: Shape | None) -> None:
    """Write a shape into an empty TensorShapeProto."""
    proto.SetInParent()
    proto.unknown_rank = shape is None
    for dim in shape or ():
        proto.dim.add(size=-1 if dim is None else dim)


def valid_name(text: str) -> str:
    """Return `text` as a name that TensorFlow allows for a node."""
    return _NOT_IN_NAMES.sub("_", text).lstrip("_/\\>-") or "unnamed"


def _before_added(nodes: Mapping[str, Any], tensor: str) -> str:
    """Return what a function's result was called inside it."""
    while True:
        node = nodes[node_name(tensor)]
        if node.op != "Identity" or not _ADDED_RESULT.fullmatch(node.name):
            return tensor
        if nodes[node_name(node.input[0])].op in PLACEHOLDERS:
            return tensor
        tensor = full_name(node.input[0])


def _filled(light: Any, empty: list[str], values: Values, where: str) -> Any:
    """Give the empty constants their values; `light` is changed."""
    missing = set(empty)
    size = 0
    for node in light.node:
        if node.name not in missing:
            continue
        value = values(node.name)
        size += value.nbytes
        if size > _MOST_BYTES:
            raise InputError(
                f"{where} cannot be frozen: its variables have more than the {_MOST_BYTES:,} bytes "
                "that a GraphDef can have."
            )
        dtype = dtype_name(node.attr["dtype"].type)
        if dtype_name(number_of(value.dtype)) != dtype:
            raise InputError(
                f"{where}: the variable {node.name!r} is {dtype} in the graph, but "
                f"{value.dtype.name} in the checkpoint; they do not belong together."
            )
        name = node.name
        node.Clear()
        fill_constant(node, name, value)
    return light
