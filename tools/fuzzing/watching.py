"""Watches one reading of one input: what leaves it, what it takes, what it does beside reading."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

from fuzzing.readers import Reader
from retrain_tools.errors import InputError
from retrain_tools.safety import hdf5 as hdf5_findings
from retrain_tools.sources.readers import hdf5

_PACKAGE = str(Path(hdf5.__file__).resolve().parents[2])
_OWN_PROGRAMS = (hdf5._WALK, hdf5_findings.__name__)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod",
            "os.chown", "os.truncate", "os.utime", "os.mkfifo")  # fmt: skip
_RUNS = ("os.system", "os.exec", "os.fork", "pty.spawn", "socket.connect",
         "socket.bind", "socket.sendto", "ctypes.dlopen", "pickle.find_class",
         "webbrowser.open")  # fmt: skip
_NOT_OURS = ("/etc/passwd",)  # what changed inputs name, and no reader has any business with
_FRAMES = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        fault: what is wrong, as `exception KeyError at …`: the same for the same fault; '' for
            nothing.
        details: a traceback, or what was written or run.
        told: what the reader returned, or why it refused the file.
        is_refused: whether it did.
        seconds: CPU time, that of programs it started included.
        grown: by how many bytes its memory grew meanwhile, at the most.
    """

    fault: str
    details: str
    told: str
    is_refused: bool
    seconds: float
    grown: int


class Watch:
    """Watches one process: one watch in each, for its hooks cannot be taken away again.

    Attributes:
        lines: how many of the package's lines have run so far.
    """

    def __init__(self, run: Path, cpu_seconds: float, extra_bytes: int) -> None:
        """Watch readers that may write below `run`, and take so much for an input."""
        self._run, self._cpu_seconds, self._extra = str(run), cpu_seconds, extra_bytes
        self._done: list[str] = []  # what was done that no reader does
        self._short_of_memory = False
        self._is_reading = False
        self.lines = 0
        logging.getLogger().addHandler(_Formatting())
        logging.getLogger("absl").propagate = False
        sys.addaudithook(self._audit)
        self._follow_lines()

    def limit_memory(self) -> None:
        """Refuse the process more than four times the extra bytes beside what it has now."""
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = size + 4 * self._extra
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def read(self, reader: Reader, path: Path) -> Outcome:
        """Let a reader read a path."""
        self._done, self._short_of_memory = [], False
        before, start = _resident_bytes(reset=True), cpu_seconds()
        signal.setitimer(signal.ITIMER_PROF, self._cpu_seconds)
        self._is_reading = True
        try:
            fault, details, told, is_refused = _read(reader, path)
        finally:
            self._is_reading = False
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds, grown = cpu_seconds() - start, _resident_bytes() - before
        if not fault and (grown > self._extra or self._short_of_memory):
            what = "more than there is" if self._short_of_memory else f"{grown:,} bytes more"
            fault, details = "memory", f"it took {what}"
        if not fault and self._done:
            fault = f"escape {self._done[0].partition(' ')[0]}"
            details = "\n".join(self._done)
        if not fault and (left := self._left_over()):
            fault, details = "left over", "\n".join(left)
        return Outcome(fault, details, told, is_refused, seconds, grown)

    def _left_over(self) -> list[str]:
        """Return what lies in the temporary or the working folder, and remove it."""
        folders = [Path(self._run, name) for name in ("tmp", "cwd")]
        if any(any(folder.iterdir()) for folder in folders):
            gc.collect()  # a model that is in a cycle keeps what it was unpacked to
        left = [path for folder in folders for path in folder.iterdir()]
        for path in left:
            _remove(path)
        return [path.name for path in left]

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_reading:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, (str, bytes)):
                name = os.fsdecode(path)
                if flags & _WRITING or name in _NOT_OURS:
                    self._check(event, name)
        elif event in _CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                if isinstance(path, (str, bytes)):
                    self._check(event, os.fsdecode(path))
        elif event in ("subprocess.Popen", "os.posix_spawn"):
            command = arguments[1]
            if len(command) < 3 or command[2] not in _OWN_PROGRAMS:
                self._done.append(f"{event} {command[0]}")
        elif event in _RUNS:
            self._done.append(f"{event} {arguments[:2]!r:.100}")

    def _check(self, event: str, path: str) -> None:
        where = os.path.realpath(path)
        if not where.startswith(f"{self._run}/") and where != "/dev/null":
            self._done.append(f"{event} {path}")

    def _follow_lines(self) -> None:
        """Count lines of the package that have not run before; Python 3.11 does not tell."""
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            return
        tool, events = monitoring.COVERAGE_ID, monitoring.events
        monitoring.use_tool_id(tool, "fuzzing")

        def line(code: CodeType, _: int) -> Any:
            self.lines += code.co_filename.startswith(_PACKAGE)
            return monitoring.DISABLE

        def raised(_: CodeType, __: int, error: BaseException) -> None:
            self._short_of_memory |= isinstance(error, MemoryError)

        monitoring.register_callback(tool, events.LINE, line)
        monitoring.register_callback(tool, events.RAISE, raised)
        monitoring.set_events(tool, events.LINE | events.RAISE)


class _Formatting(logging.Handler):
    """Writes no log, but makes each line of it, which may fail."""

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()


def _read(reader: Reader, path: Path) -> tuple[str, str, str, bool]:
    """Return the fault, its details, what was told, and whether the file was refused."""
    try:
        return "", "", repr(reader.read(path)), False
    except InputError as error:
        told = str(error)
        return ("", "", told, True) if told else ("an empty message", "", "", True)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if reader.raises and isinstance(error, reader.raises):
            return "", "", f"{type(error).__name__} {error}", True
        return _named(error), _told(error), "", True


def _named(error: BaseException) -> str:
    """Return what stands for a fault: the exception, and where the package was, without lines."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_PACKAGE)]
    where = list(dict.fromkeys(f"{Path(f.filename).stem}.{f.name}" for f in own[-_FRAMES:]))
    return f"exception {type(error).__name__} at {' < '.join(reversed(where)) or 'nowhere'}"


def _told(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    text = "".join(lines)
    return text if len(text) < 8000 else f"{text[:4000]}\n…\n{text[-4000:]}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def cpu_seconds() -> float:
    """Return the CPU time of this process, and of those it started that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _resident_bytes(reset: bool = False) -> int:
    """Return the most memory since the last reset; with `reset`, what there is now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
