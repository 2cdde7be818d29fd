"""Signatures of session bundles, the predecessors of SavedModels: `export.meta` of 2015 to 2017.

They are in a collection of the MetaGraph, as a message of TensorFlow Serving's whose class
TensorFlow has dropped (tensorflow_serving/session_bundle/manifest.proto).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name, upstream
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.sources.contents import Signature, TensorInfo

_COLLECTION = "serving_signatures"
_DEFAULT = "serving_default"
_BOTH = ("inputs", "outputs")  # two generic signatures that are the two sides of one
_FIELD = descriptor_pb2.FieldDescriptorProto
# The messages of manifest.proto: number and type of each field. A map is a list of its entries.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Signatures": {"default_signature": (1, "Signature"), "named_signatures": (2, "*Named")},
    "Named": {"key": (1, ""), "value": (2, "Signature")},
    "Signature": {
        "regression": (1, "Typed"),
        "classification": (2, "Typed"),
        "generic": (3, "Map"),
    },
    "Typed": {"input": (1, "Binding"), "first": (2, "Binding"), "second": (3, "Binding")},
    "Map": {"map": (1, "*Entry")},
    "Entry": {"key": (1, ""), "value": (2, "Binding")},
    "Binding": {"tensor_name": (1, "")},
}
_OUTPUTS = {"regression": ("outputs", ""), "classification": ("classes", "scores")}


def bundle_signatures(meta_graph: Any, where: str) -> dict[str, Signature]:
    """Return the signatures of a session bundle; nothing for any other MetaGraph.

    The default one is `serving_default`. Two generic ones that are called `inputs` and `outputs`
    are one signature: `serving_default` where there is no default, else
    `serving_default_from_named`. Of any other generic one, what others are computed from is input.

    Args:
        meta_graph: a `schema.MetaGraphDef`.
        where: its file, for messages.

    Raises:
        InputError: they cannot be read, or name tensors that are not there.
    """
    if not is_session_bundle(meta_graph):
        return {}
    stated = meta_graph.collection_def[_COLLECTION].any_list.value
    try:
        held = _class().FromString(stated[0].value if stated else b"")
    except DecodeError as error:
        raise InputError(
            f"{where} is damaged: its signatures cannot be read; copy it again."
        ) from error
    named = {str(entry.key): entry.value for entry in held.named_signatures}
    sides = [named[key] for key in _BOTH if key in named and named[key].HasField("generic")]
    reader = _Reader(meta_graph.graph_def, where)
    found = {}
    if held.HasField("default_signature"):
        found[_DEFAULT] = reader.signature(held.default_signature)
    if len(sides) == len(_BOTH):
        inputs, outputs = map(reader.bindings, sides)
        found[f"{_DEFAULT}_from_named" if found else _DEFAULT] = Signature(inputs, outputs)
        named = {key: signature for key, signature in named.items() if key not in _BOTH}
    found |= {key: reader.signature(signature) for key, signature in named.items()}
    return {name: found[name] for name in sorted(found) if found[name].outputs}


def is_session_bundle(meta_graph: Any) -> bool:
    """Tell whether a MetaGraph was exported for TensorFlow Serving as session bundles were."""
    return _COLLECTION in meta_graph.collection_def


class _Reader:
    """Makes signatures of messages; types and shapes are the graph's."""

    def __init__(self, graph_def: Any, where: str) -> None:
        self._graph_def, self._where = graph_def, where
        self._nodes = nodes_by_name(graph_def)
        self._tensors = {tensor.name: tensor for tensor in list_tensors(graph_def)}

    def signature(self, message: Any) -> Signature:
        for kind, keys in _OUTPUTS.items():
            if message.HasField(kind):
                typed = getattr(message, kind)
                outputs = zip(keys, (typed.first, typed.second), strict=True)
                return Signature(
                    {"inputs": self._info(typed.input)},
                    {key: self._info(end) for key, end in outputs if end.tensor_name},
                )
        ends = self.bindings(message)
        before: set[str] = set()
        for info in ends.values():
            name = node_name(info.name)
            before |= upstream(self._nodes, [name]) - {name}
        inputs = {key: info for key, info in ends.items() if node_name(info.name) in before}
        return Signature(inputs, {key: ends[key] for key in ends if key not in inputs})

    def bindings(self, message: Any) -> dict[str, TensorInfo]:
        ends = {str(entry.key): entry.value for entry in message.generic.map}
        return {key: self._info(ends[key]) for key in sorted(ends)}

    def _info(self, binding: Any) -> TensorInfo:
        tensor = self._tensors.get(full_name(binding.tensor_name))
        if tensor is None:
            raise InputError(
                f"{self._where} is damaged: its signature names {binding.tensor_name!r}, which is "
                "not there."
            )
        return TensorInfo(tensor.name, tensor.dtype, tensor.shape)


@functools.cache
def _class() -> Any:
    """Return the class of the message, in a descriptor pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="manifest.proto", package="bundle")
    file.syntax = "proto3"
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number)
            added.label = _FIELD.LABEL_REPEATED if kind[:1] == "*" else _FIELD.LABEL_OPTIONAL
            added.type = _FIELD.TYPE_MESSAGE if kind else _FIELD.TYPE_STRING
            if kind:
                added.type_name = f".bundle.{kind.removeprefix('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bundle.Signatures"))
