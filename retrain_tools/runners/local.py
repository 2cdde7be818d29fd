"""Tasks on the cores of this machine: a worker process for each, made anew when it dies."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, Pipe, wait
from typing import Generic

from retrain_tools.errors import InputError, argument
from retrain_tools.runners.work import MOST_DEATHS, Attempt, Outcome, Queue, Result, Task, Work
from retrain_tools.runners.worker import SECONDS_TO_LEAVE, Said, serve

log = logging.getLogger(__name__)

_MOST_DEATHS_AT_THE_START = 3
_STDERR = 2


def run_tasks(
    work: Work[Task, Result],
    tasks: Iterable[Task],
    workers: int,
    window: int | None = None,
    max_deaths: int = MOST_DEATHS,
) -> Iterator[Outcome[Task, Result]]:
    """Run work on tasks in processes of this machine, and yield how each ended, as they end.

    A worker has one task at a time, so that it is known which one it died of; the others go on.
    Tasks are taken from the iterable when a worker is free. However the loop or this process ends,
    the workers end as well.

    Args:
        work: opened once in each worker.
        tasks: small things that can be pickled.
        workers: how many processes.
        window: how many tasks may be under way, if fewer.
        max_deaths: a task that so many workers died of has failed.

    Raises:
        InputError: the workers die before they have opened the work.
        Exception: what opening the work raises.

    Example:
        >>> for outcome in run_tasks(Doubling(), range(3), workers=2):
        ...     print(outcome.task, outcome.result)
    """
    queue = Queue(tasks, max_deaths)
    with _Pool[Task, Result](work, queue, min(workers, window or workers)) as pool:
        while pool.give_out():
            ended = pool.wait()
            pool.give_out()  # before the caller takes its time
            yield from ended


@dataclasses.dataclass(eq=False)
class _Worker(Generic[Task]):
    """A process, and the task that it has, or takes when it has opened the work."""

    process: subprocess.Popen[bytes]
    connection: Connection
    attempt: Attempt[Task] | None = None
    is_open: bool = False
    has_task: bool = False

    def send_task(self) -> None:
        """Send the task; a worker that is dead is found out when it is waited for."""
        with contextlib.suppress(OSError):
            assert self.attempt is not None  # noqa: S101 - it was given one
            self.connection.send((self.attempt.task,))
            self.has_task = True


class _Pool(Generic[Task, Result]):
    """Workers: those with a task, and those that are free."""

    def __init__(self, work: Work[Task, Result], queue: Queue[Task], most: int) -> None:
        self._work = work
        self._queue = queue
        self._most = most
        self._busy: dict[Connection, _Worker[Task]] = {}
        self._free: list[_Worker[Task]] = []
        self._leaving: list[_Worker[Task]] = []
        self._deaths_at_the_start = 0

    def __enter__(self) -> _Pool[Task, Result]:
        atexit.register(self._stop)  # for a caller that neither goes on nor closes the iterator
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self._stop)
        self._stop()

    def give_out(self) -> bool:
        """Give tasks to free workers, new ones if there are none; return if any is under way."""
        while len(self._busy) < self._most and (attempt := self._queue.take()) is not None:
            one = self._free.pop() if self._free else self._start()
            one.attempt = attempt
            self._busy[one.connection] = one
            one.send_task()
        while self._free:  # there is nothing left for them: they need not hold their memory
            one = self._free.pop()
            with contextlib.suppress(OSError):
                one.connection.send(None)
            self._leaving.append(one)
        return bool(self._busy)

    def wait(self) -> list[Outcome[Task, Result]]:
        """Wait until a worker says something, or dies, and return the tasks that ended."""
        heard = [self._hear(self._busy[connection]) for connection in _ready(self._busy)]
        return [outcome for outcome in heard if outcome is not None]

    def _hear(self, one: _Worker[Task]) -> Outcome[Task, Result] | None:
        assert one.attempt is not None  # noqa: S101 - it is busy
        try:
            said, value = one.connection.recv()
        except (EOFError, OSError):
            return self._died(one, one.attempt)
        if said is Said.NOT_OPENED:
            raise value
        if said is Said.OPENED:
            self._deaths_at_the_start = 0
            one.is_open = True
            return None
        del self._busy[one.connection]
        self._free.append(one)
        one.has_task = False
        result, failure = value
        return Outcome(one.attempt.task, result, failure, one.attempt.deaths)

    def _died(self, one: _Worker[Task], attempt: Attempt[Task]) -> Outcome[Task, Result] | None:
        del self._busy[one.connection]
        one.connection.close()
        one.process.kill()  # it may have closed its side only
        how = _how_ended(one.process.wait())
        if one.is_open and one.has_task:
            log.warning("A worker died (%s); another takes its place.", how)
            return self._queue.died(attempt, how)
        if not one.is_open:
            self._deaths_at_the_start += 1
            if self._deaths_at_the_start == _MOST_DEATHS_AT_THE_START:
                raise InputError(
                    f"{self._deaths_at_the_start} workers died before they could do anything "
                    f"({how}). Where memory is short, fewer {argument('workers')} may fit."
                )
        self._queue.put_back(attempt)
        return None

    def _start(self) -> _Worker[Task]:
        ours, theirs = Pipe()
        code = f"from {serve.__module__} import serve; serve({theirs.fileno()})"
        # Ctrl-C in a terminal is for the driver, which tells its workers.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,  # what a driver prints are results
                pass_fds=[theirs.fileno()],
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        with contextlib.suppress(OSError):  # it is dead: found out when it is waited for
            ours.send(sys.path)
            ours.send(self._work)
        return _Worker(process, ours)

    def _stop(self) -> None:
        """End all workers: with time to close what they have open, and if need be without."""
        workers = [*self._busy.values(), *self._free, *self._leaving]
        end = time.monotonic() + SECONDS_TO_LEAVE
        try:
            for one in workers:
                one.connection.close()
            for one in workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.process.wait(max(0.0, end - time.monotonic()))
        finally:
            for one in workers:
                one.process.kill()
                one.process.wait()


def _ready(connections: Iterable[Connection]) -> list[Connection]:
    return [one for one in wait(list(connections)) if isinstance(one, Connection)]


def _how_ended(status: int) -> str:
    """Return what the exit status of a process that should not have ended means."""
    if status == -signal.SIGKILL:
        return "killed, as the system does where memory is short"
    return f"{signal.strsignal(-status)}" if status < 0 else f"it ended with status {status}"
