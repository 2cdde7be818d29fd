"""Images a second, by the clock and by CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.records import LeftOut
from benchmarks.setting import cores

_SAME = {"float32": 1e-3, "bfloat16": 0.1}  # of the largest value


def per_second(count: int, job: Callable[[], Any], at_least: float = 0.0) -> dict[str, float]:
    """Do a job of `count` parts; return parts a second, and parts a second of all cores' CPU time.

    The second would be the first on a machine that does nothing else, if the job kept all cores
    busy. A job that is done in less than `at_least` seconds is done again.
    """
    start, start_cpu, done = time.monotonic(), time.process_time(), 0
    while not done or time.monotonic() - start < at_least:
        job()
        done += count
    used = time.process_time() - start_cpu
    return {"value": done / (time.monotonic() - start), "cpu": cores() * done / used}


def difference(ours: npt.NDArray[Any], others: npt.NDArray[Any], precision: str) -> float:
    """Return the largest difference, of the largest value of ours.

    Raises:
        LeftOut: it is so large that the other computes something else.
    """
    found = float(np.abs(others.reshape(ours.shape) - ours).max() / np.abs(ours).max())
    if not found <= _SAME[precision]:
        raise LeftOut(f"it computes something else: differs by {found:.2g} of our largest value")
    return found
