"""Work for tests of runners, which says in files what became of it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from retrain_tools.errors import InputError, argument


class Scripted:
    """A task is (name, what): `ok`, `raise`, or how many workers die of it before it succeeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[tuple[int, str | int]], str]]:
        yield self.run

    def run(self, task: tuple[int, str | int]) -> str:
        name, what = task
        with (self.folder / str(name)).open("ab") as file:
            file.write(b"x")
        if what == "raise":
            raise ValueError(f"no {name}")
        if isinstance(what, int) and (self.folder / str(name)).stat().st_size <= what:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"result of {name}"

    def attempts(self) -> dict[int, int]:
        return {int(path.name): path.stat().st_size for path in self.folder.iterdir()}


class Placed(Scripted):
    """On one machine of Ray's a task does not end; the result is whose code did it elsewhere."""

    def __init__(self, folder: Path, endless: str) -> None:
        super().__init__(folder)
        self.endless = endless

    def run(self, task: tuple[int, str | int]) -> str:
        import ray

        import retrain_tools

        super().run(task)
        if ray.get_runtime_context().get_node_id() == self.endless:
            (self.folder.parent / self.endless).touch()
            time.sleep(600.0)
        time.sleep(0.1)
        return retrain_tools.__file__


class Sleeping:
    """A task is how many seconds it takes; the result is the worker's process.

    Which processes have it open is in the folder: a file for each, which closing removes, and which
    holds a byte while the process is at work.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[float], int]]:
        try:
            self._says("")
            yield self.run
        finally:  # it may be told to leave at any moment
            (self.folder / str(os.getpid())).unlink(missing_ok=True)

    def run(self, seconds: float) -> int:
        self._says("x")
        time.sleep(seconds)
        self._says("")
        return os.getpid()

    def _says(self, text: str) -> None:
        (self.folder / str(os.getpid())).write_text(text)

    def processes(self) -> list[int]:
        return [int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()]

    def at_work(self) -> list[int]:
        return [one for one in self.processes() if (self.folder / str(one)).stat().st_size]


class Unopened:
    """Cannot be opened: says why, or dies."""

    def __init__(self, dies: bool) -> None:
        self.dies = dies

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[int], int]]:
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        raise InputError(f"{argument('graph')} is not a graph.")
        yield lambda task: task


class Unsendable:
    """Gives results that cannot be pickled."""

    def open(self) -> contextlib.nullcontext[Callable[[int], object]]:
        return contextlib.nullcontext(lambda task: lambda: task)


def is_alive(process: int) -> bool:
    """Whether a process is there, and not only waits to be asked how it ended."""
    try:
        return " Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2][:3]
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(is_so: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait for what happens in other processes; False if it does not."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def descendants(process: int) -> list[int]:
    """The processes that one has started, and those that they have."""
    try:
        threads = [*Path(f"/proc/{process}/task").iterdir()]
        children = [
            int(child) for one in threads for child in (one / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def command_of(process: int) -> bytes:
    """How a process calls itself; nothing where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
