"""Writes a GraphDef file, without ever holding it a second time as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf

_MAX_BYTES = 2**31 - 1  # a protobuf message cannot be larger
_NODE_FIELD = b"\x0a"  # field 1 of a GraphDef, a message


def write_graph(path: str, graph_def: Any) -> None:
    """Write a binary GraphDef in one step; the same graph gives the same bytes.

    The nodes are written one after the other, as protobuf would put them: serialising a graph of
    553 MB as a whole takes three times that.

    Raises:
        InputError: the graph is larger than a GraphDef can be.
    """
    rest = tf.compat.v1.GraphDef()
    for field, value in graph_def.ListFields():
        if field.name in ("library", "versions"):
            getattr(rest, field.name).CopyFrom(value)
        elif field.name == "version":  # what versions was called before TensorFlow 0.8
            rest.version = value
    size = 0
    with files.replacing(Path(path)) as file:
        for node in graph_def.node:
            data = node.SerializeToString(deterministic=True)  # else attributes in any order
            size += file.write(_NODE_FIELD + _varint(len(data))) + file.write(data)
            if size > _MAX_BYTES:
                most = f"the {_MAX_BYTES:,} bytes that a GraphDef can have"
                raise InputError(f"{path} would have more than {most}.")
        file.write(rest.SerializeToString(deterministic=True))


def _varint(value: int) -> bytes:
    """Write a number as protobuf does: seven bits a byte, the lowest first."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
