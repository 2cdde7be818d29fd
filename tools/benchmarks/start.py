"""Whole processes that have little to do: what it takes to start."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.processes import environment, script, whole
from benchmarks.records import Record
from benchmarks.setting import Setting
from benchmarks.subjects import OWN, facts_of, network, small_photos

IMPORT = "import tensorflow"
MISSING = "bottlenecks, one missing"
CACHED = "bottlenecks, all cached"
LABEL, MINIMAL = "label_image, one image", "a minimal script that labels one image"
_MINIMAL = """
import sys
import numpy as np
import tensorflow.compat.v1 as tf
graph_def = tf.GraphDef.FromString(open(sys.argv[1], 'rb').read())
with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
with tf.Session(graph=graph) as session:
    scores = session.run(sys.argv[3], {sys.argv[4]: open(sys.argv[2], 'rb').read()}).ravel()
for number in np.argsort(-scores)[:5]:
    print(number, scores[number])
"""
# Runs a script and says at the end whether TensorFlow, or a part of it, was imported.
_WATCHED = """
import runpy, sys
name, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(name, run_name="__main__", alter_sys=True)
finally:
    print(any(module.startswith("tensorflow.") for module in sys.modules))
"""


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure cold and warm starts against importing TensorFlow and a minimal script."""
    folder, photos = network(setting, OWN), small_photos(setting)
    graph, facts = str(folder / "graph.pb"), facts_of(str(folder))
    alone = small_photos(setting, 1)
    [image] = alone.rglob("*.jpg")
    cache, cold = setting.work_dir / "start_bottlenecks", setting.work_dir / "start_cold"
    job = script("bottlenecks", f"--graph={graph}")
    one_image = [*job, f"--image_dir={alone}", f"--bottleneck_dir={cold}"]
    all_images = [*job, f"--image_dir={photos}", f"--bottleneck_dir={cache}"]
    whole(all_images, setting.kept)  # the cache that is there, and the kept plan
    minimal = [sys.executable, "-c", _MINIMAL, graph, str(image), facts["final"], facts["encoded"]]

    def nothing_cached(kept: dict[str, str], is_cold: bool) -> Any:
        shutil.rmtree(cold, ignore_errors=True)
        if is_cold:
            shutil.rmtree(kept["XDG_CACHE_HOME"], ignore_errors=True)
        return whole(one_image, kept)

    def one_missing() -> Any:
        next(cache.rglob("*.txt")).unlink()
        return whole(all_images, setting.kept)

    never = {"XDG_CACHE_HOME": str(setting.work_dir / "start_no_cache")}
    ways = {
        IMPORT: partial(whole, [sys.executable, "-c", "import tensorflow"]),
        "bottlenecks, one image, for the first time": partial(nothing_cached, never, True),
        "bottlenecks, one image, again": partial(nothing_cached, setting.kept, False),
        MISSING: one_missing,
        CACHED: lambda: whole(all_images, setting.kept) | _loads_tensorflow(all_images, setting),
        MINIMAL: partial(whole, minimal),
        LABEL: partial(whole, script("label_image", f"--graph={graph}", str(image)), setting.kept),
    }
    yield setting.compare("start", OWN, "s", ways)


def _loads_tensorflow(command: list[str], setting: Setting) -> dict[str, Any]:
    """Tell whether a script of the package imports TensorFlow, or a part of it."""
    python, _, *module_and_flags = command
    done = subprocess.run(
        [python, "-c", _WATCHED, *module_and_flags],
        capture_output=True,
        text=True,
        check=True,
        env=environment(setting.kept),
    )
    return {"imports_tensorflow": done.stdout.splitlines()[-1] == "True"}
