"""Temporary files of runs that were killed: their names tell whose they are.

A name has the host and the process; what a living process of this host owns stays, and what belongs
to another host, where nobody here can ask, stays for a day.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_HOST = re.sub(r"[^A-Za-z0-9]+", "-", platform.node())[:32] or "host"
_OWNED = re.compile(r"\.retrain_tools-(?P<host>[A-Za-z0-9-]+)-(?P<process>\d+)-.+")
_A_DAY = 86_400.0  # seconds


def owned_prefix() -> str:
    """Return how the names of this process's temporary files and folders begin."""
    return f".retrain_tools-{_HOST}-{os.getpid()}-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder in the system's temporary one; it goes with the block, or with the next run."""
    folder = Path(tempfile.gettempdir())
    clean_once(folder)
    with tempfile.TemporaryDirectory(prefix=owned_prefix(), dir=folder) as name:
        yield Path(name)


@functools.cache
def clean_once(folder: Path) -> None:
    """Remove a folder's left-overs, if this process did not yet."""
    remove_leftovers(folder)


def remove_leftovers(folder: Path, below: bool = False) -> list[Path]:
    """Remove temporary files and folders whose owner is dead; `below`, in its folders as well.

    What cannot be removed stays. Returns what was removed.
    """
    found = []
    for where, folders, names in os.walk(folder):
        if not below:
            folders[:], names = [], [*folders, *names]
        found += [Path(where, name) for name in names if _OWNED.fullmatch(name)]
    removed = [path for path in found if _is_left_over(path)]
    for path in removed:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return [path for path in removed if not path.exists()]


def _is_left_over(path: Path) -> bool:
    owner = _OWNED.fullmatch(path.name)
    assert owner is not None  # noqa: S101 - it was asked for
    if owner["host"] != _HOST:
        try:
            return time.time() - path.stat().st_mtime > _A_DAY
        except OSError:
            return False
    return not _is_alive(int(owner["process"]))


def _is_alive(process: int) -> bool:
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True
