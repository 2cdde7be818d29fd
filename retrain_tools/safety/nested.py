"""Serialised graphs that are hidden in strings: in attributes, constants and collections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from retrain_tools.graphdef import ops, schema
from retrain_tools.safety.op_table import rules_by_op

_OP_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9_>.]*")
_TEXT_GRAPH = re.compile(
    rb"\s*(#[^\n]*\n\s*)*(node|library|versions|meta_graphs|graph_def)\s*[{:<]"
)
_LEAST = 8  # bytes that a graph with a node of any op takes
_TAG_OF_OP = b"\x12"  # of NodeDef's field 2


def graphs_in(data: bytes) -> list[Any]:
    """Return the graphs that bytes are the serialised form of; an empty list for other bytes.

    Taken are GraphDefs, MetaGraphs, SavedModels and functions, binary or text. A sequence of bytes
    may pass for one by chance, so at least one of its nodes must be of an op that TensorFlow knows.

    Returns:
        GraphDefs.
    """
    if len(data) < _LEAST:
        return []
    if (b"{" in data or b"<" in data) and _TEXT_GRAPH.match(data):
        return list(_text_graphs(data))
    if _TAG_OF_OP not in data and data.isascii():  # a graph has the tag, or another way to write it
        return []
    for read in (_graph, _meta_graph, _saved_model, _function, _library, _node):
        try:
            found = [graph for graph in read(data) if is_sound(graph)]
        except DecodeError:
            continue
        if found:
            return found
    return []


def _graph(data: bytes) -> list[Any]:
    return [schema.GraphDef.FromString(data)]


def _meta_graph(data: bytes) -> list[Any]:
    return [schema.MetaGraphDef.FromString(data).graph_def]


def _saved_model(data: bytes) -> list[Any]:
    return [meta.graph_def for meta in schema.SavedModel.FromString(data).meta_graphs]


def _function(data: bytes) -> list[Any]:
    graph = schema.GraphDef()
    graph.library.function.add().MergeFromString(data)
    return [graph]


def _library(data: bytes) -> list[Any]:
    graph = schema.GraphDef()
    graph.library.MergeFromString(data)
    return [graph]


def _node(data: bytes) -> list[Any]:
    return [schema.GraphDef(node=[schema.NodeDef.FromString(data)])]


def _text_graphs(data: bytes) -> Iterator[Any]:
    from google.protobuf import text_format  # slow to import, and seldom needed

    for message in (schema.GraphDef, schema.MetaGraphDef, schema.SavedModel):
        try:
            read = text_format.Parse(data.decode("utf-8", "replace"), message())
        except text_format.ParseError:
            continue
        graphs = {
            "GraphDef": lambda r: [r],
            "MetaGraphDef": lambda r: [r.graph_def],
            "SavedModel": lambda r: [meta.graph_def for meta in r.meta_graphs],
        }[message.DESCRIPTOR.name](read)
        yield from filter(is_sound, graphs)
        return


def is_sound(graph: Any) -> bool:
    """Tell whether a message that was read is a graph, and no other bytes read as one."""
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    known, dangerous = ops.registry(), rules_by_op()
    if any(node.op in dangerous for node in nodes):  # junk beside it would hide nothing
        return True
    return all(_OP_NAME.fullmatch(node.op) for node in nodes) and any(
        node.op in known for node in nodes
    )
