"""Finds the fastest size of batches on the work itself, so that finding it costs nothing."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Sequence

_MEASURED = 5  # batches of each size; of their times the median counts
_CLEARLY_FASTER = 1.03  # than the first size; less is noise


class Trial:
    """Sizes are tried in turns on a job's first batches. Safe to use from several threads."""

    def __init__(self, sizes: Sequence[int], threads: int) -> None:
        """Begin with the sizes to try, the usual one first, and how many batches run at a time.

        As many batches of each size are not counted, for which kernels are prepared.
        """
        self._threads = threads
        self._given = dict.fromkeys(sizes, 0)
        self._seconds: dict[int, list[float]] = {size: [] for size in sizes}
        self._lock = threading.Lock()

    @property
    def images(self) -> int:
        """How many images it takes to try all sizes."""
        return sum(self._given) * (self._threads + _MEASURED)

    def next_size(self) -> int:
        """Return the size of the next batch."""
        with self._lock:
            size = min(self._given, key=lambda size: self._given[size])
            self._given[size] += 1
            return size

    def note(self, size: int, seconds: float) -> int | None:
        """Note how long a batch took; return the fastest size once each was tried, else None."""
        with self._lock:
            if size in self._seconds:
                self._seconds[size].append(seconds)
            counted = {one: times[self._threads :] for one, times in self._seconds.items()}
            if any(len(times) < _MEASURED for times in counted.values()):
                return None
            speeds = {one: one / statistics.median(times) for one, times in counted.items()}
            usual = next(iter(speeds))
            best = max(speeds, key=speeds.__getitem__)
            return best if speeds[best] > speeds[usual] * _CLEARLY_FASTER else usual
