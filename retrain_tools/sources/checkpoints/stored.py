"""An array of a checkpoint: in one piece, or in the slices that a partitioned variable has."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.dtypes import array_dtype, dtype_name, dtype_of
from retrain_tools.sources.checkpoints.table import DamageError

Array = npt.NDArray[Any]
Ranges = Sequence[tuple[int, int]]
"""(first, count) along each axis."""

_WHOLE = -1  # how a slice says that it has all of an axis (core/framework/tensor_slice.cc)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of an array.

    Attributes:
        ranges: what part.
        load: reads its values, in its shape; raises DamageError.
    """

    ranges: Ranges
    load: Callable[[], Array]


@dataclasses.dataclass
class Stored:
    """An array of a checkpoint.

    Attributes:
        dtype: the number of its type.
        shape: its dimensions.
        pieces: its parts; what lies in none of them has no values.
    """

    dtype: int
    shape: tuple[int, ...]
    pieces: list[Piece] = dataclasses.field(default_factory=list)

    def read(self, part: Ranges | None = None) -> Array:
        """Return the values of a part, or of all of it.

        Raises:
            DamageError: the checkpoint is damaged, or does not hold the part.
        """
        wanted = [(0, size) for size in self.shape] if part is None else list(part)
        if not _fits(wanted, self.shape):
            raise DamageError(f"it has no part {wanted} of an array of shape {list(self.shape)}")
        shared = [(piece, _common(piece.ranges, wanted)) for piece in self.pieces]
        found = [(piece, common) for piece, common in shared if common is not None]
        for piece, _ in found:
            if list(piece.ranges) == wanted:
                return piece.load()
        if sum(_volume(common) for _, common in found) != _volume(wanted):
            raise DamageError("parts of an array are missing")
        values = np.zeros([count for _, count in wanted], numpy_type(self.dtype))
        for piece, common in found:
            values[_slices(common, wanted)] = piece.load()[_slices(common, piece.ranges)]
        return values


def numpy_type(number: int) -> np.dtype[Any]:
    """Return NumPy's type for a number of types.proto.

    Raises:
        DamageError: there is none.
    """
    dtype = dtype_of(number)
    found = None if dtype is None else array_dtype(dtype)
    if found is None:
        raise DamageError(f"its values are of type {dtype_name(number)}, which NumPy does not have")
    return found


def shape_of(proto: Any) -> tuple[int, ...]:
    """Return the shape in a TensorShapeProto.

    Raises:
        DamageError: it is not fully known.
    """
    sizes = tuple(dim.size for dim in proto.dim)
    if proto.unknown_rank or any(size < 0 for size in sizes):
        raise DamageError("it holds an array without a shape")
    return sizes


def ranges_of(proto: Any, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return what part of an array of this shape a TensorSliceProto means.

    Raises:
        DamageError: it does not fit the shape.
    """
    found = [
        (extent.start, extent.length) if _is_part(extent) else (0, size)
        for extent, size in zip(proto.extent, shape, strict=False)
    ]
    if len(proto.extent) != len(shape) or not _fits(found, shape):
        raise DamageError("it holds a slice that does not fit its array")
    return found


def _is_part(extent: Any) -> bool:
    return bool(extent.HasField("length"))


def _fits(ranges: Ranges, shape: Sequence[int]) -> bool:
    return len(ranges) == len(shape) and all(
        first >= 0 and count >= 0 and first + count <= size
        for (first, count), size in zip(ranges, shape, strict=True)
    )


def slice_key(name: bytes, proto: Any) -> bytes:
    """Return the key of a slice in a table (core/util/saved_tensor_slice_util.cc)."""
    text = re.sub(rb"[\x00\xff]", lambda found: found[0] + bytes([0xFF - found[0][0]]), name)
    parts = [_number(0), text + b"\x00\x01", _number(len(proto.extent))]
    for extent in proto.extent:
        first, count = (extent.start, extent.length) if _is_part(extent) else (0, _WHOLE)
        parts += [_signed(first), _signed(count)]
    return b"".join(parts)


def _number(value: int) -> bytes:
    """Write a number so that texts sort as the numbers do (lib/strings/ordered_code.cc)."""
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(digits)]) + digits


def _signed(value: int) -> bytes:
    """The same for numbers that may be below zero: the first bits say how many bytes follow."""
    size = 1 + (~value if value < 0 else value).bit_length() // 7
    header = ((1 << size) - 1) << 7 * size
    return ((value & ((1 << 8 * size) - 1)) ^ header).to_bytes(size, "big")


def _common(one: Ranges, other: Ranges) -> list[tuple[int, int]] | None:
    """Return what lies in both; None for nothing."""
    found = []
    for (a, a_count), (b, b_count) in zip(one, other, strict=True):
        first, end = max(a, b), min(a + a_count, b + b_count)
        if first > end or (first == end and a_count and b_count):
            return None
        found.append((first, end - first))
    return found


def _volume(ranges: Ranges) -> int:
    return math.prod(count for _, count in ranges)


def _slices(ranges: Ranges, inside: Ranges) -> tuple[slice, ...]:
    pairs = zip(ranges, inside, strict=True)
    return tuple(slice(a - b, a - b + count) for (a, count), (b, _) in pairs)
