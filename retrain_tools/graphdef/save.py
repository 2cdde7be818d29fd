"""Writes a GraphDef file, without ever holding it a second time as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.disk_space import needing
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema

MAX_BYTES = 2**31 - 1  # a protobuf message cannot be larger
_LARGE_BYTES = 1 << 20

# Field numbers: GraphDef.node, NodeDef.attr, the value of a map's entry, AttrValue.tensor,
# TensorProto.tensor_content.
_NODE, _ATTRIBUTE, _MAP_VALUE, _TENSOR, _TENSOR_CONTENT = 1, 5, 2, 8, 4


def write_graph(path: str, graph_def: Any) -> None:
    """Write a binary GraphDef in one step; the same graph gives the same bytes.

    The nodes are written one after the other, as protobuf would put them, and the contents of large
    constants by themselves: serialising takes three times the size of what is serialised.

    Raises:
        InputError: the graph is larger than a GraphDef can be.
    """
    rest = schema.GraphDef()
    for field, value in graph_def.ListFields():
        if field.name in ("library", "versions"):
            getattr(rest, field.name).CopyFrom(value)
        elif field.name == "version":  # what versions was called before TensorFlow 0.8
            rest.version = value
    size = 0
    with needing(path, graph_def.ByteSize), files.replacing(Path(path)) as file:
        for node in graph_def.node:
            size += sum(map(file.write, _node_pieces(node)))
            if size > MAX_BYTES:
                most = f"the {MAX_BYTES:,} bytes that a GraphDef can have"
                raise InputError(f"{path} would have more than {most}.")
        file.write(rest.SerializeToString(deterministic=True))


def _node_pieces(node: Any) -> list[bytes]:
    """Return the bytes of a graph's node, its tag and length included."""
    content = node.attr["value"].tensor.tensor_content if _is_plain_constant(node) else b""
    if len(content) < _LARGE_BYTES:
        data = node.SerializeToString(deterministic=True)  # else attributes in any order
        return [field_start(_NODE, len(data)), data]
    tensor = node.attr["value"].tensor
    small = schema.TensorProto(dtype=tensor.dtype, tensor_shape=tensor.tensor_shape)
    inner = small.SerializeToString() + field_start(_TENSOR_CONTENT, len(content))
    # From the inside out: the tensor, the attribute's value, its entry in the map.
    for tag, before in ((_TENSOR, b""), (_MAP_VALUE, b"\x0a\x05value"), (_ATTRIBUTE, b"")):
        inner = before + field_start(tag, len(inner) + len(content)) + inner
    light = schema.NodeDef(name=node.name, op=node.op, input=node.input, device=node.device)
    for key in node.attr:
        if key != "value":
            light.attr[key].CopyFrom(node.attr[key])
    head = light.SerializeToString(deterministic=True)
    return [field_start(_NODE, len(head) + len(inner) + len(content)), head, inner, content]


def _is_plain_constant(node: Any) -> bool:
    """Tell whether the content of the node's tensor is the last thing in its bytes."""
    if node.op != "Const" or "value" not in node.attr or max(node.attr) != "value":
        return False
    fields = {field.name for field, _ in node.ListFields()}
    parts = {field.name for field, _ in node.attr["value"].tensor.ListFields()}
    return fields <= {"name", "op", "input", "device", "attr"} and (
        {"tensor_content"} <= parts <= {"dtype", "tensor_shape", "tensor_content"}
    )


def field_start(number: int, length: int) -> bytes:
    """Return what protobuf writes before a field of so many bytes; `number` is below 16."""
    return bytes([number << 3 | 2]) + varint(length)


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it: seven bits a byte, the lowest first."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
