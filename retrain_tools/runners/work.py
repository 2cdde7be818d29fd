"""What runners have in common: the work, how a task ended, and tasks that are not given out yet."""

from __future__ import annotations

import dataclasses
import pickle
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from retrain_tools.errors import InputError

MOST_DEATHS = 3
"""How many workers may die of a task, unless something else is asked for."""
MOST_LOSSES = 10
"""How many times the machine below a task may go, which is not the task's fault."""

Task = TypeVar("Task")
Result = TypeVar("Result")
_Task = TypeVar("_Task", contravariant=True)
_Result = TypeVar("_Result", covariant=True)


class Work(Protocol[_Task, _Result]):
    """What workers do. It is pickled, and its class is one of a module that they can import.

    Example:
        >>> class Doubling:
        ...     @contextlib.contextmanager
        ...     def open(self):
        ...         yield lambda number: 2 * number
    """

    def open(self) -> AbstractContextManager[Callable[[_Task], _Result]]:
        """Make ready, once in each worker's process; what is yielded is called on tasks."""
        ...


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[Task, Result]):
    """How a task ended.

    Attributes:
        task: as it was given.
        result: what the work returned; None with a failure.
        failure: why there is no result, as a sentence.
        deaths: how many workers died of the task. A failure without any was raised by the work.
    """

    task: Task
    result: Result | None
    failure: str | None
    deaths: int


@dataclasses.dataclass(frozen=True)
class Attempt(Generic[Task]):
    """A task, and how often its worker died or its machine went before."""

    task: Task
    deaths: int = 0
    losses: int = 0


class Queue(Generic[Task]):
    """Tasks that no worker has: first those whose worker died, then the next of an iterable."""

    def __init__(self, tasks: Iterable[Task], max_deaths: int) -> None:
        self._tasks = iter(tasks)
        self._again: deque[Attempt[Task]] = deque()
        self._max_deaths = max_deaths

    def take(self) -> Attempt[Task] | None:
        """Return a task, or None where there is no more."""
        if self._again:
            return self._again.popleft()
        for task in self._tasks:
            return Attempt(task)
        return None

    def put_back(self, attempt: Attempt[Task]) -> None:
        """Keep a task for another worker; what happened has nothing to do with it."""
        self._again.append(attempt)

    def died(self, attempt: Attempt[Task], how: str) -> Outcome[Task, Result] | None:
        """Count a worker's death of a task: return how it ended, or None if it is tried again."""
        attempt = dataclasses.replace(attempt, deaths=attempt.deaths + 1)
        if attempt.deaths < self._max_deaths:
            self.put_back(attempt)
            return None
        times = "once" if attempt.deaths == 1 else f"{attempt.deaths} times"
        return Outcome(attempt.task, None, f"its worker died {times}: {how}", attempt.deaths)

    def lost(self, attempt: Attempt[Task]) -> Outcome[Task, Result] | None:
        """Count the loss of the machine a task was on, likewise."""
        attempt = dataclasses.replace(attempt, losses=attempt.losses + 1)
        if attempt.losses < MOST_LOSSES:
            self.put_back(attempt)
            return None
        failure = f"the machine it was on was lost {attempt.losses} times"
        return Outcome(attempt.task, None, failure, attempt.deaths)


def call(work: Callable[[Task], Result], task: Task) -> tuple[Result | None, str | None]:
    """Return what the work gives for a task, and None; or None, and why it gives nothing."""
    try:
        return work(task), None
    except Exception as error:  # a worker outlives whatever a task raises
        return None, sentence(error)


def sentence(error: Exception) -> str:
    """Return what an error says in one line; of one that no user can mend, with its place."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError | OSError) and text:
        return text
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in place)
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def sendable(error: Exception) -> Exception:
    """Return an error of a worker that the driver can raise, with the lines that it came from."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        return RuntimeError(sentence(error))
    return error
