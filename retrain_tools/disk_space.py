"""A full disk, told as the user knows it: which place, and about how much more it needs."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)


class NoSpaceError(OSError):
    """A disk is full, or what a user may have of it.

    Attributes:
        lacking: about how many bytes are lacking; None where that is not known.
    """

    lacking: int | None = None

    def __str__(self) -> str:
        more = "" if self.lacking is None else f" (needs about {_about(self.lacking)} more)"
        return f"{self.strerror}: {self.filename}{more}"


@contextlib.contextmanager
def needing(place: str | Path | None, needed: Callable[[], int | None]) -> Iterator[None]:
    """Let a full disk be about `place`, and tell how much of what is needed there is no room for.

    Args:
        place: what the user knows; None for the file that could not be written.
        needed: returns the bytes that are still to be written when the block has failed.

    Raises:
        NoSpaceError: the block failed because the disk is full, whichever library says so.
    """
    try:
        yield
    except Exception as error:
        number = _number_of(error)
        if number is None:
            raise
        where = os.fsdecode(getattr(error, "filename", None) or "") if place is None else str(place)
        told = NoSpaceError(number, os.strerror(number), where)
        bytes_needed = needed()
        if bytes_needed is not None:
            # A user's part of a disk is not told by what is free on it.
            free = free_bytes(Path(where)) if number == errno.ENOSPC else 0
            told.lacking = bytes_needed - free if bytes_needed > free else None
        raise told from error


def _number_of(error: Exception) -> int | None:
    """Return which error of a full disk it is; TensorFlow's and HDF5's have it in their texts."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return error.errno
    return next((number for number in _FULL if os.strerror(number) in str(error)), None)


def free_bytes(place: Path) -> int:
    """Return what is free for this user where `place` is, or would be."""
    there = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def on_disk(size: int, place: Path) -> int:
    """Return what a file of so many bytes takes where `place` is: whole blocks."""
    there = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    block = os.statvfs(there).f_frsize if hasattr(os, "statvfs") else 4096
    return -(-size // block) * block


def _about(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            number = count / size
            return f"{number:.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{count} bytes"
