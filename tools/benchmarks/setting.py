"""What all sections are told: where the graph, the photos and the work folder are, how often."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.records import Record, Ways, compare

PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the flags of tools/benchmark.py of the same names say."""

    graph: str
    image_dir: str
    work_dir: Path
    rounds: int = 3
    images: int = 200
    large_images: int = 24
    networks: Sequence[str] = ()
    against: Sequence[str] = ()
    inputs: Sequence[str] = ()
    precisions: Sequence[str] = PRECISIONS
    steps: int = 4000
    vectors: int = 10_000
    memory_images: Sequence[int] = (500, 8000)
    growth: Sequence[int] = (1, 4, 16, 64)
    nodes: int = 100_000

    def compare(self, section: str, subject: str, unit: str, ways: Ways) -> list[Record]:
        """Measure ways in turns, see `records.compare`."""
        return compare(section, subject, unit, ways, self.rounds)

    @property
    def kept(self) -> dict[str, str]:
        """The environment of processes that keep plans in the work folder, not in the user's."""
        return {"XDG_CACHE_HOME": str(self.work_dir / "cache")}


Section = Callable[[Setting], Iterator[list[Record]]]
"""Measures, and yields the records of one subject after the other."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
