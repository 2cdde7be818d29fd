"""GraphDef files, binary or text: frozen ones, and ones whose variables are elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.navigate import nodes_by_op
from retrain_tools.graphdef.op_sets import OLD_BATCH_NORM
from retrain_tools.graphdef.tensors import graph_inputs, graph_outputs, list_tensors
from retrain_tools.graphdef.view import GraphView, view_of
from retrain_tools.sources.contents import Frozen, ImageSize, graph_variables
from retrain_tools.sources.kinds import Kind, Place, foreign_kind, is_text_graph, varint
from retrain_tools.sources.messages import parse_text, read_bytes
from retrain_tools.sources.model import Model

# The op was removed for graphs made since GraphDef version 9 (TensorFlow's op registry); a file
# that holds it and says otherwise was re-saved by a newer TensorFlow, with nothing else changed.
_LAST_VERSION_WITH_OLD_BATCH_NORM = 8
_OP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_>.]*")
_WHY_NOT = (
    "its variables have no values: a GraphDef does not hold them; pass the .meta file beside the "
    "checkpoint, or the SavedModel, that belongs to it."
)


def open_graph_def(place: Place) -> Model:
    """Open a GraphDef file; one with variables can be listed, but not frozen.

    Raises:
        InputError: see `read_graph_def`.
    """
    view = read_graph_def(place)
    variables = graph_variables(view)

    def freeze(_: ImageSize) -> Frozen:
        tensors = list_tensors(view)
        inputs = {t.name.removesuffix(":0"): t.name for t in graph_inputs(view, tensors)}
        outputs = {t.name.removesuffix(":0"): t.name for t in graph_outputs(view, tensors)}
        return Frozen(view.proto, inputs, outputs)

    return Model(
        path=place.named,
        kind=Kind.GRAPH_DEF,
        description="GraphDef with variables" if variables else "frozen GraphDef",
        stored=view,
        variables=variables,
        details={"producer version": str(view.versions.producer)},
        freezer=None if variables else freeze,
        why_not_frozen=_WHY_NOT if variables else "",
    )


def read_graph_def(place: Place | str | Path) -> GraphView:
    """Read a binary or text GraphDef, told apart by content, without TensorFlow.

    Returns:
        The graph as a view; the `schema.GraphDef` is its `proto`.

    Raises:
        InputError: the file is missing, is no GraphDef (it says what), is cut off, or its graph is
            inconsistent: see `check_graph`.
    """
    place = Place.of(place)
    data = read_bytes(place, "a GraphDef")
    if is_text_graph(data[:4096]):
        graph_def = parse_text(data, schema.GraphDef, place, "a text GraphDef")
    else:
        try:
            graph_def = schema.GraphDef.FromString(data)
        except DecodeError as error:
            reason = foreign_kind(data) or truncation(data) or "is not a GraphDef"
            raise InputError(f"{place} {reason}.") from error
    graph = view_of(graph_def)
    ops = nodes_by_op(graph)
    if not ops or not all(map(_OP_NAME.fullmatch, ops)):
        raise InputError(f"{place} is not a GraphDef, or one without nodes.")
    check_graph(graph, str(place))
    if OLD_BATCH_NORM in ops:
        versions = graph.versions
        versions.producer = min(versions.producer, _LAST_VERSION_WITH_OLD_BATCH_NORM)
    return graph


def truncation(data: bytes) -> str | None:
    """Walk the top-level protobuf fields of `data` and say where a cut-off file ends.

    Returns:
        A clause that completes "FILE …", or None when the top level is not merely cut off.
    """
    position = fields = 0
    while position < len(data):
        tag, position = varint(data, position)
        if tag is not None and (tag & 7 not in (0, 2) or not 1 <= tag >> 3 <= 5):
            return None
        value, position = varint(data, position)
        position += value if tag and value and tag & 7 == 2 else 0
        if value is None or position > len(data):
            least = "" if value is None else f" of at least {position:,}"
            said = f"it ends after {fields} complete nodes ({len(data):,} bytes{least})"
            return f"is cut off: {said}; download or copy it again" if fields else None
        fields += 1
    return None
