"""The bottlenecks of all images as one matrix, with classes and splits as row numbers."""

from __future__ import annotations

import csv
import dataclasses
import heapq
import io
from collections.abc import Callable, Container, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.features.fill import CacheOptions, FilledCache, fill_cache
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.training import Batch, Classes, Sampler, Vectors
from retrain_tools.images.folders import ImageFile
from retrain_tools.images.splits import SPLITS, Splits, fill_empty_splits

_ROWS_AT_ONCE = 1 << 14


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images that can be trained and tested on.

    Attributes:
        labels: in the order of the classes.
        images: the image of each row, those that cannot be used included.
        vectors: float32 [N, depth]; zeros for an image that cannot be used.
        classes: int64 [N].
        rows: for each split, the rows of each class; only images that can be used.
        digest: another one where any vector is another, if that is known without reading them.
    """

    labels: list[str]
    images: Sequence[ImageFile]
    vectors: Vectors
    classes: Classes
    rows: dict[str, list[npt.NDArray[np.int64]]]
    digest: str | None = None

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the bottlenecks and classes of some rows."""
        return self.vectors[rows], self.classes[rows]

    def pieces(self, rows: npt.NDArray[np.int64]) -> Iterator[Batch]:
        """Yield the bottlenecks and classes of some rows, many at a time, at least once."""
        for start in range(0, max(1, len(rows)), _ROWS_AT_ONCE):
            yield self.batch(rows[start : start + _ROWS_AT_ONCE])

    def batches(self, rng: np.random.Generator, split: str, size: int) -> Callable[[], Batch]:
        """Return what draws a batch of a split, see `Sampler`; of all its rows, always the same."""
        sampler = Sampler(self.rows[split])
        if size < 0:
            every = self.batch(sampler.draw(rng, size))
            return lambda: every
        return lambda: self.batch(sampler.draw(rng, size))


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
    images = images_of(splits)
    report = fill_cache(frozen, images, cache, with_vectors=True)
    assert report.vectors is not None  # noqa: S101 - they were asked for
    if report.failed:
        filled = fill_empty_splits(without(splits, report.failed), *split)
    return dataset_of(filled, images, report.vectors), report


def images_of(splits: Splits) -> list[ImageFile]:
    """Return the images of all classes and splits, in their order."""
    return [image for parts in splits.values() for name in SPLITS for image in parts[name]]


def without(splits: Splits, failed: Container[str]) -> Splits:
    """Return the splits without the images whose path is in `failed`."""
    return {
        label: {name: [i for i in parts[name] if i.path not in failed] for name in SPLITS}
        for label, parts in splits.items()
    }


def dataset_of(splits: Splits, images: list[ImageFile], vectors: Vectors) -> Dataset:
    """Return the dataset of images whose bottlenecks are the rows of `vectors`, [N, depth]."""
    row_of = {image: row for row, image in enumerate(images)}
    classes = np.zeros(len(images), np.int64)
    rows: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in SPLITS}
    for number, parts in enumerate(splits.values()):
        for name in SPLITS:
            rows[name].append(np.array([row_of[image] for image in parts[name]], np.int64))
            classes[rows[name][-1]] = number
    return Dataset(list(splits), images, vectors, classes, rows)


def splits_table(dataset: Dataset) -> Iterator[str]:
    """Yield the lines of `splits.csv`: image, label, split of each image that can be used."""
    yield _line("image", "label", "split")
    for number, label in enumerate(dataset.labels):
        # Each is sorted by image already, and need not be held in memory.
        of_splits = (_of_split(dataset, name, dataset.rows[name][number]) for name in SPLITS)
        for image, split in heapq.merge(*of_splits):
            yield _line(image.path, label, split)


def _of_split(
    dataset: Dataset, name: str, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[ImageFile, str]]:
    return ((dataset.images[row], name) for row in rows)


def _line(*cells: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
