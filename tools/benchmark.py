"""Measure speed and memory against the old way of doing the same, as ratios within one run.

  python tools/benchmark.py --graph=GRAPH.pb --image_dir=FOLDER

Parts: `bottlenecks` against feeding the untouched graph one image at a time and writing the text
file; `training` against reading 100 text files per step, as retrain.py does; `memory`, the peak of
`bottlenecks` for the images as they are and for 2,000; `listing`, whole processes that look into
the graph against those that use TensorFlow for it. Every measurement is a process of its own,
because TensorFlow's thread pools are fixed by a process's first session. Start-up is not counted.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from benchmark_listing import compare_listings

from retrain_tools import command_line
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.head.dataset import make_dataset
from retrain_tools.head.summaries import SummaryWriter
from retrain_tools.head.training import TrainingSettings, initial_head, sample_rows, train
from retrain_tools.images.folders import find_images, images_by_label
from retrain_tools.images.splits import fill_empty_splits, split_images
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.graph_def import read_graph_def

_GRAPH = flags.DEFINE_string("graph", None, "Graph with an encoded image input.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder of JPEG images in class folders.")
_ROUNDS = flags.DEFINE_integer("rounds", 2, "Times each speed is measured, in turns.")
_PARTS = flags.DEFINE_list(
    "parts", ["bottlenecks", "training", "memory", "listing"], "What to measure."
)
_MEASURE = flags.DEFINE_string("measure", None, "Only this measurement; used by the parts.")
_FOLDER = flags.DEFINE_string("folder", None, "Bottleneck folder of a measurement.")

_STEPS = 4000
_OLD_STEPS = 100  # of the old training; its speed does not change with the step
_MANY_IMAGES = 2000


def old_bottlenecks() -> dict[str, float]:
    """Time the untouched graph, one run per image, and the writing of its text file."""
    graph_def = read_graph_def(_GRAPH.value).proto
    spec = open_model(_GRAPH.value).frozen().spec
    images = find_images(_IMAGE_DIR.value)
    folder = Path(_FOLDER.value)
    for name in {image.folder for image in images}:
        (folder / name).mkdir(parents=True, exist_ok=True)
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()), name=""
        )
    with tf.compat.v1.Session(graph=graph) as session:

        def one(path: str) -> Any:
            data = Path(path).read_bytes()
            return np.squeeze(session.run(spec.bottleneck, {spec.encoded_input: data}))

        one(images[0].path)  # the first run is start-up
        start = time.monotonic()
        for image in images:
            text = ",".join(str(value) for value in one(image.path))
            (folder / f"{image.relative}.txt").write_text(text)
        return {"per_second": len(images) / (time.monotonic() - start)}


def new_bottlenecks() -> dict[str, float]:
    """Time what fills the cache, its start-up apart."""
    frozen = open_model(_GRAPH.value).frozen()
    images = find_images(_IMAGE_DIR.value)
    report = fill_cache(frozen, images, CacheOptions(_FOLDER.value))
    return {"per_second": report.computed / report.seconds}


def old_training() -> dict[str, float]:
    """Time training steps that read every bottleneck of their batch from its text file."""
    by_label = images_by_label(find_images(_IMAGE_DIR.value))
    splits = fill_empty_splits(split_images(by_label, 10, 10), 10, 10)
    rng = np.random.default_rng(0)
    folder = Path(_FOLDER.value)

    def batch(split: str) -> Callable[[], Any]:
        per_class = [parts[split] for parts in splits.values()]

        def draw() -> Any:
            vectors, classes = [], []
            for _ in range(100):
                label = int(rng.integers(len(per_class)))
                image = per_class[label][int(rng.integers(2**27)) % len(per_class[label])]
                text = (folder / f"{image.relative}.txt").read_text()
                vectors.append([float(value) for value in text.split(",")])
                classes.append(label)
            return np.array(vectors, np.float32), np.array(classes)

        return draw

    depth = batch("training")()[0].shape[1]
    start = initial_head(rng, depth, len(splits))
    settings = TrainingSettings(how_many_training_steps=_OLD_STEPS)
    seconds = _time_of(
        lambda: train(start, settings, batch("training"), batch("validation"), lambda _: None)
    )
    return {"per_second": _OLD_STEPS / seconds}


def new_training() -> dict[str, float]:
    """Time reading the cache and 4,000 steps with their summaries."""
    frozen = open_model(_GRAPH.value).frozen()
    splits = split_images(images_by_label(find_images(_IMAGE_DIR.value)), 10, 10)
    rng = np.random.default_rng(0)
    settings = TrainingSettings(how_many_training_steps=_STEPS)

    def job() -> None:
        cache = CacheOptions(_FOLDER.value, trust_cache=True)
        data, _ = make_dataset(frozen, splits, (10, 10, "path"), cache)
        head = initial_head(rng, data.vectors.shape[1], len(data.labels))
        with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as summaries:
            train(
                head,
                settings,
                lambda: data.batch(sample_rows(rng, data.rows["training"], 100)),
                lambda: data.batch(sample_rows(rng, data.rows["validation"], 100)),
                summaries.add,
            )

    return {"per_second": _STEPS / _time_of(job)}


def memory() -> dict[str, float]:
    """Fill a new cache and report the process's peak resident memory."""
    report = fill_cache(
        open_model(_GRAPH.value).frozen(),
        find_images(_IMAGE_DIR.value),
        CacheOptions(_FOLDER.value),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"images": report.computed, "peak_mb": peak / 1e6}


_MEASUREMENTS = {
    function.__name__: function
    for function in (old_bottlenecks, new_bottlenecks, old_training, new_training, memory)
}


def _time_of(job: Callable[[], Any]) -> float:
    start = time.monotonic()
    job()
    return time.monotonic() - start


def _measured(name: str, folder: str | Path, image_dir: str | None = None) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        f"--graph={_GRAPH.value}",
        f"--image_dir={image_dir or _IMAGE_DIR.value}",
        f"--measure={name}",
        f"--folder={folder}",
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def _compare(what: str, unit: str, old: str, new: str, run: Callable[[str, int], Any]) -> None:
    speeds: dict[str, list[float]] = {old: [], new: []}
    for number in range(_ROUNDS.value):
        for name in (old, new):
            speeds[name].append(run(name, number)["per_second"])
    before, now = (statistics.median(speeds[name]) for name in (old, new))
    print(f"{what}: {now:.1f} {unit}/s, the old way {before:.1f}: {now / before:.2f} times faster")


def main(_: list[str]) -> None:
    """Run the parts, or one measurement."""
    command_line.require("graph", "image_dir")
    if _MEASURE.value:
        print(json.dumps(_MEASUREMENTS[_MEASURE.value]()))
        return
    with tempfile.TemporaryDirectory() as scratch:
        if "bottlenecks" in _PARTS.value:
            _compare(
                "bottlenecks", "images", "old_bottlenecks", "new_bottlenecks",
                lambda name, number: _measured(name, Path(scratch) / f"{name}_{number}"),
            )  # fmt: skip
        if "training" in _PARTS.value:
            cache = Path(scratch) / "new_bottlenecks_0"
            if not cache.exists():
                _measured("new_bottlenecks", cache)
            _compare(
                "training", "steps", "old_training", "new_training",
                lambda name, _: _measured(name, cache),
            )  # fmt: skip
        if "memory" in _PARTS.value:
            images = find_images(_IMAGE_DIR.value)
            many = Path(scratch) / "many"
            for number in range(_MANY_IMAGES):
                image = images[number % len(images)]
                link = many / image.folder / f"{number}.jpg"
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(Path(image.path).resolve())
            for folder in (_IMAGE_DIR.value, str(many)):
                figures = _measured("memory", Path(scratch) / f"memory_{len(folder)}", folder)
                print(f"memory: {figures['peak_mb']:.0f} MB at most for {figures['images']} images")
    if "listing" in _PARTS.value:
        compare_listings(_GRAPH.value, _ROUNDS.value)


if __name__ == "__main__":
    command_line.run(main)
