"""Temporary files of runs that were killed: their names tell whose they are.

A name has the host, the process and, on Linux, when that began: the same number may be given to
another, and is in containers. What a living process of this host owns stays, and what belongs to
another host, where nobody here can ask, stays for a day.
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
import weakref
from collections.abc import Iterator
from pathlib import Path

_HOST = re.sub(r"[^A-Za-z0-9]+", "-", platform.node())[:32] or "host"
_OWNED = re.compile(
    r"\.retrain_tools-(?P<host>[A-Za-z0-9-]+?)-(?P<process>\d+)-(?:s(?P<began>\d+)-)?[^-]+"
)
_A_DAY = 86_400.0  # seconds
_STARTTIME = 22 - 3  # of /proc/PID/stat, without the two fields up to the name (proc(5))


def owned_prefix() -> str:
    """Return how the names of this process's temporary files and folders begin."""
    began = _began(process := os.getpid())
    return f".retrain_tools-{_HOST}-{process}-" + ("" if began is None else f"s{began}-")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder in the system's temporary one; it goes with the block, or with the next run."""
    with owned_folder(Path(tempfile.gettempdir())) as name:
        yield Path(name)


def owned_folder(folder: Path) -> OwnedFolder:
    """Make a temporary folder in another, which killed processes' go from.

    Raises:
        OSError: it cannot be made; the error names the other folder.
    """
    clean_once(folder)
    try:
        return OwnedFolder(tempfile.mkdtemp(prefix=owned_prefix(), dir=folder))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error


class OwnedFolder:
    """A folder that goes with its block, or with this object; else with the next run.

    Python 3.11's TemporaryDirectory recurses without end where a folder cannot be removed.

    Attributes:
        name: its path.
    """

    def __init__(self, name: str) -> None:
        """Take a folder over."""
        self.name = name
        self.cleanup = weakref.finalize(self, shutil.rmtree, name, ignore_errors=True)

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        self.cleanup()


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
    process, now = int(owner["process"]), _began(int(owner["process"]))
    is_another = None not in (owner["began"], now) and owner["began"] != now
    return is_another or not _is_alive(process)


def _began(process: int) -> str | None:
    """Return when a process began, in ticks since the machine did; None where that is not known."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return status.rpartition(")")[2].split()[_STARTTIME]  # its name may have spaces


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
