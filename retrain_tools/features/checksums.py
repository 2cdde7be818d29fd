"""A checksum of each text bottleneck, beside them: retrain.py's format has no place for one.

Before a file is written, a line is added, `CRC-32 "IMAGE"`, and the last one of an image counts.
What retrain.py wrote has none; there, damage is only seen that leaves no numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from pathlib import Path

from retrain_tools import files

_DIGITS = 8


def checksums_path(folder: Path, suffix: str) -> Path:
    """Return where the checksums of a naming are."""
    return folder / f"checksums{suffix}.crc32"


def checksum(text: bytes) -> int:
    """Return the checksum of a file's content: every change of up to 32 bits in a row shows."""
    return zlib.crc32(text)


def read_checksums(path: Path) -> dict[str, int]:
    """Return the checksums by image; what is damaged or cut off is left out."""
    try:
        lines = files.read_regular(path).split(b"\n")
    except OSError:
        return {}
    found = {}
    for line in lines:
        with contextlib.suppress(ValueError):
            if line[_DIGITS : _DIGITS + 1] == b" ":
                number, image = int(line[:_DIGITS], 16), files.json_of(line[_DIGITS + 1 :])
                if isinstance(image, str):
                    found[image] = number
    return found


def add_checksum(path: Path, image: str, number: int) -> None:
    """Add the checksum of an image's file; other processes may add theirs at the same time.

    Raises:
        OSError: it cannot be written; it names the file of checksums.
    """
    # After a line that a killed process left half, this one is whole.
    line = f"\n{number:0{_DIGITS}x} {json.dumps(image)}\n".encode()
    with files.naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            while line:  # a disk that is nearly full takes a part, and says so the next time
                line = line[os.write(handle, line) :]
        finally:
            os.close(handle)
