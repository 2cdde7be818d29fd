"""Measures what a driver of many small tasks takes: time, and memory as they become more.

  python tools/check_runners.py --runner=local
  python tools/check_runners.py --runner=ray --tasks=245000 --workers=2

Tasks of 1 ms that write nothing, as many as the shards of a billion images. Prints the rate, the
driver's peak memory at each tenth of them, and the load of the machine. Bars: 245,000 tasks in ten
minutes, and a peak of 1 GB; the exit status is 1 where one does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator

MOST_SECONDS, MOST_MB = 600.0, 1000.0


class OneMillisecond:
    """Work of a millisecond, which gives back its number."""

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[int], int]]:
        """Yield what takes a millisecond."""

        def run(task: int) -> int:
            time.sleep(0.001)
            return task

        yield run


def peak_mb() -> float:
    """Return the largest memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> int:
    """Run the tasks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runner", choices=["local", "ray"], default="local")
    parser.add_argument("--tasks", type=int, default=245_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    name = "local" if given.runner == "local" else "ray_cluster"
    run_tasks = importlib.import_module(f"retrain_tools.runners.{name}").run_tasks
    step, total, taken = max(given.tasks // 10, 1), 0, 0
    most_ahead, first = 0, 0.0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for number in range(given.tasks):
            taken += 1
            yield number

    start = time.monotonic()
    outcomes = run_tasks(OneMillisecond(), tasks(), workers=given.workers)
    for ended, outcome in enumerate(outcomes, 1):
        seconds = time.monotonic() - start
        first = first or seconds
        most_ahead = max(most_ahead, taken - ended + 1)
        total += outcome.result
        if ended % step == 0:
            rate = ended / max(seconds - first, 1e-3)
            said = f"{ended:>8,} tasks  {seconds:6.1f} s  {rate:6.0f} tasks/s"
            print(f"{said}  peak {peak_mb():6.1f} MB  load {os.getloadavg()[0]:.1f}", flush=True)
    seconds = time.monotonic() - start
    assert total == given.tasks * (given.tasks - 1) // 2, "each task once"
    holds = seconds <= MOST_SECONDS and peak_mb() <= MOST_MB
    print(
        f"{given.runner}, {given.workers} workers: {'holds' if holds else 'DOES NOT HOLD'}: "
        f"{seconds:.1f} s (the first after {first:.1f} s; at most {MOST_SECONDS:g}), driver "
        f"{peak_mb():.0f} MB (at most {MOST_MB:g}), {time.process_time():.0f} s of CPU in it, "
        f"at most {most_ahead} tasks taken ahead"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    import check_runners  # workers import the work: it cannot be of a script

    sys.exit(check_runners.main())
