"""What retrain_tools does, and what retrain.py did: the graph as it is, one image per call."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import LeftOut
from benchmarks.setting import cores
from benchmarks.stopwatch import difference, per_second
from benchmarks.subjects import facts_of

_FIRST = 4  # images that are not counted


def run_settings(precision: str) -> Any:
    """Return RunSettings of a precision.

    Raises:
        LeftOut: there is no such setting, or it is not for this machine.
    """
    from retrain_tools.engine.settings import RunSettings
    from retrain_tools.errors import InputError

    if "precision" not in {field.name for field in dataclasses.fields(RunSettings)}:
        if precision != "float32":
            raise LeftOut("this version has no --precision")
        return RunSettings()
    try:
        return RunSettings(precision=precision)
    except InputError as error:
        raise LeftOut(str(error)) from error


def alone(folder: str, precision: str, images: int) -> dict[str, float]:
    """Run the body on prepared pixels, through the extractor's own schedule."""
    from retrain_tools.errors import InputError
    from retrain_tools.features.extractor import Extractor
    from retrain_tools.sources.open import open_model

    frozen = open_model(str(Path(folder, "graph.pb"))).frozen()
    pixels = np.load(Path(folder, "pixels.npy"))
    running = run_settings(precision)
    try:
        extractor = Extractor(frozen, [frozen.spec.bottleneck], running=running)
    except InputError as error:  # as where the CPU has no bfloat16
        raise LeftOut(str(error)) from error
    with extractor:
        values = np.stack([one[0] for _, one in extractor.results(pixels, lambda one: one)])
        some = [pixels[number % len(pixels)] for number in range(images)]
        found = per_second(images, lambda: list(extractor.results(some, lambda one: one)), 2.0)
    ours = np.load(Path(folder, "values.npy"))
    return {**found, "difference": difference(ours, values, precision)}


def to_cache(folder: str, photos: str, precision: str) -> dict[str, float]:
    """Fill a cache, from the first image to the last text file.

    The first job finds out what is kept with the plan: the fastest batches, how far bfloat16 is
    from float32. It is not counted; the folder is marked when it is done.
    """
    from retrain_tools.errors import InputError
    from retrain_tools.features.fill import CacheOptions, fill_cache
    from retrain_tools.images.folders import find_images
    from retrain_tools.sources.open import open_model

    images = find_images(photos)
    running = run_settings(precision)
    mark = Path(folder, f"{Path(photos).name}_{precision}.done")
    jobs = [images[:_FIRST], images]  # the first tells what opening the graph costs in CPU time
    if not mark.exists():
        jobs.insert(0, images)
    cpu_seconds, report = [], None
    with tempfile.TemporaryDirectory() as scratch:
        for number, some in enumerate(jobs):
            frozen = open_model(str(Path(folder, "graph.pb"))).frozen()
            start = time.process_time()
            options = CacheOptions(str(Path(scratch, str(number))), running=running)
            try:
                report = fill_cache(frozen, some, options)
            except InputError as error:
                raise LeftOut(str(error)) from error
            cpu_seconds.append(time.process_time() - start)
    mark.touch()
    used = max(cpu_seconds[-1] - cpu_seconds[-2], 1e-9)
    by_cpu = cores() * (len(images) - _FIRST) / used
    return {"value": report.computed / report.seconds, "cpu": by_cpu}


def one_per_call(folder: str, photos: str) -> dict[str, float]:
    """Run the graph as retrain.py did: untouched, one image per call, its text file written."""
    from retrain_tools.images.folders import find_images
    from retrain_tools.quiet_tensorflow import tf

    facts, images = facts_of(folder), find_images(photos)
    v1, graph = tf.compat.v1, tf.Graph()
    with graph.as_default():
        data = Path(folder, "graph.pb").read_bytes()
        v1.import_graph_def(v1.GraphDef.FromString(data), name="")
    with tempfile.TemporaryDirectory() as scratch, v1.Session(graph=graph) as session:

        def one(path: str) -> Any:
            encoded = Path(path).read_bytes()
            return np.squeeze(session.run(facts["fetch"], {facts["encoded"]: encoded}))

        def all_of_them() -> None:
            for image in images:
                text = ",".join(str(value) for value in one(image.path))
                to = Path(scratch, f"{image.relative}.txt")
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_text(text)

        one(images[0].path)  # the first run is start-up
        return per_second(len(images), all_of_them)
