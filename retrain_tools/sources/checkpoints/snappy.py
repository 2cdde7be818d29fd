"""Snappy: how TensorFlow 1.1 packed the entries of checkpoints (google/snappy, format_description).

There is little of it, and few files: Python is fast enough.
"""

from __future__ import annotations

from retrain_tools.sources.kinds import varint

_MOST_TIMES = 32  # three bytes stand for 64 at most, which is less


def decompress(data: bytes) -> bytes:
    """Return what was packed.

    Raises:
        ValueError: it is damaged.
        IndexError: it is cut off.
    """
    size, position = varint(data, 0)
    if size is None or size > _MOST_TIMES * len(data):
        raise ValueError("a size that it cannot have")
    made = bytearray()
    while position < len(data) and len(made) <= size:
        tag = data[position]
        position += 1
        if tag & 3 == 0:  # bytes as they are
            length = (tag >> 2) + 1
            if length > 60:
                width = length - 60
                length = int.from_bytes(data[position : position + width], "little") + 1
                position += width
            made += data[position : position + length]
            position += length
            continue
        width = (1, 2, 4)[(tag & 3) - 1]
        back = int.from_bytes(data[position : position + width], "little")
        length = (tag >> 2) + 1
        if width == 1:
            back, length = back | tag >> 5 << 8, (tag >> 2 & 7) + 4
        position += width
        if not 0 < back <= len(made):
            raise ValueError("a copy of what is not there")
        for _ in range(length):  # which may overlap with what it makes
            made.append(made[-back])
    if len(made) != size:
        raise ValueError("another size than it says")
    return bytes(made)
