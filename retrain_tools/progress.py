"""Progress of a long job: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 20.0


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
