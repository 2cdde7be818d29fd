"""Any GraphDef file to a checked GraphDef; what the rest of the package works on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef import file_kind, schema
from retrain_tools.graphdef.constants import is_sound
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.order import CircleError, running_order
from retrain_tools.quiet_tensorflow import tf

if TYPE_CHECKING:  # reading a graph takes nothing of the catalogue, which is slow to import
    from retrain_tools.catalog_entry import CatalogEntry
    from retrain_tools.graphdef.spec import GraphSpec

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


def read_graph_def(path: str | Path, message: Any = None) -> Any:
    """Read a binary or text GraphDef, told apart by content.

    Args:
        path: the file.
        message: the class to read it as: `schema.GraphDef` for one that is only looked at, which
            needs no TensorFlow; by default TensorFlow's own, which can be run and rewritten.

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
    graph_def = tf.compat.v1.GraphDef() if message is None else message()
    if file_kind.is_text_graph(data[:4096]):
        _parse_text(data, path, graph_def)
    else:
        _parse_binary(data, path, graph_def)
    nodes = _check(graph_def, path)
    if nodes[_OLD_BATCH_NORM]:
        versions = graph_def.versions
        versions.producer = min(versions.producer, _LAST_VERSION_WITH_OLD_BATCH_NORM)
    return graph_def


def _parse_binary(data: bytes, path: Path, graph_def: Any) -> None:
    try:
        graph_def.ParseFromString(data)
    except DecodeError as error:
        kind = _other_message(data) or file_kind.truncation(data) or "is not a GraphDef"
        raise InputError(f"{path} {kind}.") from error
    ops = {node.op for node in graph_def.node}
    if not ops or not all(map(_OP_NAME.fullmatch, ops)):
        kind = _other_message(data) or "is not a GraphDef, or one without nodes"
        raise InputError(f"{path} {kind}.")


def _other_message(data: bytes) -> str | None:
    """Recognise the protobuf messages that are most often passed for a GraphDef."""
    try:
        meta_graph = schema.MetaGraphDef.FromString(data)
    except DecodeError:
        return None
    if meta_graph.graph_def.node:
        return "is a MetaGraph (.meta), whose variables are in a checkpoint; freeze it first"
    return None


def _parse_text(data: bytes, path: Path, graph_def: Any) -> None:
    # Reading text is rare, and its parser takes as long to import as everything else here.
    from google.protobuf import text_format

    try:
        text_format.Parse(data.decode("utf-8"), graph_def)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        where = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} is a text GraphDef that cannot be read: {where}.") from error


def _check(graph_def: Any, path: Path) -> dict[str, list[Any]]:
    """Check names, edges and constants, and return the nodes of the ops that are special."""
    inputs: dict[str, list[str]] = {}
    special = ("Const", "NextIteration", _OLD_BATCH_NORM, *_VARIABLES)
    by_op: dict[str, list[Any]] = {op: [] for op in special}
    is_in_order = True  # as nearly every file is: then no edge can be loose or lead back
    for node in graph_def.node:
        name = node.name
        if name in inputs:
            raise InputError(f"{path} is damaged: two nodes are called {name!r}.")
        sources = list(node.input)
        for place, source in enumerate(sources):
            if source not in inputs:  # as it stands, most often: the first output of a node
                sources[place] = source = node_name(source)
            if source not in inputs:
                is_in_order = False
        inputs[name] = sources
        op = node.op
        if op in by_op:
            by_op[op].append(node)
    if not is_in_order:
        _check_sources(graph_def, inputs, path)
        _check_order(inputs, {node.name for node in by_op["NextIteration"]}, path)
    _check_constants(by_op["Const"], path)
    variables = [node.name for op in _VARIABLES for node in by_op[op]]
    if variables:
        raise InputError(
            f"{path} is not frozen: it has {len(variables)} variables ({variables[0]!r} is the "
            "first), whose values are in a checkpoint; freeze it first."
        )
    return by_op


def _check_sources(graph_def: Any, names: Collection[str], path: Path) -> None:
    for node in graph_def.node:
        for name in node.input:
            if node_name(name) not in names:
                raise InputError(
                    f"{path} is damaged: node {node.name!r} takes {name!r}, which no node makes."
                )


def _check_order(inputs: dict[str, list[str]], loops: Collection[str], path: Path) -> None:
    """Refuse a graph that could never run, on which a walk along the inputs would never end."""
    # The one edge that may lead back is that of a while loop, from NextIteration to Merge.
    if loops:
        inputs = {name: [s for s in made if s not in loops] for name, made in inputs.items()}
    try:
        running_order(inputs)
    except CircleError as error:
        raise InputError(f"{path} is damaged: its nodes go in a circle: {error}.") from error


def _check_constants(constants: Iterable[Any], path: Path) -> None:
    """Refuse constants that do not fit their own type and shape: some make TensorFlow abort."""
    for node in constants:
        if not is_sound(node):
            raise InputError(
                f"{path} is damaged: the constant {node.name!r} does not hold what its type and "
                "shape say."
            )
