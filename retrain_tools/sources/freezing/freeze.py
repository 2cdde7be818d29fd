"""Outputs of a graph with variables and functions to a frozen GraphDef that TensorFlow takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import fill_constant, fill_light_constant, new_node
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.constants import constant_size
from retrain_tools.graphdef.dtypes import dtype_name, dtype_number
from retrain_tools.graphdef.navigate import (
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.save import MAX_BYTES
from retrain_tools.sources.contents import Frozen, ReadValue, Signature, TensorInfo
from retrain_tools.sources.freezing.functions import inline_calls
from retrain_tools.sources.freezing.layer_norms import keep_layer_norms
from retrain_tools.sources.freezing.variables import comes_from_outside, variables_to_constants

# What tf.function adds at the end of a function for each result, under no name of its own.
_ADDED_RESULT = re.compile(r"(.*/)?Identity(_\d+)*")
_LOOKED_AT = 1024  # numbers in a variable that is read even when a graph is only looked at
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\\/>-]")


def freeze_signature(
    graph_def: Any,
    signature: Signature,
    values: ReadValue,
    where: str,
    handles: Mapping[str, int] | None = None,
    info_of: Callable[[str], TensorInfo] | None = None,
) -> Frozen:
    """Return the frozen graph from the inputs of a signature to its outputs.

    An input that is no placeholder, as TensorFlow 1 allows, becomes one.

    Args:
        graph_def: a `schema.GraphDef` with variables and calls; it is not changed.
        signature: the inputs and outputs.
        values: gives each variable's value.
        where: the file, for messages.
        handles: see `variables_to_constants`.
        info_of: gives each variable's type and shape; with it, large ones are left without values.

    Returns:
        The graph, and the inputs (those that it still has) and outputs of the signature.

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
    named = _make_placeholders(graph, signature.inputs.values())
    inlined = inline_calls(graph, where)
    check_graph(inlined.graph_def, where)  # functions may hold cycles, too
    nodes = nodes_by_name(inlined.graph_def)
    outputs = {}
    for key, info in signature.outputs.items():
        tensor = full_name(info.name)
        outputs[key] = _before_added(nodes, inlined.tensors.get(tensor, tensor))
    graph, empty = variables_to_constants(inlined.graph_def, outputs.values(), where, handles)
    _fill(graph, empty, values, where, info_of)
    keep_layer_norms(graph)
    left = {node.name for node in graph.node}
    inputs = {k: named.get(info.name, info.name) for k, info in signature.inputs.items()}
    inputs = {key: name for key, name in inputs.items() if node_name(name) in left}
    return Frozen(graph, inputs, outputs)


def _make_placeholders(graph_def: Any, inputs: Iterable[TensorInfo]) -> dict[str, str]:
    """Make placeholders of inputs that are none; return the new names of those that change.

    So does one whose default is a queue's or a data set's, which no frozen graph has.
    """
    nodes = nodes_by_name(graph_def)
    named = {}
    for info in inputs:
        tensor = full_name(info.name)
        node, dtype = nodes.get(node_name(tensor)), dtype_number(info.dtype)
        if node is None or dtype is None:
            continue
        if node.op in PLACEHOLDERS:
            before = upstream(nodes, [node.name]) - {node.name}
            if not any(comes_from_outside(nodes[name]) for name in before):
                continue
        name = node.name
        if tensor != f"{name}:0":  # the others of its outputs may be of use as well
            name = unique_name(f"{name}_{tensor.rpartition(':')[2]}", nodes)
            named[info.name] = f"{name}:0"
            for other in graph_def.node:
                other.input[:] = [name if source == tensor else source for source in other.input]
            node = nodes[name] = graph_def.node.add()
        node.CopyFrom(new_node(name, "Placeholder", dtype=dtype, shape=info.shape))
    return named


def valid_name(text: str) -> str:
    """Return `text` as a name that TensorFlow allows for a node."""
    return _NOT_IN_NAMES.sub("_", text).lstrip("_/\\>-") or "unnamed"


def _before_added(nodes: Mapping[str, Any], tensor: str) -> str:
    """Return the tensor that a function's result had before `tf.function` added an Identity."""
    while True:
        node = nodes[node_name(tensor)]
        if node.op != "Identity" or not _ADDED_RESULT.fullmatch(node.name):
            return tensor
        if nodes[node_name(node.input[0])].op in PLACEHOLDERS:
            return tensor
        tensor = full_name(node.input[0])


def _fill(
    graph_def: Any,
    empty: Collection[str],
    values: ReadValue,
    where: str,
    info_of: Callable[[str], TensorInfo] | None,
) -> None:
    """Give the empty constants of a graph their values; the graph is changed."""
    size = 0
    for node in graph_def.node:
        name = node.name
        if name not in empty:
            continue
        dtype = dtype_name(node.attr["dtype"].type)
        held = None if info_of is None else info_of(name)
        node.Clear()
        if held is not None and _is_large(held):
            fill_light_constant(node, name, dtype_number(held.dtype) or 0, held.shape)
        else:
            fill_constant(node, name, values(name))
        found = dtype_name(node.attr["dtype"].type)
        if found != dtype:
            raise InputError(
                f"{where}: the variable {name!r} is {dtype} in the graph, but "
                f"{found} in the checkpoint; they do not belong together."
            )
        size += constant_size(node)[1]
        if size > MAX_BYTES:
            raise InputError(
                f"{where} cannot be frozen: its variables have more than the {MAX_BYTES:,} bytes "
                "that a GraphDef can have."
            )


def _is_large(held: TensorInfo) -> bool:
    """Tell whether looking at a graph does without the value: it is no shape, axis or text."""
    return held.dtype != "string" and math.prod(d or 0 for d in held.shape or ()) > _LOOKED_AT
