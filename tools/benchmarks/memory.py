"""Peak memory of whole `bottlenecks` processes, for few images and for many."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.ours import run_settings
from benchmarks.processes import script, whole
from benchmarks.records import LeftOut, Record
from benchmarks.setting import Setting
from benchmarks.subjects import OWN, network, small_photos

WAY = "{:,} images".format


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure the 2015 graph in both precisions."""
    graph = network(setting, OWN) / "graph.pb"
    for precision in setting.precisions:
        ways = {
            WAY(count): partial(_peak, setting, str(graph), precision, count)
            for count in setting.memory_images
        }
        yield setting.compare("memory", f"{OWN}, {precision}", "MB", ways)


def peak_of_job(setting: Setting, graph: str, photos: str, *flags: str) -> dict[str, Any]:
    """Fill a new cache in a process of its own; see `processes.whole`."""
    cache = setting.work_dir / "memory_bottlenecks"
    shutil.rmtree(cache, ignore_errors=True)
    job = script(
        "bottlenecks",
        f"--graph={graph}",
        f"--image_dir={photos}",
        f"--bottleneck_dir={cache}",
        *flags,
    )
    try:
        return whole(job, setting.kept)
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _peak(setting: Setting, graph: str, precision: str, count: int) -> dict[str, Any]:
    run_settings(precision)  # whether there is such a thing
    flags = [] if precision == "float32" else [f"--precision={precision}"]
    found = peak_of_job(setting, graph, str(small_photos(setting, count)), *flags)
    if not found["peak_mb"]:
        raise LeftOut("this system does not say how much memory a process had")
    return {"value": found["peak_mb"], "seconds": found["value"]}
