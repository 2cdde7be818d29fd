"""Progress of a long job: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import datetime
import logging
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 20.0
_A_DAY = 86_400.0  # seconds


@contextlib.contextmanager
def progress(total: int | None, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that reports `n` more of `total` things done.

    Args:
        total: how many there are in all; None where nobody knows.
        unit: the plural shown to the reader, e.g. `images`.
    """
    if sys.stderr.isatty():
        with tqdm(total=total, unit=f" {unit}", dynamic_ncols=True, leave=False) as bar:
            yield bar.update
        return
    done = 0
    start = shown = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, shown
        done += count
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            of = "" if total is None else f" of {total}"
            log.info("%d%s %s (%.1f %s/s)", done, of, unit, done / (now - start), unit)

    yield advance


@contextlib.contextmanager
def long_progress(total: Callable[[], int | None], unit: str) -> Iterator[Callable[..., object]]:
    """Yield a function that reports things of a job of hours: also failures, and when it may end.

    It is called with how many more things are dealt with, and by keyword how many of them `failed`
    and how many were `there` before, which say nothing of how fast others will be.

    Args:
        total: tells how many there are in all, None while that is not known.
        unit: the plural shown to the reader.
    """
    tally = _Tally(total, unit)
    if not sys.stderr.isatty():
        yield tally.advance_in_lines
        return
    with tqdm(total=total(), unit=f" {unit}", dynamic_ncols=True, leave=False) as bar:

        def advance(count: int, failed: int = 0, there: int = 0) -> None:
            tally.add(count, failed, there)
            bar.total = total()
            bar.initial += there
            if tally.failed:
                bar.set_postfix_str(f"{tally.failed} failed", refresh=False)
            bar.update(count)

        yield advance


class _Tally:
    """Counts of `long_progress`, and what follows from them."""

    def __init__(self, total: Callable[[], int | None], unit: str) -> None:
        self._total, self._unit = total, unit
        self._done = self._made = self.failed = 0
        self._start = self._shown = time.monotonic()

    def add(self, count: int, failed: int, there: int) -> None:
        """Count things; time is counted from when the first of those that were there are told."""
        if not self._made and there == count:
            self._start = time.monotonic()
        self._done += count
        self._made += count - there
        self.failed += failed

    def advance_in_lines(self, count: int, failed: int = 0, there: int = 0) -> None:
        """Count things, and log a line if the last one was a while ago."""
        self.add(count, failed, there)
        now = time.monotonic()
        if now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = now
            log.info("%s", self._line(now - self._start))

    def _line(self, seconds: float) -> str:
        total = self._total()
        of = "" if total is None else f" of {total}"
        speed = self._made / seconds if seconds else 0.0
        failed = f", {self.failed} failed" if self.failed else ""
        line = f"{self._done}{of} {self._unit} ({speed:.1f} {self._unit}/s{failed})"
        if total is None or not speed:
            return line
        left = (total - self._done) / speed
        end = datetime.datetime.now() + datetime.timedelta(seconds=left)
        day = "" if left < _A_DAY / 2 else f"{end:%Y-%m-%d} "
        return f"{line}, until about {day}{end:%H:%M}"
