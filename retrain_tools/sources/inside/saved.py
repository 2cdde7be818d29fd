"""The layers of a SavedModel, as its tree of objects and its variables tell them.

Keras 2 says of each layer what it is, in `keras_metadata.pb` (since TensorFlow 2.5) or in the tree
itself. Of anything else only the variables are known: by their place in the tree, as a tf.Module
has them, or by their names, where they lie in one list, as those of Hub's modules and of Keras 3's
exports do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.sources.contents import TensorInfo
from retrain_tools.sources.inside.part import Part, parts_by_scope, size_of
from retrain_tools.sources.messages import message_items

_METADATA = "keras_metadata.pb"
_MOST_BYTES = 2**28
_LAYER = "_tf_keras_"
# What a layer's object holds beside its own parts.
_NO_PARTS = ("keras_api", "signatures", "optimizer", "keras_metadata")
_LISTS = re.compile(r"_?(all_|non_)?(trainable_)?variables|regularization_losses|_.*")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_NUMBERED = re.compile(r"layer-(\d+)")


def saved_parts(
    meta_graph: Any,
    folder: Path,
    variables: Sequence[TensorInfo],
    key_of: Callable[[str], str | None] | None,
) -> tuple[Part, ...]:
    """Return the layers of a SavedModel.

    Args:
        meta_graph: a `schema.MetaGraphDef`.
        folder: the SavedModel's.
        variables: those of the graph.
        key_of: gives the checkpoint's key of a variable, by its node's name; None without values.
    """
    tree = meta_graph.object_graph_def
    told = _metadata(tree, folder)
    if 0 in told:
        return (_Keras(tree, told).part(0, "model", frozenset()),)
    named = [(_path(info.name, (key_of and key_of(info.name)) or ""), info) for info in variables]
    return parts_by_scope([pair for pair in named if pair[1].dtype != "resource"])


def _path(name: str, key: str) -> str:
    """Return what groups a variable: its place in the tree of objects, or else its name."""
    place = key.removesuffix(_VALUE)
    is_in_list = place != key and _LISTS.fullmatch(place.partition("/")[0])
    return name if is_in_list or not key else place


def _metadata(tree: Any, folder: Path) -> dict[int, Mapping[str, Any]]:
    """Return what Keras 2 says of its layers, by the numbers of their objects."""
    texts: dict[int, str] = {
        number: node.user_object.metadata
        for number, node in enumerate(tree.nodes)
        if _is_layer(node.user_object.identifier) and node.user_object.metadata
    }
    file = folder / _METADATA
    if file.is_file() and file.stat().st_size <= _MOST_BYTES:
        texts |= dict(_saved_objects(file.read_bytes()))
    found: dict[int, Mapping[str, Any]] = {}
    for number, text in texts.items():
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            continue  # the layer is left out, as the file says nothing of it
        if isinstance(said, dict) and 0 <= number < len(tree.nodes):
            found[number] = said
    return found


def _saved_objects(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield number and description of each object (tf_keras/protobuf/saved_metadata.proto)."""
    for field, value in message_items(data):
        if field == 1 and isinstance(value, bytes):
            fields = dict(message_items(value))
            kind, text, number = fields.get(4, b""), fields.get(5, b""), fields.get(2, 0)
            if not (isinstance(kind, bytes) and isinstance(text, bytes)):
                continue
            if isinstance(number, int) and _is_layer(kind.decode("utf-8", "replace")):
                yield number, text.decode("utf-8", "replace")


def _is_layer(identifier: str) -> bool:
    return identifier.startswith(_LAYER) and "metric" not in identifier


class _Keras:
    """Goes down the tree of a Keras 2 model."""

    def __init__(self, tree: Any, told: Mapping[int, Mapping[str, Any]]) -> None:
        self._nodes, self._told = tree.nodes, told
        self._seen: set[int] = set()

    def part(self, number: int, local_name: str, above: frozenset[int]) -> Part:
        """Return a layer with the layers in it; each object is told once."""
        self._seen.add(number)
        said = self._told.get(number, {})
        above |= {number}
        parts = tuple(
            self.part(child, name, above)
            for child, name in self._children(number)
            if child in self._told and child not in self._seen and len(above) < 50
        )
        held = dict(self._variables(number, set()))
        kind = str(said.get("class_name") or "") or None
        name = str(said.get("name") or local_name)
        config = said.get("config")
        if isinstance(config, dict) and isinstance(config.get("handle"), str):
            kind = f"{kind} of {config['handle']}"
            own = [(v.name.removeprefix(f"{name}/"), v) for v in held.values()]
            parts = parts or parts_by_scope(own)
        return Part(name, kind, size_of(held.values()), (), parts)

    def _children(self, number: int) -> list[tuple[int, str]]:
        """Return the objects in one, those that Keras numbers first, in its order."""
        found = [
            (child.node_id, child.local_name)
            for child in self._nodes[number].children
            if child.local_name not in _NO_PARTS and 0 <= child.node_id < len(self._nodes)
        ]

        def order(pair: tuple[int, str]) -> tuple[bool, int]:
            numbered = _NUMBERED.fullmatch(pair[1])
            return numbered is None, int(numbered[1]) if numbered else 0

        return sorted(found, key=order)

    def _variables(self, number: int, seen: set[int]) -> Iterator[tuple[int, TensorInfo]]:
        """Yield the variables in an object and in all objects in it."""
        waiting = [number]
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            node = self._nodes[place]
            if node.WhichOneof("kind") == "variable":
                held = node.variable
                info = TensorInfo(held.name, dtype_name(held.dtype), shape_in(held.shape))
                yield place, info
            waiting.extend(child for child, _ in reversed(self._children(place)))
