"""Places that go wrong while a job works in them: a full file system, a read-only one, no rights.

The first two are file systems in memory of their own, which takes root; where that cannot be, they
are left out, and that is said.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from soaking import faults

_PLACE = "SOAKING_PLACE"  # in a struck process's environment: the folder that is struck
_FILLER = "filler"
_ROOM = "64m"
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2  # capabilities of linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522


def can_mount() -> str:
    """Return '' if file systems can be mounted here, else why not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with file_system(Path(folder)):
                return ""
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            return f"no file system can be mounted here: {said.strip()}"


@contextlib.contextmanager
def file_system(folder: Path) -> Iterator[None]:
    """Mount a small file system in memory at a folder; it goes at the end."""
    _run("mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "soak", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def variables(place: Path) -> dict[str, str]:
    """Return what a process has to know to be struck at a place, for its environment."""
    return {_PLACE: str(place)}


def strike(name: str, amount: int) -> None:
    """Let it happen, in the process that works in the place; `amount` bytes stay free."""
    place = Path(os.environ[_PLACE])
    if name == faults.PERMISSION:
        for folder in [place, *_folders(place)]:
            folder.chmod(0o555)
    elif name == faults.FULL:
        free = os.statvfs(place.parent)
        with (place.parent / _FILLER).open("wb") as file:
            left = free.f_bavail * free.f_frsize - amount
            with contextlib.suppress(OSError):
                while left > 0:
                    left -= file.write(bytes(min(left, 1 << 16)))
    else:
        for _ in range(200):  # it cannot be while a file is being written
            done = subprocess.run(["mount", "-o", "remount,ro", place.parent], capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(0.002)


def mend(place: Path, name: str) -> None:
    """Undo what was done to a place."""
    if name == faults.PERMISSION:
        for folder in [place, *_folders(place)]:
            folder.chmod(0o755)
            for below in _folders(folder):
                below.chmod(0o755)
    elif name == faults.FULL:
        (place.parent / _FILLER).unlink(missing_ok=True)
    else:
        _run("mount", "-o", "remount,rw", str(place.parent))


def give_up_rights() -> None:
    """Let the modes of files count in this process, even where it is root's.

    That is of threads, so it has to be done while there is one.
    """

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Sets(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inherit"))

    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = Header(_CAPABILITY_VERSION_3, 0), (Sets * 2)()
    if libc.capget(ctypes.byref(header), sets) == 0:
        sets[0].effective &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
        libc.capset(ctypes.byref(header), sets)


def _folders(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_dir() and not path.is_symlink()]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
