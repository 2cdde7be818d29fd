"""Any GraphDef file to a checked GraphDef; what the rest of the package works on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef import file_kind, schema
from retrain_tools.graphdef.constants import is_sound
from retrain_tools.graphdef.navigate import node_name, nodes_by_name, nodes_by_op
from retrain_tools.graphdef.op_sets import OLD_BATCH_NORM, VARIABLES
from retrain_tools.graphdef.toposort import CycleError, topological_order
from retrain_tools.graphdef.view import GraphView, view_of

if TYPE_CHECKING:  # reading a graph takes nothing of the catalogue, which is slow to import
    from retrain_tools.catalog_entry import CatalogEntry
    from retrain_tools.graphdef.spec import GraphSpec

# The op was removed for graphs made since GraphDef version 9 (TensorFlow's op registry); a file
# that holds it and says otherwise was re-saved by a newer TensorFlow, with nothing else changed.
_LAST_VERSION_WITHOLD_BATCH_NORM = 8

_OP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_>.]*")


@dataclasses.dataclass(frozen=True)
class FrozenGraph:
    """A graph without variables and what it takes to use it on images.

    Attributes:
        graph_def: the GraphDef, as it stands in the file.
        spec: which tensors take the image, how pixels are prepared, where the bottleneck is.
        path: the file that it was read from.
        entry: the catalogue's knowledge of this network, if it is one of those.
    """

    graph_def: Any
    spec: GraphSpec
    path: Path
    entry: CatalogEntry | None = None


def read_graph_def(path: str | Path, allow_variables: bool = False) -> Any:
    """Read a binary or text GraphDef, told apart by content.

    Args:
        path: the file.
        allow_variables: whether to read a graph whose variables have their values elsewhere.

    Raises:
        InputError: the file is missing, is something else (it says what), is cut off, or its graph
            is inconsistent (a node name twice, an input that no node makes, a cycle, a
            constant that is not what it says, variables inside).
    """
    return _read(Path(path), allow_variables).proto


def read_graph_view(path: str | Path) -> GraphView:
    """Read a frozen GraphDef to look at it, without TensorFlow.

    Raises:
        InputError: see `read_graph_def`.
    """
    return _read(Path(path), allow_variables=False)


def _read(path: Path, allow_variables: bool) -> GraphView:
    graph_def = schema.GraphDef()
    if not path.exists():
        raise InputError(f"No such file: {path}")
    if reason := file_kind.foreign_kind(path):
        raise InputError(f"{path} {reason}.")
    data = path.read_bytes()
    if file_kind.is_text_graph(data[:4096]):
        _parse_text(data, path, graph_def)
        graph = view_of(graph_def)
    else:
        graph = _parse_binary(data, path, graph_def)
    check_graph(graph, str(path))
    if not allow_variables:
        _refuse_variables(graph, path)
    if OLD_BATCH_NORM in nodes_by_op(graph):
        versions = graph_def.versions
        versions.producer = min(versions.producer, _LAST_VERSION_WITHOLD_BATCH_NORM)
    return graph


def _parse_binary(data: bytes, path: Path, graph_def: Any) -> GraphView:
    try:
        graph_def.ParseFromString(data)
    except DecodeError as error:
        kind = _other_message(data) or file_kind.truncation(data) or "is not a GraphDef"
        raise InputError(f"{path} {kind}.") from error
    graph = view_of(graph_def)
    ops = nodes_by_op(graph)
    if not ops or not all(map(_OP_NAME.fullmatch, ops)):
        kind = _other_message(data) or "is not a GraphDef, or one without nodes"
        raise InputError(f"{path} {kind}.")
    return graph


def _other_message(data: bytes) -> str | None:
    """Recognise the protobuf messages that are most often passed for a GraphDef."""
    try:
        meta_graph = schema.MetaGraphDef.FromString(data)
    except DecodeError:
        return None
    if meta_graph.graph_def.node:
        return f"is a MetaGraph (.meta), {file_kind.OPEN_IT}"
    return None


def _parse_text(data: bytes, path: Path, graph_def: Any) -> None:
    # Reading text is rare, and its parser takes as long to import as everything else here.
    from google.protobuf import text_format

    try:
        text_format.Parse(data.decode("utf-8"), graph_def)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        where = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} is a text GraphDef that cannot be read: {where}.") from error


def check_graph(graph_def: Any, where: str) -> None:
    """Refuse a graph that cannot be walked through, or on which TensorFlow would abort.

    Args:
        graph_def: the graph, or a view of it; it may have variables.
        where: its file, for error messages.

    Raises:
        InputError: a node name stands twice or is none, an input is made by no node, nodes form
            a cycle, or a constant does not hold what it says.
    """
    graph = view_of(graph_def)
    names: set[str] = set()
    is_in_order = True  # as nearly every file is: then no edge can be loose or lead back
    for node in graph.node:
        name = node.name
        if name in names:
            raise InputError(f"{where} is damaged: two nodes are called {name!r}.")
        if ":" in name or name.startswith("^"):  # an input of that name would be another node's
            raise InputError(f"{where} is damaged: {name!r} is no name of a node.")
        for source in node.input:
            # As it stands, most often: the first output of a node.
            if source not in names and node_name(source) not in names:
                is_in_order = False
        names.add(name)
    if not is_in_order:
        _check_order(graph, where)
    _check_constants(nodes_by_op(graph).get("Const", ()), where)


def _check_order(graph: GraphView, where: str) -> None:
    """Refuse a graph that could never run, on which a walk along the inputs would never end."""
    nodes = nodes_by_name(graph)
    # The one edge that may lead back is that of a while loop, from NextIteration to Merge.
    loops = {node.name for node in nodes_by_op(graph).get("NextIteration", ())}
    inputs: dict[str, list[str]] = {}
    for name, node in nodes.items():
        sources = inputs[name] = []
        for source in node.input:
            maker = node_name(source)
            if maker not in nodes:
                raise InputError(
                    f"{where} is damaged: node {name!r} takes {source!r}, which no node makes."
                )
            if maker not in loops:
                sources.append(maker)
    try:
        topological_order(inputs)
    except CycleError as error:
        raise InputError(f"{where} is damaged: its nodes form a cycle: {error}.") from error


def _check_constants(constants: Iterable[Any], where: str) -> None:
    """Refuse constants that do not fit their own type and shape: some make TensorFlow abort."""
    for node in constants:
        if not is_sound(node):
            raise InputError(
                f"{where} is damaged: the constant {node.name!r} does not hold what its type and "
                "shape say."
            )


def _refuse_variables(graph: GraphView, path: Path) -> None:
    by_op = nodes_by_op(graph)
    variables = [node.name for op in VARIABLES for node in by_op.get(op, ())]
    if variables:
        raise InputError(
            f"{path} is not frozen: it has {len(variables)} variables ({variables[0]!r} is the "
            "first), whose values are in a checkpoint; freeze it first."
        )
