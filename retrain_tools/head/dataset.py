"""The bottlenecks of all images as one matrix, with classes and splits as row numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from retrain_tools.features.fill import CacheOptions, FilledCache, fill_cache
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.training import Batch, Classes, Vectors
from retrain_tools.images.folders import ImageFile
from retrain_tools.images.splits import SPLITS, Splits, fill_empty_splits


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images that can be trained and tested on.

    Attributes:
        labels: in the order of the classes.
        images: the image of each row, those that cannot be used included.
        vectors: float32 [N, depth]; zeros for an image that cannot be used.
        classes: int64 [N].
        rows: for each split, the rows of each class; only images that can be used.
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
) -> tuple[Dataset, FilledCache]:
    """Cache all bottlenecks and gather those of the usable images.

    By `split`, testing percentage, validation percentage and split key, splits are filled that are
    empty once unusable images are left out.

    Raises:
        InputError: see `fill_cache` and `fill_empty_splits`.
    """
    filled = fill_empty_splits(splits, *split)  # says what is wrong before hours of work
    images = [image for parts in splits.values() for name in SPLITS for image in parts[name]]
    row_of = {image: row for row, image in enumerate(images)}
    matrix: list[Vectors] = []  # one, made when the depth is known

    def keep(image: ImageFile, vector: Vectors) -> None:
        if not matrix:
            matrix.append(np.zeros((len(images), len(vector)), np.float32))
        matrix[0][row_of[image]] = vector

    report = fill_cache(frozen, images, cache, keep)
    if report.failed:

        def usable(images: list[ImageFile]) -> list[ImageFile]:
            return [image for image in images if image.path not in report.failed]

        left = {
            label: {name: usable(parts[name]) for name in SPLITS} for label, parts in splits.items()
        }
        filled = fill_empty_splits(left, *split)
    classes = np.zeros(len(images), np.int64)
    rows: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in SPLITS}
    for number, parts in enumerate(filled.values()):
        for name in SPLITS:
            rows[name].append(np.array([row_of[image] for image in parts[name]], np.int64))
            classes[rows[name][-1]] = number
    return Dataset(list(filled), images, matrix[0], classes, rows), report
