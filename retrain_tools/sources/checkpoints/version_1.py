"""Checkpoints of version 1: tables that hold the arrays themselves, as messages.

The format is that of core/util/saved_tensor_slice.proto: under the empty key of each file stands
what arrays it has parts of, and under a key for each part its values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import shape_proto
from retrain_tools.graphdef.constants import UnreadableConstantError, read_constant
from retrain_tools.sources.checkpoints.stored import (
    Array,
    Piece,
    Ranges,
    Stored,
    numpy_type,
    ranges_of,
    shape_of,
    slice_key,
)
from retrain_tools.sources.checkpoints.table import DamageError, Table


def read_files(files: Sequence[Path]) -> dict[str, Stored]:
    """Return the arrays of a checkpoint by their keys; of their values none is read.

    Args:
        files: all files of the checkpoint.

    Raises:
        DamageError: a file is damaged or cut off, or is no checkpoint.
        OSError: a file cannot be read.
    """
    found: dict[str, Stored] = {}
    for file in files:
        table, size = Table(file), file.stat().st_size
        held = _message(table.get(b""), file)
        if not held.HasField("meta"):
            raise DamageError(f"{file.name} does not say what it holds")
        for array in held.meta.tensor:
            shape = shape_of(array.shape)
            stored = found.setdefault(array.name, Stored(array.type, shape))
            if (stored.dtype, stored.shape) != (array.type, shape):
                raise DamageError(f"its files do not agree on {array.name!r}")
            for part in array.slice:
                ranges = ranges_of(part, shape)
                if math.prod(count for _, count in ranges) > size:
                    raise DamageError(f"{file.name} is smaller than it says")
                key = slice_key(array.name.encode(), part)
                stored.pieces.append(_piece(table, key, ranges, array.type, file))
    return found


def _piece(table: Table, key: bytes, ranges: Ranges, dtype: int, file: Path) -> Piece:
    shape = tuple(count for _, count in ranges)

    def load() -> Array:
        kind = numpy_type(dtype)
        tensor = _message(table.get(key), file).data.data
        tensor.dtype = dtype
        tensor.tensor_shape.CopyFrom(shape_proto(shape))
        try:
            constant = read_constant(tensor)
        except UnreadableConstantError as error:
            raise DamageError(f"{file.name} holds an array of which {error}") from error
        if len(constant.values) < constant.count:
            raise DamageError(f"{file.name} has too few values for {list(shape)}")
        return constant.array().view(kind)

    return Piece(ranges, load)


def _message(data: bytes | None, file: Path) -> Any:
    if data is None:
        raise DamageError(f"{file.name} lacks what it should hold")
    try:
        return schema.SavedTensorSlices.FromString(data)
    except DecodeError as error:
        raise DamageError(f"{file.name} holds what no checkpoint does") from error
