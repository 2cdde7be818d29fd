"""Changes to bytes of any format: cut, flipped, repeated, moved, and numbers set to extremes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_SIZES = (1, 2, 4, 8)
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
             0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
_MOST = 1 << 20  # bytes; what grows beyond is only slow


def changed_bytes(data: bytes, chance: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return the data after one to four changes; `others` are of the same format."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        chance.choice(_CHANGES)(made, chance)
    if others and chance.random() < 0.1:
        other = chance.choice(others)
        at, start = _place(made, chance), chance.randrange(len(other) + 1)
        made[at:] = other[start:]
    return bytes(made[:_MOST])


def _place(made: bytearray, chance: Random) -> int:
    """Return a place in the data: of headers and footers more often than of what is between."""
    size = len(made)
    if chance.random() < 0.4:
        return min(size, chance.randrange(64))
    if chance.random() < 0.15:
        return max(0, size - chance.randrange(64))
    return chance.randrange(size + 1)


def _flip(made: bytearray, chance: Random) -> None:
    at = _place(made, chance)
    if at < len(made):
        made[at] ^= 1 << chance.randrange(8)


def _replace(made: bytearray, chance: Random) -> None:
    at, size = _place(made, chance), chance.randint(1, 8)
    made[at : at + size] = chance.randbytes(size)


def _cut_off(made: bytearray, chance: Random) -> None:
    del made[_place(made, chance) :]


def _cut_out(made: bytearray, chance: Random) -> None:
    at = _place(made, chance)
    del made[at : at + chance.choice((1, 4, 16, 200))]


def _repeat(made: bytearray, chance: Random) -> None:
    at, size = _place(made, chance), chance.choice((1, 4, 16, 200))
    made[at:at] = made[at : at + size] * chance.choice((1, 2, 50))


def _move(made: bytearray, chance: Random) -> None:
    at, size = _place(made, chance), chance.choice((4, 16, 200))
    piece = made[at : at + size]
    del made[at : at + size]
    to = _place(made, chance)
    made[to:to] = piece


def _number(made: bytearray, chance: Random) -> None:
    size = chance.choice(_SIZES)
    at = _place(made, chance)
    if chance.random() < 0.7:
        at -= at % size
    value = chance.choice(_EXTREMES) & ((1 << 8 * size) - 1)
    made[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _nudge(made: bytearray, chance: Random) -> None:
    """Add a little to a number: a size or offset that is nearly right."""
    size = chance.choice(_SIZES)
    at = _place(made, chance)
    at -= at % size
    order = chance.choice(("little", "big"))
    value = int.from_bytes(made[at : at + size], order) + chance.choice((-8, -4, -1, 1, 4, 8))
    made[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, order)


def _varint(made: bytearray, chance: Random) -> None:
    at = _place(made, chance)
    made[at : at + 1] = chance.choice((b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\x80\x00"))


def _zeros(made: bytearray, chance: Random) -> None:
    at, size = _place(made, chance), chance.choice((1, 4, 16, 200))
    made[at : at + size] = bytes(len(made[at : at + size]))


_CHANGES = (_flip, _flip, _replace, _cut_off, _cut_out, _repeat, _move, _number, _number, _nudge,
            _nudge, _varint, _zeros)  # fmt: skip
