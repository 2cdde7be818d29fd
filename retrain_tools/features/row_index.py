"""Which image's vector each row of a matrix on disk is; and reading such rows.

An index is one block after another, each of which was appended in one piece: a head with a
checksum, the numbers of its rows, and the names of their images. What is cut off or damaged is no
block, and nothing after it counts.
"""

from __future__ import annotations

import io
import itertools
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_MAGIC = b"RTi1"
_HEAD = struct.Struct("<4sIIII")  # magic, depth, rows, bytes of names, checksum of all else
_ROW, _CHECKSUM, _STAMP = 0, 1, slice(2, 6)
_COLUMNS = 6
_INT64_MAX = (1 << 63) - 1


class Block(NamedTuple):
    """What an index says of some rows.

    Attributes:
        names: the image of each, by its path below the folder.
        rows: int64 [N], where each is in the matrix; -1 where the image has none any more.
        checksums: int64 [N], CRC-32 of its bytes.
        stamps: int64 [N, 4], see `stamp_of`; zeros where the row is a copy of no file.
    """

    names: list[str]
    rows: Numbers
    checksums: Numbers
    stamps: Numbers


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes where a file does: size, times of its content and of its entry, number.

    The time of the entry cannot be set back, as `touch` and `cp -p` do with that of the content;
    and a file that takes another's place has another number.
    """
    number = status.st_ino & _INT64_MAX
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, number


def is_index(path: Path) -> bool:
    """Whether a file begins like an index."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def block_bytes(depth: int, block: Block) -> bytes:
    """Return a block as it stands in an index of vectors of `depth` values."""
    numbers = np.empty((len(block.names), _COLUMNS), "<i8")
    numbers[:, _ROW] = block.rows
    numbers[:, _CHECKSUM] = block.checksums
    numbers[:, _STAMP] = block.stamps
    names = "\0".join(block.names).encode("utf-8", "surrogateescape")
    payload = numbers.tobytes() + names
    counts = (depth, len(block.names), len(names))
    head = _HEAD.pack(_MAGIC, *counts, 0)
    return _HEAD.pack(_MAGIC, *counts, zlib.crc32(payload, zlib.crc32(head))) + payload


def read_blocks(data: bytes) -> tuple[int | None, list[Block], int]:
    """Return the depth of an index, its whole blocks, and how many bytes these have.

    The depth is None where there is no block.
    """
    depth, blocks, end = None, list[Block](), 0
    while len(data) - end >= _HEAD.size:
        magic, of_block, count, named, checksum = _HEAD.unpack_from(data, end)
        start = end + _HEAD.size
        numbers_end = start + count * _COLUMNS * 8
        stop = numbers_end + named
        if magic != _MAGIC or stop > len(data) or depth not in (None, of_block):
            break
        head = _HEAD.pack(magic, of_block, count, named, 0)
        if zlib.crc32(memoryview(data)[start:stop], zlib.crc32(head)) != checksum:
            break
        numbers = np.frombuffer(data, "<i8", count * _COLUMNS, start).reshape(count, _COLUMNS)
        text = data[numbers_end:stop].decode("utf-8", "surrogateescape")
        names = text.split("\0") if count else []
        if len(names) != count:
            break
        blocks.append(Block(names, numbers[:, _ROW], numbers[:, _CHECKSUM], numbers[:, _STAMP]))
        depth, end = of_block, stop
    return depth, blocks, end


def npy_header(count: int, depth: int) -> bytes:
    """Return the header of an .npy of float32 [count, depth]; it is of one length for any count."""
    file = io.BytesIO()
    shape = (count, depth)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def read_rows(file: BinaryIO, start: int, rows: Numbers, into: Vector, places: Numbers) -> Flags:
    """Read rows of a matrix into rows of another; neighbours in one go, and with no copy between.

    Args:
        file: the open file.
        start: where its row 0 begins.
        rows: int64 [N], which to read.
        into: float32 [M, depth], contiguous.
        places: int64 [N], the rows of `into` that they go to.

    Returns:
        bool [N]: which were there.
    """
    there = np.zeros(len(rows), bool)
    size = max(1, into.shape[1] * into.itemsize)
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(places) != 1)) + 1
    ends = [0, *breaks.tolist(), len(rows)]
    for first, end in itertools.pairwise(ends):
        if first < end and 0 <= rows[first] <= _INT64_MAX // size // 2:  # others are in no file
            file.seek(start + int(rows[first]) * size)
            piece = into[places[first] : places[first] + end - first]
            there[first : first + _read_into(file, piece) // size] = True
    return there


def _read_into(file: BinaryIO, piece: Vector) -> int:
    """Fill an array from a file and return how many bytes there were."""
    view, done = piece.data.cast("B"), 0
    while done < len(view) and (count := file.readinto(view[done:])):  # type: ignore[attr-defined]
        done += count
    return done


def checksum(vector: Vector) -> int:
    """Return the CRC-32 of a vector's bytes."""
    return zlib.crc32(np.ascontiguousarray(vector, "<f4").data)


def sound(vectors: Vector, places: Numbers, checksums: Numbers) -> Flags:
    """Return which of some rows have the checksums that they should, bool [N]."""
    pairs = zip(places.tolist(), checksums.tolist(), strict=True)
    return np.array([zlib.crc32(vectors[place]) == wanted for place, wanted in pairs], bool)
