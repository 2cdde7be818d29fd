"""Tasks on a cluster that Ray has, or on a Ray of this machine that ends with them.

Ray's own second tries are not used: they do not tell of which task a worker died. So each task is a
task of Ray's that is tried once, and given to Ray again here.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic

import numpy as np

from retrain_tools.errors import InputError
from retrain_tools.extras import import_extra
from retrain_tools.runners.ray_connection import connected
from retrain_tools.runners.work import (
    MOST_DEATHS,
    Attempt,
    Outcome,
    Queue,
    Result,
    Task,
    Work,
    call,
    sendable,
)

log = logging.getLogger(__name__)

_WAITING_FOR_EACH_WORKER = 4  # tasks, with the one that it does: no worker waits for the driver
_SECONDS_BETWEEN_LOOKS = 10.0  # at how large the cluster is


def run_tasks(
    work: Work[Task, Result],
    tasks: Iterable[Task],
    workers: int | None = None,
    address: str | None = None,
    window: int | None = None,
    max_deaths: int = MOST_DEATHS,
) -> Iterator[Outcome[Task, Result]]:
    """Run work on tasks on Ray, each on one CPU, and yield how each ended, as they end.

    A task whose worker died, or was killed as its machine's memory was full, is tried again and
    counts that death; one whose machine was lost is tried again. No task goes on when the loop or
    this process ends.

    Relative paths are those of this process on each machine that has its working folder, too.

    Args:
        work: opened once in each process of Ray's, which may do tasks of several calls.
        tasks: small things that can be pickled; taken from the iterable as others end.
        workers: how many tasks run at once. None: one on each CPU that the cluster has, also when
            it grows.
        address: of the cluster: `auto`, `HOST:PORT` or `ray://HOST:PORT`. None: a new one on this
            machine, with as many CPUs as there are workers. Where the caller is connected to Ray,
            that is used, and stays.
        window: how many tasks Ray has at a time; without it, four for each worker.
        max_deaths: a task that so many workers died of has failed.

    Raises:
        InputError: Ray is not installed, or there is no such cluster; its workers lack packages.
        Exception: what opening the work raises.
    """
    ray = import_extra("ray", "The runner ray", "'ray[default]'")
    # As an array, which workers see where it lies in the memory of their machine, and do not copy.
    packed = np.frombuffer(ray.cloudpickle.dumps((Path.cwd(), work)), np.uint8)
    with connected(ray, address, workers) as is_own:
        # Of a cluster's CPUs no more than asked for; of one's own Ray there are no more.
        window = window or (workers if workers is not None and not is_own else None)
        with _UnderWay[Task, Result](ray, packed, Queue(tasks, max_deaths), window) as under_way:
            while under_way.give_out():
                ended = under_way.wait()
                under_way.give_out()  # before the caller takes its time
                yield from ended


class _UnderWay(Generic[Task, Result]):
    """The tasks that Ray has."""

    def __init__(self, ray: Any, packed: Any, queue: Queue[Task], window: int | None) -> None:
        self._ray = ray
        self._queue = queue
        self._fixed_window = window
        self._window = 0
        self._looked = 0.0
        self._key = f"{time.time_ns()}-{id(self)}"
        self._work = ray.put(packed)
        self._attempts: dict[Future[Any], tuple[Any, Attempt[Task]]] = {}
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._run = ray.remote(num_cpus=1, max_retries=0)(_run)

    def __enter__(self) -> _UnderWay[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for reference, _attempt in self._attempts.values():
            self._ray.cancel(reference, force=True)

    def give_out(self) -> bool:
        """Give tasks to Ray, as many as the window has room for; return if it has any."""
        while len(self._attempts) < self._room() and (attempt := self._queue.take()) is not None:
            reference = self._run.remote(self._key, self._work, attempt.task)
            future = reference.future()
            self._attempts[future] = (reference, attempt)
            future.add_done_callback(self._done.put)
        return bool(self._attempts)

    def _room(self) -> int:
        if self._fixed_window is not None:
            return self._fixed_window
        if not self._window or time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            cpus = int(self._ray.cluster_resources().get("CPU", 0))
            self._window = _WAITING_FOR_EACH_WORKER * max(cpus, 1)
        return self._window

    def wait(self) -> list[Outcome[Task, Result]]:
        """Wait until a task ends, and return those that have ended for good."""
        # Not ray.wait: for it every signal is a Ctrl-C, and it takes longer the more it waits for.
        done = [self._done.get()]
        while not self._done.empty():
            done.append(self._done.get())
        heard = [self._hear(future, self._attempts.pop(future)[1]) for future in done]
        return [outcome for outcome in heard if outcome is not None]

    def _hear(self, future: Future[Any], attempt: Attempt[Task]) -> Outcome[Task, Result] | None:
        errors = self._ray.exceptions
        try:
            not_opened, result, failure = future.result()
        except errors.WorkerCrashedError:
            return self._died(attempt, "killed, or crashed")
        except errors.OutOfMemoryError:
            return self._died(attempt, "killed by Ray, as the memory of its machine was full")
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            if isinstance(getattr(error, "cause", None), errors.RayError):
                return self._lost(attempt, error.cause)  # the work did not get to the machine
            raise InputError(
                f"The workers of the Ray cluster cannot start the work: {_last_line(error)}. Their "
                "Python needs the packages that are installed here."
            ) from error
        except errors.RayError as error:
            return self._lost(attempt, error)
        if not_opened is not None:
            raise not_opened
        return Outcome(attempt.task, result, failure, attempt.deaths)

    def _lost(self, attempt: Attempt[Task], error: Exception) -> Outcome[Task, Result] | None:
        log.warning("A machine was lost (%s); another does its task.", _first_line(error))
        return self._queue.lost(attempt)

    def _died(self, attempt: Attempt[Task], how: str) -> Outcome[Task, Result] | None:
        log.warning("A worker died (%s); another takes its place.", how)
        return self._queue.died(attempt, how)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0]


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")


# In the workers


def _run(key: str, packed: Any, task: Any) -> tuple[Exception | None, Any, str | None]:
    """Return why the work cannot be opened, the result of a task, and why there is none."""
    try:
        run = _opened(key, packed)
    except Exception as error:
        return sendable(error), None, None
    result, failure = call(run, task)
    return None, result, failure


_OPEN: dict[str, tuple[Callable[[Any], Any], contextlib.ExitStack]] = {}
"""What this process has open: Ray gives it a task, and does not say which is the last."""


def _opened(key: str, packed: Any) -> Callable[[Any], Any]:
    """Return what does tasks, once more where it is there; other work is closed before."""
    if key not in _OPEN:
        while _OPEN:
            _OPEN.popitem()[1][1].close()
        stack = contextlib.ExitStack()
        folder, work = pickle.loads(memoryview(packed))  # noqa: S301 - our own
        with contextlib.suppress(
            OSError
        ):  # relative paths are the driver's, where there is its folder
            os.chdir(folder)
        _OPEN[key] = stack.enter_context(work.open()), stack
        atexit.register(stack.close)
    return _OPEN[key][0]
