"""More images, more classes: the time of each image and the memory should stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.memory import peak_of_job
from benchmarks.processes import measured
from benchmarks.records import Record
from benchmarks.setting import Setting
from benchmarks.subjects import network, small_photos
from benchmarks.training import LOADED_DEPTH, cache_of

NETWORK = "mobilenet_v1_0.25_128"  # the fastest: what is not the network shows most
CLASSES = (2, 20, 200)


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure whole jobs for 1, 4, 16, … times the images, for classes, and training steps."""
    graph = str(network(setting, NETWORK) / "graph.pb")
    counts = [setting.images * times for times in setting.growth]
    middle = counts[len(counts) // 2]

    def job(count: int, classes: int | None) -> dict[str, Any]:
        found = peak_of_job(setting, graph, str(small_photos(setting, count, classes)))
        each = {name: 1000 * found[name] / count for name in ("value", "cpu")}
        return {**each, "peak_mb": found["peak_mb"]}

    ways = {f"{n:,} images": partial(job, n, None) for n in counts}
    yield setting.compare("growth", "images", "ms an image", ways)
    ways = {f"{n} classes": partial(job, middle, n) for n in CLASSES}
    yield setting.compare("growth", f"classes of {middle:,} images", "ms an image", ways)
    for_training = {n: str(cache_of(setting, LOADED_DEPTH, n)) for n in CLASSES}
    steps = setting.steps // 4
    ways = {
        f"{n} classes": partial(measured, "training.ours", cache=cache, steps=steps)
        for n, cache in for_training.items()
    }
    yield setting.compare("growth", "classes of training", "steps/s", ways)
