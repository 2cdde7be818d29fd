"""Fine-tuning a graph on photos by the library alone, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from retrain_tools.features.fill import CacheOptions
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.dataset import Dataset
from retrain_tools.head.fine_tuning import (
    TuningData,
    check_batches,
    fine_tune,
    schedule,
    tail_of,
    tuned_graph,
)
from retrain_tools.head.tail_features import fetch_tail_features
from retrain_tools.head.training import Head, Sampler, TrainingSettings
from retrain_tools.head.tuned_tail import FineTuning, TunedTail
from retrain_tools.images.folders import find_images, images_by_label
from retrain_tools.images.splits import SPLITS, split_images

from .graphs import run


def prepared(
    frozen: FrozenGraph, photos: Path, place: Path, settings: FineTuning, split=(20, 20, "path")
) -> TuningData:
    """The photos as a dataset without bottlenecks, and what enters the tail for each of them."""
    splits = split_images(images_by_label(find_images(str(photos))), *split)
    images = [image for parts in splits.values() for name in SPLITS for image in parts[name]]
    row_of = {image: row for row, image in enumerate(images)}
    rows = {
        name: [np.array([row_of[i] for i in parts[name]], np.int64) for parts in splits.values()]
        for name in SPLITS
    }
    classes = np.zeros(len(images), np.int64)
    for name in SPLITS:
        for number, of_class in enumerate(rows[name]):
            classes[of_class] = number
    vectors = np.zeros((len(images), 1), np.float32)
    dataset = Dataset(list(splits), images, vectors, classes, rows)
    tensors = list(tail_of(frozen, settings).entrances.values())
    cache = CacheOptions(str(place))
    features = fetch_tail_features(frozen, tensors, [i.path for i in images], cache)
    return TuningData(dataset, features)


def batches_of(
    data: TuningData, settings: FineTuning, seed: int, values: Callable[[str], np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The batches that are drawn, with maps that the source's own graph gives for each image.

    Only the first and last steps are evaluated then, so that nothing else is drawn in between.
    """
    rng = np.random.default_rng(seed)
    sampler = Sampler(data.dataset.rows["training"])
    made = []
    for _ in range(settings.fine_tune_steps):
        rows = sampler.draw(rng, settings.fine_tune_batch_size)
        maps = np.concatenate([values(data.dataset.images[row].path) for row in rows])
        made.append((maps, data.dataset.classes[rows]))
    return made


def tuned(
    frozen: FrozenGraph, data: TuningData, settings: FineTuning, head: Head, seed: int
) -> tuple[dict[str, np.ndarray], FrozenGraph, Head]:
    tail = tail_of(frozen, settings)
    with TunedTail(tail, head, settings, "avg", str(frozen.path)) as open_tail:
        check_batches(open_tail, data)
        # Without validation images, nothing is drawn but training batches.
        plan = schedule(settings, TrainingSettings(validation_batch_size=-1))
        fine_tune(open_tail, data, plan, np.random.default_rng(seed), lambda step: None)
        ending = open_tail.head()
        values = open_tail.trained() | {"head": ending.weights, "biases": ending.biases}
        return values, tuned_graph(frozen, tail, open_tail), ending


def maps_of_source(graph_def, tensor: str) -> Callable[[str], np.ndarray]:
    return lambda path: run(graph_def, tensor, {"DecodeJpeg/contents:0": Path(path).read_bytes()})
