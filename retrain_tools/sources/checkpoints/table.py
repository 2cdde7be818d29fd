"""The sorted tables that checkpoints keep their entries in: those of LevelDB.

A table is a file of blocks. A block holds keys in order, each with a value; of a key only what
differs from the one before is written. The last block but the footer is the index: for each block a
key that is none of the later blocks', and where the block lies (LevelDB's doc/table_format.md).
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator
from pathlib import Path

from retrain_tools.sources.checkpoints.crc32c import crc32c, unmasked
from retrain_tools.sources.checkpoints.snappy import decompress
from retrain_tools.sources.kinds import varint

_FOOTER_BYTES = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
_TRAILER_BYTES = 5  # how the block is packed, and its checksum
_MOST_KEY_BYTES = 1 << 28  # of all keys together: a small file can claim keys without end


class DamageError(ValueError):
    """A checkpoint that is not as it should be; the message is a clause that says why."""


class Table:
    """An open table; its blocks are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Read the index of the table in a file.

        Raises:
            DamageError: the file is no table, or is damaged or cut off.
            OSError: it cannot be read.
        """
        self._path = path
        self._bytes = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(self._bytes - _FOOTER_BYTES, 0))
            footer = file.read()
        if len(footer) < _FOOTER_BYTES or not footer.endswith(_MAGIC):
            raise DamageError(f"{path.name} is cut off")
        position = _handle(footer, 0)[1]  # of a block that says nothing here
        where = _handle(footer, position)[0]
        index = list(self._block(where))
        self._lasts = [key for key, _ in index]
        self._blocks = [_handle(value, 0)[0] for _, value in index]
        if sum(size for _, size in self._blocks) > self._bytes:  # the same again and again
            raise DamageError(f"{path.name} holds what no checkpoint does")
        # The last one read: what is asked for is mostly in the order of the file.
        self._read = functools.lru_cache(maxsize=1)(lambda where: dict(self._block(where)))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys and values in the order of the keys."""
        for where in self._blocks:
            yield from self._read(where).items()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        place = bisect.bisect_left(self._lasts, key)
        return self._read(self._blocks[place]).get(key) if place < len(self._blocks) else None

    def _block(self, where: tuple[int, int]) -> list[tuple[bytes, bytes]]:
        offset, size = where
        if offset + size + _TRAILER_BYTES > self._bytes:
            raise DamageError(f"{self._path.name} is cut off")
        with self._path.open("rb") as file:
            file.seek(offset)
            data = file.read(size + _TRAILER_BYTES)
        stored = int.from_bytes(data[size + 1 :], "little")
        if crc32c(memoryview(data)[: size + 1]) != unmasked(stored):
            raise DamageError(f"the checksum of {self._path.name} is wrong")
        try:
            return list(_entries(decompress(data[:size]) if data[size] else data[:size]))
        except (ValueError, IndexError) as error:
            raise DamageError(f"{self._path.name} holds what no checkpoint does") from error


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Read where a block lies: its offset and size; and where that ends."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    if offset is None or size is None:
        raise DamageError("its index is damaged")
    return (offset, size), position


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    restarts = int.from_bytes(block[-4:], "little")  # where whole keys stand, for a faster search
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ValueError("more of these than the block has room for")
    key, position, total = b"", 0, 0
    while position < end:
        numbers = []
        for _ in range(3):
            number, position = varint(block, position)
            numbers.append(number or 0)
        shared, added, size = numbers
        key = key[:shared] + block[position : position + added]
        position += added + size
        total += len(key)
        if position > end or shared + added != len(key) or total > _MOST_KEY_BYTES:
            raise ValueError("an entry that is longer than its block")
        yield key, block[position - size : position]
