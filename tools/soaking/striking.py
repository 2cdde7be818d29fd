"""Inside the process that is struck: file operations are counted, and one of them fails.

`open`, `io.open` and the functions of `os` are replaced, for paths below some folders. What C++
code writes (SavedModels, event files) is not counted; signals, full disks and limits strike it all
the same.
"""

from __future__ import annotations

import _io
import builtins
import collections
import contextlib
import errno
import io
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from soaking import faults, places
from soaking.faults import Fault

_TAKE_ROOM = {"create", "write", "mkdir"}
_OF_OS = {
    "rename": ("replace", "rename", "link", "symlink"),
    "mkdir": ("mkdir",),
    "unlink": ("unlink", "remove", "rmdir"),
    "chmod": ("chmod",),
    "fsync": ("fsync", "fdatasync"),
    "list": ("listdir", "scandir"),
    "write": ("truncate", "ftruncate"),
    "touch": ("utime",),
}
_real_open, _real_os_open, _real_write = io.open, os.open, os.write


class Striker:
    """Counts the file operations of this process and strikes at some of them."""

    def __init__(self, wanted: Sequence[Fault], roots: Sequence[str], report: str) -> None:
        """Replace the functions; `report` gets a line of JSON for each fault that has struck."""
        self._waiting, self._roots = list(wanted), tuple(roots)
        self._staying: set[str] = set()
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock, self._inside = threading.RLock(), threading.local()
        self._report = _real_os_open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for fault in [fault for fault in self._waiting if not fault.at]:
            self._strike(fault, "", "")
        _replace_functions(self)

    def tell(self, what: Mapping[str, Any]) -> None:
        """Add a line to the report, whatever is struck."""
        _real_write(self._report, json.dumps(what).encode() + b"\n")

    def tell_counts(self) -> None:
        """Report how many operations of each kind there were, and what is imported by now."""
        self.tell({"counts": self._counts, "modules": sorted(sys.modules)})

    def path_below(self, path: Any) -> str | None:
        """Return a path, or that of an open file, if it is below the folders that are watched."""
        if getattr(self._inside, "busy", False):
            return None
        try:
            if isinstance(path, int):
                path = os.readlink(f"/proc/self/fd/{path}")  # noqa: PTH115
            found = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        except (OSError, TypeError, ValueError):
            return None
        return found if found.startswith(self._roots) else None

    def step(self, operation: str, path: Any) -> bool:
        """Count an operation before it is done; return whether it is to fail half-way.

        Raises:
            OSError, MemoryError, KeyboardInterrupt: what has struck.
        """
        found = self.path_below(path)
        if found is None:
            return False
        with self._lock:
            self._counts[operation] += 1
            due = [fault for fault in self._waiting if self._is_due(fault, operation)]
            for fault in due:
                self._waiting.remove(fault)
            for fault in due:
                self._strike(fault, operation, found)
            for name in sorted(self._staying):
                if operation in faults.OPERATIONS[name] and operation in _TAKE_ROOM:
                    raise _error(name, operation, path)
        return False

    def _is_due(self, fault: Fault, operation: str) -> bool:
        if fault.operation:
            return fault.operation == operation and self._counts[operation] >= fault.at
        return 0 < fault.at <= sum(self._counts.values())

    def _strike(self, fault: Fault, operation: str, path: str) -> None:
        self.tell({"struck": fault.name, "operation": operation, "path": path})
        self._inside.busy = True
        try:
            self._do(fault)
        finally:
            self._inside.busy = False
        if fault.name in faults.ERRORS:
            if fault.stays:
                self._staying.add(fault.name)
            raise _error(fault.name, operation, path)
        if fault.name == faults.MEMORY:
            raise MemoryError

    def _do(self, fault: Fault) -> None:
        if fault.name in faults.SIGNALS:
            os.kill(os.getpid(), signal.Signals[fault.name])
        elif fault.name == faults.INTERRUPT:
            os.kill(os.getpid(), signal.SIGINT)
        elif fault.name == faults.FILE_SIZE:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(fault.amount), int(fault.amount)))
        elif fault.name in faults.PLACES:
            places.strike(fault.name, int(fault.amount))
        elif fault.name in faults.CLOCKS:
            _move_clock(fault.amount)


def _error(name: str, operation: str, path: Any) -> OSError:
    number = getattr(errno, name)
    named = None if operation == "write" or isinstance(path, int) else os.fspath(path)
    return OSError(number, os.strerror(number), named)


class _StruckFile(io.FileIO):
    """A file that is written, of which a write may fail when half of it is done."""

    striker: Striker

    def write(self, data: Any) -> int:  # type: ignore[override]
        try:
            self.striker.step("write", self.fileno())
        except OSError:
            half = len(memoryview(data).cast("B")) // 2
            if half:
                with contextlib.suppress(OSError):
                    super().write(memoryview(data).cast("B")[:half])
            raise
        return super().write(data)


def _replace_functions(striker: Striker) -> None:
    _StruckFile.striker = striker

    def struck_open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        writes = bool(set("wax+") & set(mode))
        given = (buffering, encoding, errors, newline, closefd, opener)
        if striker.path_below(file) is None:
            return _real_open(file, mode, *given)
        if not isinstance(file, int):
            striker.step("create" if writes else "read", file)
        if not writes:
            return _real_open(file, mode, *given)
        raw = _StruckFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline)
        text.mode = mode  # type: ignore[misc]
        return text

    builtins.open = io.open = _io.open = struck_open  # type: ignore[assignment]

    def os_open(path: Any, flags: int, *more: Any, **named: Any) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        striker.step("create" if writes else "read", path)
        return _real_os_open(path, flags, *more, **named)

    def os_write(handle: int, data: Any) -> int:
        striker.step("write", handle)
        return _real_write(handle, data)

    os.open, os.write = os_open, os_write  # type: ignore[assignment]
    for operation, names in _OF_OS.items():
        for name in names:
            setattr(os, name, _struck(striker, operation, getattr(os, name)))


def _struck(striker: Striker, operation: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def struck(path: Any = ".", *arguments: Any, **named: Any) -> Any:
        if named.get("dir_fd") is None:
            striker.step(operation, path)
        return real(path, *arguments, **named)

    return struck


def _move_clock(seconds: float) -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: max(0.0, real() + seconds)
    time.time_ns = lambda: max(0, real_ns() + int(seconds * 1e9))
