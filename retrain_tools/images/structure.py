"""What the bytes of an image tell before it is decoded: WebP's size, GIF's frames, JPEG's scans.

A decoder works through all frames or scans before it gives anything. Twenty kilobytes are a GIF's
frame of 25 megapixels, and a few hundred bytes a scan that changes nothing of 80.
"""

from __future__ import annotations

import re

WEBP_HEADER_BYTES = 30
"""What `webp_size` looks at."""

_MOST_SCANS = 100  # encoders write about ten; libjpeg-turbo's own tools stop at 500

# Extended, lossless and lossy; a side is 14 bits, but for the first.
_WEBP_KINDS, _WEBP_SIDE = (b"VP8X", b"VP8L", b"VP8 "), 0x3FFF

# GIF 89a: the header with the screen; blocks, by their first byte; sizes of their fixed parts.
_SCREEN_BYTES, _FLAGS_OF_SCREEN = 13, 10
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_IMAGE_BYTES, _FLAGS_OF_IMAGE = 10, 9
_HAS_TABLE, _SIZE_OF_TABLE = 0x80, 0x07

# In a JPEG's entropy-coded data 0xFF is followed by 0 or the number of a restart.
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Return the width and height that a WebP's first bytes claim; None for another format.

    Raises:
        ValueError: it is a WebP, and says no size.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or head[12:16] not in _WEBP_KINDS:
        return None
    body = head[20:]
    match head[12:16]:
        case b"VP8X" if len(body) >= 10:
            return _number(body[4:7]) + 1, _number(body[7:10]) + 1
        case b"VP8L" if len(body) >= 5 and body[0] == 0x2F:
            both = _number(body[1:5])
            return (both & _WEBP_SIDE) + 1, (both >> 14 & _WEBP_SIDE) + 1
        case b"VP8 " if len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
            return _number(body[6:8]) & _WEBP_SIDE, _number(body[8:10]) & _WEBP_SIDE
    raise ValueError("it says no size")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def first_frame(data: bytes) -> bytes:
    """Return a GIF with its first frame only; one that is cut off or damaged before its end as is.

    What follows the damage is left out, too: a decoder would have to stop there.
    """
    place = _SCREEN_BYTES + _table_bytes(data, _FLAGS_OF_SCREEN)
    while place < len(data):
        kind = data[place]
        if kind == _EXTENSION:
            place = _after_blocks(data, place + 2)
        elif kind == _IMAGE:
            table = _table_bytes(data, place + _FLAGS_OF_IMAGE)
            place = _after_blocks(data, place + _IMAGE_BYTES + table + 1)  # 1: the size of codes
            return data if place > len(data) else data[:place] + bytes([_TRAILER])
        else:
            return data[: place + 1]
    return data


def _table_bytes(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << ((flags & _SIZE_OF_TABLE) + 1) if flags & _HAS_TABLE else 0


def _after_blocks(data: bytes, place: int) -> int:
    """Return where a row of blocks ends; behind the data where they do not say."""
    while place < len(data):
        size = data[place]
        place += size + 1
        if not size:
            return place
    return len(data) + 1


def has_too_many_scans(data: bytes) -> bool:
    """Tell whether a JPEG has more scans than any encoder writes, which only takes time."""
    if data.count(bytes([0xFF, _START_OF_SCAN])) <= _MOST_SCANS:  # other parts may hold it, too
        return False
    place = scans = 0
    while (found := _NEXT_MARKER.search(data, place)) is not None:
        marker, place = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return False
        if marker != _START_OF_IMAGE:
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
        scans += marker == _START_OF_SCAN
        if scans > _MOST_SCANS:
            return True
    return False
