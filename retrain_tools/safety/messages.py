"""The findings in files that hold one of TensorFlow's messages, judged by what they hold.

A file's name and its first bytes say how it is meant to be read, and whoever made it may have meant
something else to read it: so each message that it can be read as is looked into.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from retrain_tools.graphdef import schema
from retrain_tools.safety import nested
from retrain_tools.safety.contexts import GraphContext, MetaGraphContext, bad_assets
from retrain_tools.safety.findings import Finding, Severity, quoted
from retrain_tools.safety.graphs import Where, graph_findings
from retrain_tools.safety.keras_config import metadata_findings
from retrain_tools.sources.kinds import Kind, Place, is_text_graph, kind_by_message
from retrain_tools.sources.messages import parse_text, read_bytes, read_message

_CLASSES = {
    Kind.GRAPH_DEF: schema.GraphDef,
    Kind.META_GRAPH: schema.MetaGraphDef,
    Kind.SAVED_MODEL: schema.SavedModel,
}
_ASSET = "names a file outside of the model as one of its assets"


@dataclasses.dataclass(frozen=True)
class Looked:
    """What was found in a part of a file, and how much was looked at."""

    findings: list[Finding]
    looked_at: int


def message_kind(start: bytes) -> Kind | None:
    """Tell from the first bytes which message a file holds; None for none."""
    kind = kind_by_message(start)
    return kind if kind in _CLASSES else None


def message_findings(place: Place, kind: Kind) -> Looked:
    """Return the findings in a file of a message.

    Args:
        place: the file.
        kind: what it seems to be: GRAPH_DEF, META_GRAPH or SAVED_MODEL.

    Raises:
        InputError: it is damaged.
    """
    data = read_bytes(place, f"a {kind.value}")
    if _is_text(data):
        message = parse_text(data, _CLASSES[kind], place, f"a text {kind.value}")
        return _findings_of(message, str(place), "")
    readings: dict[Kind, Any] = {}
    for other, message_class in _CLASSES.items():
        try:
            readings[other] = message_class.FromString(data)
        except DecodeError:
            continue
    if kind not in readings:
        # The reader's own words for what is wrong with it.
        readings[kind] = read_message(place, _CLASSES[kind], f"a {kind.value}")
    found = _findings_of(readings.pop(kind), str(place), "")
    for other, message in readings.items():
        if any(nested.is_sound(graph) for graph in _graphs_of(message)):
            more = _findings_of(message, str(place), f"the file, read as a {other.value}")
            found = Looked(found.findings + more.findings, found.looked_at + more.looked_at)
    return found


def any_message_findings(place: Place) -> Looked | None:
    """Return the findings in a file of no known beginning, if it can be read as a graph."""
    graphs = nested.graphs_in(place.path.read_bytes())
    if not graphs:
        return None
    found = [_graph_findings(graph, Where(str(place))) for graph in graphs]
    return Looked(
        [finding for looked in found for finding in looked.findings],
        sum(looked.looked_at for looked in found),
    )


def _is_text(data: bytes) -> bool:
    start = data[:4096]
    if is_text_graph(start):
        return True
    kind = kind_by_message(start)
    return kind is not None and start.lstrip()[:1] in (b"m", b"g", b"s", b"#")


def _graphs_of(message: Any) -> list[Any]:
    name = message.DESCRIPTOR.name
    if name == "GraphDef":
        return [message]
    metas = [message] if name == "MetaGraphDef" else message.meta_graphs
    return [meta.graph_def for meta in metas]


def _findings_of(message: Any, path: str, within: str) -> Looked:
    name = message.DESCRIPTOR.name
    if name == "GraphDef":
        return _graph_findings(message, Where(path, within))
    metas = [message] if name == "MetaGraphDef" else list(message.meta_graphs)
    found: list[Finding] = []
    looked_at = 0
    for meta in metas:
        tags = ", ".join(sorted(meta.meta_info_def.tags))
        part = within or (f"the graph with tags {quoted(tags)}" if len(metas) > 1 else "")
        where = Where(path, part)
        found += graph_findings(meta.graph_def, where, MetaGraphContext(meta))
        found += _beside_the_graph(meta, where)
        looked_at += _count(meta.graph_def) + len(meta.object_graph_def.nodes)
    return Looked(found, looked_at)


def _graph_findings(graph: Any, where: Where) -> Looked:
    return Looked(graph_findings(graph, where, GraphContext(graph)), _count(graph))


def _count(graph: Any) -> int:
    return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)


def _beside_the_graph(meta: Any, where: Where) -> Iterator[Finding]:
    """Yield the findings in a MetaGraph's assets, collections and saved objects."""
    for name in bad_assets(meta):
        yield Finding(
            Severity.HIGH, "path", name, _ASSET, where.path, within=where.within or "its assets"
        )
    for key, collection in meta.collection_def.items():
        held = [*collection.bytes_list.value, *(any_.value for any_ in collection.any_list.value)]
        for data in held:
            for graph in nested.graphs_in(data):
                inner = Where(where.path, f"the collection {quoted(key)}", 1)
                yield from graph_findings(graph, inner, GraphContext(graph))
    for node in meta.object_graph_def.nodes:
        if node.WhichOneof("kind") == "user_object" and node.user_object.metadata:
            yield from metadata_findings(node.user_object.metadata, where.path)
