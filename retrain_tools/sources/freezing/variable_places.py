"""Where the value of each variable of a graph is kept in its checkpoint, and reading it there.

A graph with variables holds the nodes that restore them, and these name the checkpoint's key: by
following them nothing has to be guessed, not even for TensorFlow 2, whose keys are the places of
variables in a tree of Python objects, nor for a variable that is one slice of a larger one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.navigate import attribute, node_name, nodes_by_name
from retrain_tools.graphdef.op_sets import VARIABLES
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.contents import Array, TensorInfo
from retrain_tools.sources.freezing.functions import inline_calls
from retrain_tools.sources.kinds import Place

_ASSIGNING = ("Assign", "AssignVariableOp")
_PASSING = ("Identity", "Reshape", "Cast")
_RESTORING = {"RestoreV2": 3, "Restore": 2, "RestoreSlice": 3}  # and how many inputs they have


class VariablePlace(NamedTuple):
    """Where a variable's value is kept.

    Attributes:
        key: the name in the checkpoint.
        part: (first, count) along each axis of what is kept there; None for all of it.
    """

    key: str
    part: tuple[tuple[int, int], ...] | None = None


def restored_places(meta_graph: Any, where: str) -> dict[str, VariablePlace]:
    """Return the place of each variable that the MetaGraph's Saver restores, by node name.

    Args:
        meta_graph: a `schema.MetaGraphDef`.
        where: its file, for messages.

    Raises:
        InputError: a function that restores variables is missing or calls itself.
    """
    restoring = node_name(meta_graph.saver_def.restore_op_name)
    graph_def = meta_graph.graph_def
    if graph_def.library.function:  # as TensorFlow 2 restores
        graph_def = inline_calls(graph_def, where, only=[restoring]).graph_def
    nodes = nodes_by_name(graph_def)
    strings = functools.cache(functools.partial(_strings, nodes))  # one list for many variables
    places: dict[str, VariablePlace] = {}
    for node in graph_def.node:
        if node.op in _ASSIGNING and len(node.input) > 1:
            variable = nodes.get(node_name(node.input[0]))
            place = _read_place(nodes, node.input[1], strings)
            if variable is not None and variable.op in VARIABLES and place is not None:
                places[variable.name] = place
    return places


def _read_place(
    nodes: Mapping[str, Any], source: str, strings: Callable[[str], list[str]]
) -> VariablePlace | None:
    """Follow what is assigned to a variable up to what reads a checkpoint."""
    node = nodes.get(node_name(source))
    for _ in range(len(nodes)):
        if node is None or node.op not in _PASSING or not node.input:
            break
        source = node.input[0]
        node = nodes.get(node_name(source))
    if node is None or len(node.input) < _RESTORING.get(node.op, len(node.input) + 1):
        return None
    output = source.partition(":")[2] or "0"
    if not output.isdecimal():
        return None
    index = int(output)
    keys = strings(node.input[1])
    parts = [""] if node.op == "Restore" else strings(node.input[2])
    if index >= min(len(keys), len(parts)):
        return None
    return VariablePlace(keys[index], parse_part(parts[index]))


def _strings(nodes: Mapping[str, Any], source: str) -> list[str]:
    node = nodes.get(node_name(source))
    if node is None or node.op != "Const":
        return []
    try:
        values = array(node.attr["value"].tensor).reshape(-1)
    except ValueError:
        return []
    return [v.decode("utf-8", "replace") for v in values if isinstance(v, bytes)]


def parse_part(text: str) -> tuple[tuple[int, int], ...] | None:
    """Read `10 4 0,5:-`, as Savers write the shape of a whole and the slice that is meant.

    Returns:
        (first, count) along each axis; None for the whole, or for text of another form.
    """
    words = text.split()
    if len(words) < 2:
        return None
    sizes, ranges = words[:-1], words[-1].split(":")
    if len(sizes) != len(ranges) or not all(map(str.isdecimal, sizes)):
        return None
    found = []
    for size, piece in zip(sizes, ranges, strict=True):
        first, _, count = piece.partition(",")
        if piece == "-":
            found.append((0, int(size)))
        elif first.isdecimal() and count.isdecimal():
            found.append((int(first), int(count)))
        else:
            return None
    return tuple(found)


def places_by_name(meta_graph: Any) -> dict[str, VariablePlace]:
    """Return the place of each variable by its name: for graphs that were saved without a Saver.

    TensorFlow lists a graph's variables, and which are slices of a larger one, in collections.
    """
    places = {}
    for node in meta_graph.graph_def.node:
        if node.op in VARIABLES:
            shared = attribute(node, "shared_name").s if node.op == "VarHandleOp" else b""
            key = shared.decode("utf-8", "replace") if shared else node.name
            places[node.name] = VariablePlace(key)
    for collection in meta_graph.collection_def.values():
        for data in collection.bytes_list.value:
            try:
                variable = schema.VariableDef.FromString(data)
            except DecodeError:  # another kind of collection
                continue
            kept = variable.save_slice_info_def
            if kept.full_name and node_name(variable.variable_name) in places:
                part = tuple(zip(kept.var_offset, kept.var_shape, strict=False))
                places[node_name(variable.variable_name)] = VariablePlace(kept.full_name, part)
    return places


class StoredValues:
    """Reads the values of a graph's variables; the checkpoint is opened with the first."""

    def __init__(
        self,
        prefix: Place,
        find_places: Callable[[Checkpoint], Mapping[str, VariablePlace]],
        where: str,
    ) -> None:
        """Remember where the values are.

        Args:
            prefix: the checkpoint's.
            find_places: says where the checkpoint keeps each variable, by node name.
            where: the file that the graph is in, for error messages.
        """
        self._prefix, self._find_places, self._where = prefix, find_places, where

    @functools.cached_property
    def _opened(self) -> tuple[Checkpoint, Mapping[str, VariablePlace]]:
        checkpoint = Checkpoint(self._prefix)
        return checkpoint, self._find_places(checkpoint)

    def __call__(self, name: str) -> Array:
        """Return the value of a variable.

        Raises:
            InputError: the checkpoint is missing or damaged, or does not have the variable.
        """
        key, part = self._place(name)
        return self._opened[0].read(key, part)

    def info(self, name: str) -> TensorInfo:
        """Return name, type and shape of the value of a variable, which is not read.

        Raises:
            InputError: as for the value.
        """
        key, part = self._place(name)
        checkpoint = self._opened[0]
        shape = checkpoint.shapes[key] if part is None else tuple(count for _, count in part)
        return TensorInfo(name, checkpoint.dtypes[key], shape)

    def key(self, name: str) -> str | None:
        """Return the checkpoint's key of a variable; None where it has none, or is missing."""
        try:
            return self._place(name).key
        except InputError:
            return None

    def _place(self, name: str) -> VariablePlace:
        checkpoint, places = self._opened
        place = places.get(name)
        if place is None or place.key not in checkpoint.shapes:
            sought = "" if place is None or place.key == name else f" (as {place.key!r})"
            raise InputError(
                f"{self._where}: the variable {name!r} has no value in {self._prefix}{sought}; "
                "the checkpoint is of another graph, or was written without it."
            )
        return place
