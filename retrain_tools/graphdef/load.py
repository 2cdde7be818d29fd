"""Any GraphDef file to a checked GraphDef; what the rest of the package works on."""

from __future__ import annotations

import dataclasses
import graphlib
import math
import re
from pathlib import Path
from typing import Any

from retrain_tools.catalog_entry import CatalogEntry
from retrain_tools.errors import InputError
from retrain_tools.graphdef import file_kind
from retrain_tools.graphdef.navigate import attribute, node_name
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.quiet_tensorflow import tf

# The op was removed for graphs made since GraphDef version 9 (TensorFlow's op registry); a file
# that holds it and says otherwise was re-saved by a newer TensorFlow, with nothing else changed.
_OLD_BATCH_NORM = "BatchNormWithGlobalNormalization"
_LAST_VERSION_WITH_OLD_BATCH_NORM = 8

_VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
_OP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_>.]*")


@dataclasses.dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables and what it takes to use it on pictures.

    Attributes:
        graph_def: the GraphDef, as it stands in the file.
        spec: which tensors take the picture, how pixels are prepared, where the bottleneck is.
        path: the file that it was read from.
        entry: the catalogue's knowledge of this network, if it is one of those.
    """

    graph_def: Any
    spec: GraphSpec
    path: Path
    entry: CatalogEntry | None = None


def read_graph_def(path: str | Path) -> Any:
    """Read a binary or text GraphDef, told apart by content.

    Raises:
        InputError: the file is missing, is something else (it says what), is cut off, or its graph
            is inconsistent (a node name twice, an input that no node makes, a circle, a
            constant that is not what it says, variables inside).
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"No such file: {path}")
    if reason := file_kind.foreign_kind(path):
        raise InputError(f"{path} {reason}.")
    data = path.read_bytes()
    if file_kind.is_text_graph(data[:4096]):
        graph_def = _parse_text(data, path)
    else:
        graph_def = _parse_binary(data, path)
    _check_names(graph_def, path)
    if any(node.op == _OLD_BATCH_NORM for node in graph_def.node):
        versions = graph_def.versions
        versions.producer = min(versions.producer, _LAST_VERSION_WITH_OLD_BATCH_NORM)
    return graph_def


def _parse_binary(data: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except DecodeError as error:
        kind = _other_message(data) or file_kind.truncation(data) or "is not a GraphDef"
        raise InputError(f"{path} {kind}.") from error
    if not graph_def.node or not all(_OP_NAME.fullmatch(node.op) for node in graph_def.node):
        kind = _other_message(data) or "is not a GraphDef, or one without nodes"
        raise InputError(f"{path} {kind}.")
    return graph_def


def _other_message(data: bytes) -> str | None:
    """Recognise the protobuf messages that are most often passed for a GraphDef."""
    from google.protobuf.message import DecodeError

    try:
        meta_graph = tf.compat.v1.MetaGraphDef.FromString(data)
    except DecodeError:
        return None
    if meta_graph.graph_def.node:
        return "is a MetaGraph (.meta), whose variables are in a checkpoint; freeze it first"
    return None


def _parse_text(data: bytes, path: Path) -> Any:
    from google.protobuf import text_format

    try:
        return text_format.Parse(data.decode("utf-8"), tf.compat.v1.GraphDef())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        where = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} is a text GraphDef that cannot be read: {where}.") from error


def _check_names(graph_def: Any, path: Path) -> None:
    names: set[str] = set()
    for node in graph_def.node:
        if node.name in names:
            raise InputError(f"{path} is damaged: two nodes are called {node.name!r}.")
        names.add(node.name)
    for node in graph_def.node:
        for name in node.input:
            if node_name(name) not in names:
                raise InputError(
                    f"{path} is damaged: node {node.name!r} takes {name!r}, which no node makes."
                )
    _check_order(graph_def, path)
    _check_constants(graph_def, path)
    variables = [node.name for node in graph_def.node if node.op in _VARIABLES]
    if variables:
        raise InputError(
            f"{path} is not frozen: it has {len(variables)} variables ({variables[0]!r} is the "
            "first), whose values are in a checkpoint; freeze it first."
        )


def _check_order(graph_def: Any, path: Path) -> None:
    """Refuse a graph that could never run, on which a walk along the inputs would never end."""
    # The one edge that may lead back is that of a while loop, from NextIteration to Merge.
    loops = {node.name for node in graph_def.node if node.op == "NextIteration"}
    order = graphlib.TopologicalSorter(
        {node.name: {node_name(i) for i in node.input} - loops for node in graph_def.node}
    )
    try:
        order.prepare()
    except graphlib.CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise InputError(f"{path} is damaged: its nodes go in a circle: {circle}.") from error


def _check_constants(graph_def: Any, path: Path) -> None:
    """Refuse constants that do not fit their own type and shape: some make TensorFlow abort."""
    for node in graph_def.node:
        if node.op == "Const" and not _is_sound(node):
            raise InputError(
                f"{path} is damaged: the constant {node.name!r} does not hold what its type and "
                "shape say."
            )


def _is_sound(constant: Any) -> bool:
    tensor = attribute(constant, "value").tensor
    if tensor.dtype == 0 or tensor.dtype != attribute(constant, "dtype").type:
        return False
    try:
        size = tf.as_dtype(tensor.dtype).size
    except TypeError:
        return False
    count = math.prod(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(dim.size < 0 for dim in tensor.tensor_shape.dim):
        return False
    return not tensor.tensor_content or len(tensor.tensor_content) == count * size
