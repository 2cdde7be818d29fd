"""What a worker of runners/local.py does, in a process of its own.

It is no process of multiprocessing's: those import the user's script again, and cannot be started
by one without `if __name__ == "__main__"`. It ends when the driver is gone, however that ended: the
other side of its connection is closed then.
"""

from __future__ import annotations

import contextlib
import enum
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, NoReturn

from retrain_tools.runners.work import call, sendable, sentence

SECONDS_TO_LEAVE = 5.0
"""How long a worker may take to end what it does, when it is told to."""


class Said(enum.Enum):
    """What a worker says: each with a value."""

    OPENED = enum.auto()
    NOT_OPENED = enum.auto()  # the error
    ENDED = enum.auto()  # the result and why there is none


def serve(descriptor: int) -> None:
    """Open the work that comes through a connection, and run tasks until there are no more."""
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, OSError):
        _serve(connection)


def _serve(connection: Connection) -> None:
    sys.path[:] = connection.recv()
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_leave_without_driver, args=[connection.fileno()], daemon=True).start()
    with contextlib.ExitStack() as stack:
        try:
            run = stack.enter_context(connection.recv().open())
        except Exception as error:
            connection.send((Said.NOT_OPENED, sendable(error)))
            return
        connection.send((Said.OPENED, None))
        while (message := connection.recv()) is not None:
            connection.send_bytes(_answer(run, *message))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it has open is closed in peace


def _answer(run: Callable[[Any], Any], task: Any) -> Any:
    result, failure = call(run, task)
    try:
        return ForkingPickler.dumps((Said.ENDED, (result, failure)))
    except Exception as error:  # a result that cannot be sent
        return ForkingPickler.dumps((Said.ENDED, (None, sentence(error))))


def _leave(*_: object) -> NoReturn:
    """Let blocks that are open close what they opened, temporary files among it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _leave_without_driver(descriptor: int) -> None:
    gone = select.poll()
    gone.register(descriptor, 0)  # nothing but the end of the other side
    gone.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_LEAVE)
    os._exit(1)
