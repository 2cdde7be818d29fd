"""What is trained on where there are features of a store and no images; for millions of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features.cache import Identity
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fill import CacheOptions, identity_of
from retrain_tools.features.manifest import differences
from retrain_tools.features.outcome import Outcome
from retrain_tools.features.packed_features import (
    Names,
    PackedFeatures,
    packed_features,
    packed_features_path,
    read_packed_features,
)
from retrain_tools.features.streamed import Stored
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.dataset import Dataset
from retrain_tools.images.folders import ImageFile, labels_of_folders
from retrain_tools.images.splits import SPLITS, Splits, fill_empty_splits, split_percentage

log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]

_ALWAYS_FILLED = 1000  # images of a class; of more, an empty split is looked for first


class PackedImages(Sequence[ImageFile]):
    """The images of packed features; each is made when it is asked for."""

    def __init__(self, names: Names) -> None:
        """Take their names."""
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, place: int) -> ImageFile: ...
    @overload
    def __getitem__(self, place: slice) -> list[ImageFile]: ...
    def __getitem__(self, place: int | slice) -> ImageFile | list[ImageFile]:
        if isinstance(place, slice):
            return [ImageFile(name, name) for name in self._names[place]]
        name = self._names[place]
        return ImageFile(name, name)

    def __iter__(self) -> Iterator[ImageFile]:
        return (ImageFile(name, name) for name in self._names)


def read_features_dataset(
    frozen: FrozenGraph | None,
    stored: Stored,
    tensor: str | None,
    cache: CacheOptions,
    split: tuple[int, int, str],
    keep_folder_names: bool = False,
) -> tuple[Dataset, Outcome, Identity | None]:
    """Return the features of a store as a dataset, its vectors in a mapped file.

    They are packed once into the bottleneck folder. Images are split by their names as the store
    has them, and their labels are the store's, made of folder names as those of images are.

    Args:
        frozen: the graph that they should be of; None where it is not at hand.
        stored: what `open_features` opened.
        tensor: which of its tensors; None for the graph's bottleneck, or the only one.
        cache: where the packed copy is kept, and how the bottleneck is pooled and computed.
        split: testing percentage, validation percentage and split key.
        keep_folder_names: labels are as the store has them.

    Returns:
        The dataset, what became of the rows, and what the graph's own values depend on.

    Raises:
        InputError: the store has no such tensor, is of another graph, or has no labels; its rows
            are no vectors; or see `fill_empty_splits`.
    """
    folder = Path(cache.bottleneck_dir)
    wanted = None if frozen is None else identity_of(frozen, cache.pooling, cache.running)
    name = _tensor(stored, _names(stored, folder), tensor, wanted)
    if wanted is not None:
        _refuse_another(stored, name, wanted)
    packed = packed_features(folder, stored, name)
    if frozen is not None and name not in stored.identities:
        _compare_depth(frozen, stored, name, packed.record.depth, cache)
    _report_failures(packed, stored, cache)
    dataset = dataset_of_packed(packed, stored.place, split, keep_folder_names)
    used = sum(len(rows) for name in SPLITS for rows in dataset.rows[name])
    return dataset, Outcome(reused=used, failed=packed.record.failed), wanted


def _names(stored: Stored, folder: Path) -> list[str]:
    """Return the tensors of a store; that of a packed copy need not be opened for it."""
    packed = read_packed_features(packed_features_path(folder, stored.place))
    if packed is not None and packed.record.stamp == stored.stamp:
        return packed.record.names
    return stored.names()


def _tensor(
    stored: Stored, names: Sequence[str], tensor: str | None, wanted: Identity | None
) -> str:
    there = ", ".join(map(repr, names))
    if tensor is not None:
        if tensor not in names:
            hint = did_you_mean(tensor, names) or f" It has {there}."
            raise InputError(f"No tensor {tensor!r} in {stored.place}.{hint}")
        return tensor
    if len(names) == 1:
        return names[0]
    same = [
        name
        for name in names
        if wanted and name in stored.identities and not _differ(stored.identities[name], wanted)
    ]
    if same:
        return same[0]
    none = f", none of which is {wanted.tensor!r} of this graph" if wanted else ""
    raise InputError(
        f"{stored.place} has {there}{none}. Choose one with {argument('features_tensor')}."
    )


def _differ(made: Identity, wanted: Identity) -> bool:
    """Tell whether values are others; how a vector was pooled changes nothing."""
    differing = made.differing(wanted)
    return bool(differing) and not (wanted.pooling == "none" and differing == ["pooling"])


def _refuse_another(stored: Stored, name: str, wanted: Identity) -> None:
    made = stored.identities.get(name)
    if made is not None and _differ(made, wanted):
        raise InputError(
            f"{name!r} in {stored.place} was made by another graph or in another way "
            f"({stored.graph}): {differences(made, wanted)}. Name the graph that it was made by, "
            f"its tensor with {argument('bottleneck_tensor')}, or leave out {argument('graph')}: "
            "then the new layer alone is written."
        )


def _compare_depth(
    frozen: FrozenGraph, stored: Stored, name: str, depth: int, cache: CacheOptions
) -> None:
    """Compare the length of vectors of which nobody noted what made them."""
    with Extractor(frozen, [frozen.spec.bottleneck], cache.pooling) as extractor:
        of_graph = int(extractor.shapes[0][0])
    if of_graph != depth:
        raise InputError(
            f"{name!r} in {stored.place} has {depth} values, and {frozen.spec.bottleneck!r} of "
            f"this graph has {of_graph}: it was made by another graph, or from another tensor."
        )
    log.warning("%s has no record that says what made it: whether it is this graph's can only be "
                "told by its length", stored.place)  # fmt: skip


def _report_failures(packed: PackedFeatures, stored: Stored, cache: CacheOptions) -> None:
    record = packed.record
    for image, reason in record.failed.items():
        line = f"{image} in {stored.place} cannot be used: {reason}"
        if cache.on_error == "fail":
            raise InputError(f"{line}.")
        log.warning(line)
    if more := record.left_out - len(record.failed):
        log.warning("and so are %s more", f"{more:,}")
    if not record.rows:
        raise InputError(f"{stored.place} has no row that can be used.")


def dataset_of_packed(
    packed: PackedFeatures, place: str, split: tuple[int, int, str], keep_folder_names: bool
) -> Dataset:
    """Return packed features as a dataset: the rows of a class in the order of their names.

    Raises:
        InputError: there are no labels, or only one; see `labels_of_folders`, `fill_empty_splits`.
    """
    numbers = np.asarray(packed.labels)
    without = int(np.count_nonzero(numbers < 0))
    if without == len(numbers):
        raise InputError(
            f"{place} has no labels. Fetch it with {argument('image_dir')}, a folder of images per "
            "class: its folders are the labels; or give it a column 'labels'."
        )
    if without:
        log.warning("%s images in %s have no label and are left out", f"{without:,}", place)
    label_of = labels_of_folders(packed.record.labels, keep_folder_names)
    if len(label_of) < 2:
        only = next(iter(label_of.values()))
        raise InputError(
            f"Training takes at least two classes; {place} has only one label ({only!r})."
        )
    testing, validation, key = split
    parts = _parts(packed.images, testing, validation, key)
    images = PackedImages(packed.images)
    rows: dict[str, list[Rows]] = {name: [] for name in SPLITS}
    classes = np.zeros(len(numbers), np.int64)
    by_number = {label: number for number, label in enumerate(packed.record.labels)}
    for number, (folder, label) in enumerate(label_of.items()):
        of_class = _by_name(np.flatnonzero(numbers == by_number[folder]), packed.images)
        classes[of_class] = number
        of_split = {name: of_class[parts[of_class] == _PLACE[name]] for name in SPLITS}
        for name, filled in _filled(label, of_split, images, split).items():
            rows[name].append(filled)
    return Dataset(list(label_of.values()), images, packed.vectors, classes, rows, packed.digest)


_PLACE = {"validation": 0, "testing": 1, "training": 2}
"""Of each split, its place from 0 to 100, as `split_images` has them."""


def _parts(names: Names, testing: int, validation: int, key: str) -> npt.NDArray[np.int8]:
    """Return the split of each image, by `_PLACE`, int8 [N]."""
    keys = map(os.path.basename, names) if key == "basename" else iter(names)
    where = np.fromiter(map(split_percentage, keys), np.float64, len(names))
    bounds = [validation, validation + testing]
    return np.searchsorted(bounds, where, side="right").astype(np.int8)


def _by_name(rows: Rows, names: Names) -> Rows:
    """Return the rows of a class in the order of their names, which most stores have already."""
    before = ""
    for row in rows.tolist():
        name = names[row]
        if name < before:
            return np.array(sorted(rows.tolist(), key=lambda row: names[row]), np.int64)
        before = name
    return rows


def _filled(
    label: str, of_split: dict[str, Rows], images: PackedImages, split: tuple[int, int, str]
) -> dict[str, Rows]:
    """Return the rows of a class with an image wherever one is needed, see `fill_empty_splits`."""
    testing, validation, _ = split
    percentages = {"training": 1, "validation": validation, "testing": testing}
    is_filled = all(len(of_split[name]) for name, percent in percentages.items() if percent)
    if is_filled and sum(map(len, of_split.values())) > _ALWAYS_FILLED:
        return of_split
    splits: Splits = {label: {name: [images[r] for r in of_split[name]] for name in SPLITS}}
    rows_of: dict[ImageFile, list[int]] = {}
    for name in SPLITS:
        for row in reversed(of_split[name].tolist()):
            rows_of.setdefault(images[row], []).append(row)
    filled = fill_empty_splits(splits, *split)[label]
    return {
        name: np.array([rows_of[image].pop() for image in filled[name]], np.int64)
        for name in SPLITS
    }
