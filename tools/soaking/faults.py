"""Faults: what strikes a process, and when. They travel to it as JSON."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Mapping

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EACCES", "EROFS", "EMFILE")
MEMORY, INTERRUPT, FILE_SIZE = "MemoryError", "interrupt", "EFBIG"
INSIDE = (*ERRORS, MEMORY, INTERRUPT, FILE_SIZE)
FULL, READ_ONLY, PERMISSION = "full disk", "read-only", "permission loss"
PLACES = (FULL, READ_ONLY, PERMISSION)
CLOCKS = ("clock back", "clock ahead")
TWO, THREE, ONE_KILLED = "two at once", "three at once", "two at once, one killed"
LINE = "line broken"

# Which operations of a process can fail in which way; the empty one stands for all.
_OF_WRITING = ("create", "write", "mkdir")
_OF_ENTRIES = ("create", "mkdir", "rename", "unlink", "chmod")
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "ENOSPC": (*_OF_WRITING, "rename"),
    "EDQUOT": _OF_WRITING,
    "EIO": (*_OF_WRITING, "read", "rename", "unlink", "fsync", "list"),
    "EACCES": (*_OF_ENTRIES, "read"),
    "EROFS": _OF_ENTRIES,
    "EMFILE": ("create", "read", "list"),
}
# What does not pass by itself: once a disk is full, it is full for whatever comes next.
_STAY = {"ENOSPC", "EDQUOT", "EROFS"}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: what strikes.
        operation: the kind of file operations that are counted; '' counts all.
        at: the operation that it strikes at, from 1; 0 for what is there from the beginning, or
            comes by the clock.
        stays: whether what takes room, or changes entries, fails from then on, too.
        amount: bytes that are left on a full disk or that a file may have, or seconds that the
            clock jumps, or of the clock until a signal.
    """

    name: str
    operation: str = ""
    at: int = 0
    stays: bool = False
    amount: float = 0.0

    @property
    def label(self) -> str:
        """How tables call it."""
        if self.name in SIGNALS:
            return f"{self.name} {'at a file operation' if self.at else 'by the clock'}"
        return self.name


WHOLE = tuple(Fault(name, at=at).label for name in SIGNALS for at in (0, 1))
"""The labels of the signals to whole processes."""


def signals(rng: random.Random, counts: Mapping[str, int], seconds: float) -> Iterator[Fault]:
    """Yield signals in turn, in two of three cases at a file operation, else by the clock.

    Args:
        rng: of the moments.
        counts: how many operations of each kind an undisturbed job does.
        seconds: how long it takes.
    """
    while True:
        for name, by_clock in rng.sample([*itertools.product(SIGNALS, (True, False, False))], 9):
            if not by_clock and counts:
                yield Fault(name, at=rng.randint(1, sum(counts.values())))
            else:
                yield Fault(name, amount=rng.uniform(0.05, seconds))


def errors(rng: random.Random, counts: Mapping[str, int], most_bytes: int) -> Iterator[Fault]:
    """Yield errors of the system, missing memory, Ctrl-C and limits of a file's size, in turn."""
    while True:
        for name in rng.sample(INSIDE, len(INSIDE)):
            if name == FILE_SIZE:
                yield Fault(name, amount=rng.randint(0, most_bytes))
                continue
            possible = [one for one in OPERATIONS.get(name, ()) if counts.get(one)]
            operation = rng.choice(possible) if possible else ""
            most = counts[operation] if operation else sum(counts.values())
            stays = name in _STAY and rng.random() < 0.5
            yield Fault(name, operation, rng.randint(1, max(1, most)), stays)


def at_places(rng: random.Random, counts: Mapping[str, int], most_bytes: int) -> Iterator[Fault]:
    """Yield full disks, file systems that become read-only, and permissions that go, in turn."""
    while True:
        for name in rng.sample(PLACES, len(PLACES)):
            at = rng.randint(1, max(1, sum(counts.values())))
            yield Fault(name, at=at, amount=rng.randint(0, most_bytes))


def clocks(rng: random.Random, counts: Mapping[str, int]) -> Iterator[Fault]:
    """Yield jumps of the clock, of a second to ten years, in turn back and ahead."""
    while True:
        for name in CLOCKS:
            sign = -1 if name == CLOCKS[0] else 1
            amount = sign * 10 ** rng.uniform(0, 8.5)
            yield Fault(name, at=rng.randint(1, max(1, sum(counts.values()))), amount=amount)


def together(rng: random.Random, counts: Mapping[str, int]) -> Iterator[Fault]:
    """Yield jobs of two and three processes at once, in turn; of a third, one is killed."""
    while True:
        for name in rng.sample((TWO, ONE_KILLED, THREE), 3):
            at = rng.randint(1, max(1, sum(counts.values())))
            yield Fault(name, at=at, amount=3 if name == THREE else 2)


def lines(rng: random.Random, most_bytes: int) -> Iterator[Fault]:
    """Yield connections that break after some bytes."""
    while True:
        yield Fault(LINE, amount=rng.randint(0, most_bytes - 1))
