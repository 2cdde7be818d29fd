"""Work that is done in a thread before it is needed, or after it was handed over."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

_MOST_BEHIND = 8


@contextlib.contextmanager
def made_ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Let a thread take each of `items` while the one before it is in use; it ends with the block.

    What `items` raises is raised where its item would have been.
    """
    made: queue.SimpleQueue[Item | _Failure] = queue.SimpleQueue()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def make() -> None:
        try:
            while wanted.get():
                made.put(next(items))
        except BaseException as error:  # StopIteration among them
            made.put(_Failure(error))

    def taken() -> Iterator[Item]:
        while True:
            wanted.put(True)  # the one that follows
            item = made.get()
            if isinstance(item, _Failure):
                if isinstance(item.error, StopIteration):
                    return
                raise item.error
            yield item

    wanted.put(True)
    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        wanted.put(False)
        thread.join()


@contextlib.contextmanager
def told_behind(tell: Callable[[Item], None]) -> Iterator[Callable[[Item], None]]:
    """Let a thread tell what is handed over, in its order; all of it is told when the block ends.

    What `tell` raises is raised by one of the next calls, or at the end.
    """
    waiting: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    told: queue.SimpleQueue[_Failure | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while (item := waiting.get()) is not None:
                tell(item)
                told.put(None)
        except BaseException as error:
            told.put(_Failure(error))

    def hand_over(item: Item) -> None:
        if (failure := told.get()) is not None:
            raise failure.error
        waiting.put(item)

    for _ in range(_MOST_BEHIND):
        told.put(None)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield hand_over
    finally:
        waiting.put(None)
        thread.join()
    while not told.empty():
        if (failure := told.get()) is not None:
            raise failure.error


class _Failure:
    """What was raised in a thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
