"""The bottlenecks of all pictures as one matrix, with classes and splits as row numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from retrain_tools.features.fill import CacheOptions, FillReport, fill_cache
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.head.training import Batch, Classes, Vectors
from retrain_tools.images.folders import ImageFile
from retrain_tools.images.splits import SPLITS, Splits, fill_empty_splits


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Pictures that can be trained and tested on.

    Attributes:
        labels: in the order of the classes.
        images: the picture of each row.
        vectors: float32 [N, depth].
        classes: int64 [N].
        rows: for each split, the rows of each class.
    """

    labels: list[str]
    images: list[ImageFile]
    vectors: Vectors
    classes: Classes
    rows: dict[str, list[npt.NDArray[np.int64]]]

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the bottlenecks and classes of some rows."""
        return self.vectors[rows], self.classes[rows]


def make_dataset(
    frozen: FrozenGraph, splits: Splits, split: tuple[int, int, str], cache: CacheOptions
) -> tuple[Dataset, FillReport]:
    """Cache all bottlenecks and gather those of the usable pictures.

    Args:
        frozen: the graph.
        splits: the pictures per label and split.
        split: testing percentage, validation percentage and split key, to fill splits that are
            empty once unusable pictures are left out.
        cache: where and how bottlenecks are kept.

    Raises:
        InputError: see `fill_cache` and `fill_empty_splits`.
    """
    vectors: dict[ImageFile, Vectors] = {}
    wanted = [image for parts in splits.values() for name in SPLITS for image in parts[name]]
    report = fill_cache(frozen, wanted, cache, keep=vectors.__setitem__)
    usable = {
        label: {name: [image for image in parts[name] if image in vectors] for name in SPLITS}
        for label, parts in splits.items()
    }
    filled = fill_empty_splits(usable, *split)
    images: list[ImageFile] = []
    classes: list[int] = []
    rows: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in SPLITS}
    for number, parts in enumerate(filled.values()):
        for name in SPLITS:
            first = len(images)
            images += parts[name]
            classes += [number] * len(parts[name])
            rows[name].append(np.arange(first, len(images), dtype=np.int64))
    matrix = np.stack([vectors[image] for image in images])
    return Dataset(list(filled), images, matrix, np.array(classes, np.int64), rows), report
