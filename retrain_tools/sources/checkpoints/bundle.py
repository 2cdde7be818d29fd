"""Checkpoints of version 2: an index of all arrays, and their bytes in further files.

The format is that of core/util/tensor_bundle: the index is a table, with a header under the empty
key and an entry for each array; a partitioned array has one for the whole, without bytes, and one
for each slice.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import STRING, dtype_of
from retrain_tools.sources.checkpoints.crc32c import crc32c, unmasked
from retrain_tools.sources.checkpoints.stored import (
    Array,
    Piece,
    Stored,
    numpy_type,
    ranges_of,
    shape_of,
    slice_key,
)
from retrain_tools.sources.checkpoints.table import DamageError, Table
from retrain_tools.sources.kinds import varint

_SLICE = b"\x00"  # keys of slices begin with it, and no array's name does
_CHECKSUM_BYTES = 4


def read_index(prefix: Path) -> dict[str, Stored]:
    """Return the arrays of a checkpoint by their keys; of their bytes nothing is read.

    That all files are there, and are large enough, is checked.

    Args:
        prefix: of the checkpoint: its files are `prefix.index`, `prefix.data-00000-of-00001`, …

    Raises:
        DamageError: it is damaged or cut off, or one of its files is missing.
        OSError: a file cannot be read.
    """
    entries = dict(Table(prefix.with_name(f"{prefix.name}.index")).items())
    if b"" not in entries:
        raise DamageError("its index has no header")
    try:
        header = schema.BundleHeaderProto.FromString(entries.pop(b""))
        protos = {key: schema.BundleEntryProto.FromString(data) for key, data in entries.items()}
    except DecodeError as error:
        raise DamageError("its index is damaged") from error
    order = "big" if header.endianness == header.BIG else "little"
    shards = _Shards(prefix, header.num_shards)
    found = {}
    for key, entry in protos.items():
        if not key.startswith(_SLICE):
            stored = Stored(entry.dtype, shape_of(entry.shape))
            stored.pieces.extend(_pieces(key, entry, protos, shards, order))
            found[key.decode("utf-8", "replace")] = stored
    return found


def _pieces(
    key: bytes, entry: Any, protos: Mapping[bytes, Any], shards: _Shards, order: str
) -> list[Piece]:
    shape = shape_of(entry.shape)
    if not entry.slices:
        return [_piece([(0, size) for size in shape], entry, shards, order)]
    pieces = []
    for part in entry.slices:
        held = protos.get(slice_key(key, part))
        if held is None or held.dtype != entry.dtype:
            raise DamageError(f"a slice of {key.decode('utf-8', 'replace')!r} is missing")
        pieces.append(_piece(ranges_of(part, shape), held, shards, order))
    return pieces


def _piece(ranges: list[tuple[int, int]], entry: Any, shards: _Shards, order: str) -> Piece:
    shape = tuple(count for _, count in ranges)
    dtype = dtype_of(entry.dtype)
    if dtype is not None and dtype.size and entry.size != math.prod(shape) * dtype.size:
        raise DamageError("an array has another size than its shape says")
    if entry.dtype == STRING and math.prod(shape) > entry.size:
        raise DamageError("an array has another size than its shape says")
    shards.check(entry)

    def load() -> Array:
        data, where = shards.read(entry), f"the data of {shape} at byte {entry.offset:,}"
        if entry.dtype == STRING:
            return _strings(data, shape, entry.crc32c, where)
        kind = numpy_type(entry.dtype)
        _check(data, entry.crc32c, where)
        values = np.frombuffer(data, kind).reshape(shape)
        return values if order == sys.byteorder else values.byteswap()

    return Piece(ranges, load)


def _strings(data: bytearray, shape: tuple[int, ...], checksum: int, where: str) -> Array:
    """Read texts: the length of each, a checksum of these, and the texts themselves."""
    sizes: list[int] = []
    position = 0
    for _ in range(math.prod(shape)):
        size, position = varint(data, position)
        sizes.append(size or 0)
    start = position + _CHECKSUM_BYTES
    if start + sum(sizes) != len(data):
        raise DamageError(f"{where} are damaged")
    numbers = b"".join(size.to_bytes(4 if size < 1 << 32 else 8, "little") for size in sizes)
    _check(numbers + data[position:], checksum, where)
    values = np.empty(len(sizes), object)
    for index, size in enumerate(sizes):
        values[index] = bytes(data[start : start + size])
        start += size
    return values.reshape(shape)


def _check(data: bytes | bytearray, stored: int, where: str) -> None:
    if crc32c(data) != unmasked(stored):
        raise DamageError(f"the checksum of {where} is wrong")


class _Shards:
    """The files with the bytes of the arrays."""

    def __init__(self, prefix: Path, count: int) -> None:
        self._prefix, self._count = prefix, count
        self._sizes: dict[int, int] = {}

    def path(self, number: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.data-{number:05}-of-{self._count:05}")

    def check(self, entry: Any) -> None:
        """Raise DamageError if what an entry names is not there."""
        number, path = entry.shard_id, self.path(entry.shard_id)
        if not 0 <= number < self._count or entry.offset < 0 or entry.size < 0:
            raise DamageError("its index is damaged")
        if number not in self._sizes:
            if not path.is_file():
                raise DamageError(f"{path.name} is missing")
            self._sizes[number] = path.stat().st_size
        if entry.offset + entry.size > self._sizes[number]:
            raise DamageError(f"{path.name} is cut off")

    def read(self, entry: Any) -> bytearray:
        data = bytearray(entry.size)
        with self.path(entry.shard_id).open("rb") as file:
            file.seek(entry.offset)
            if file.readinto(data) != entry.size:
                raise DamageError(f"{self.path(entry.shard_id).name} is cut off")
        return data
