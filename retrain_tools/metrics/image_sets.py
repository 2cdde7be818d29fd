"""What is evaluated: images, batches of them, stored features, statistics; all as one thing."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.array_files import DAMAGE, StoredArray, open_npy, open_npz
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features.fetch import FetchedTensors, FetchOptions, fetch_tensors
from retrain_tools.features.outcome import OnError
from retrain_tools.features.read_features import is_features_file, read_features
from retrain_tools.images.batches import ARRAY, is_batch, read_batch
from retrain_tools.images.folders import find_images
from retrain_tools.metrics.image_facts import NO_FACTS, PIXELS, ImageFacts, image_facts
from retrain_tools.metrics.moments import Moments, Rows
from retrain_tools.metrics.network import CHANNELS, FEATURES, MAP, SPATIAL, Network
from retrain_tools.metrics.statistics_files import Statistics, read_statistics

Given = str | Path | npt.NDArray[Any]
"""What a set may be given as."""

_NAMED_SO = (FEATURES, "pool_3/_reshape:0", "pool_3", "bottleneck", "features", "feats")
_MAPS = (SPATIAL, f"{MAP}:0", MAP)
_KEYS = 10  # letters of a name's checksum: enough to tell apart what lies in one folder


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """One side of an evaluation.

    Attributes:
        name: what the user gave.
        kind: what it is, in words.
        rows: feature vectors, by FEATURES and SPATIAL; what a file of statistics lacks.
        moments: statistics that were given, by the same names; they count for more than `rows`.
        images: the image of each row; empty where nobody knows.
        facts: kinds of files, and sizes.
        is_run: whether the graph was run on it, so that its features are the graph's for certain.
        outcome: what became of its images where they were.
        statistics: the file they are from.
    """

    name: str
    kind: str
    rows: Mapping[str, Rows] = dataclasses.field(default_factory=dict)
    moments: Mapping[str, Moments] = dataclasses.field(default_factory=dict)
    images: Sequence[str] = ()
    facts: ImageFacts = NO_FACTS
    is_run: bool = False
    outcome: FetchedTensors | None = None
    statistics: tuple[Path, Statistics] | None = None

    @property
    def count(self) -> int | None:
        """How many images there are; None where a file of statistics does not say."""
        for rows in self.rows.values():
            return len(rows)
        return next((one.count for one in self.moments.values()), None)


@dataclasses.dataclass(frozen=True)
class Fetching:
    """How features are fetched for images. The fields are called as the scripts' flags.

    Attributes:
        feature_dir: the folder in which features are kept, a file for each set and graph.
        on_error: what to do about an image that cannot be used.
        max_failures: how many images may fail, or which part of them, before the job ends.
        running: how the graph is run.
    """

    feature_dir: str = "evaluated_features"
    on_error: OnError = "skip"
    max_failures: str | int | None = None
    running: RunSettings = DEFAULTS


def check_given(sets: Sequence[Given]) -> None:
    """Raise InputError if one of several sets is not there."""
    for given in sets:
        if not isinstance(given, np.ndarray):
            path = Path(given).expanduser()
            if not path.exists() and not Path(f"{path}.json").exists():
                raise InputError(f"No such file or folder: {path}")


def open_set(given: Given, network: Callable[[], Network], fetching: Fetching) -> ImageSet:
    """Open one side; features of images are fetched, or reused where they were fetched before.

    Args:
        given: a folder of images or of bottlenecks; an `.npz` with a batch of images (`arr_0`,
            uint8 [N, H, W, 3]), statistics (`mu`, `sigma`), or both; a file of features; or
            feature vectors, numbers [N, depth].
        network: opens the graph; called only for images.
        fetching: how.

    Raises:
        InputError: it is none of these (`check_given` comes before), it is damaged, or no image of
            it can be used.
    """
    if isinstance(given, np.ndarray):
        if given.ndim != 2 or given.dtype.kind not in "fiu":
            raise InputError(
                f"Features have to be numbers [N, depth], not {given.dtype} {list(given.shape)}; "
                "name a folder or a file for images."
            )
        return ImageSet("array", "features", {FEATURES: given})
    path = Path(given).expanduser()
    if path.is_dir():
        return _of_folder(path, str(given), network, fetching)
    names = set[str]()
    if path.suffix.lower() == ".npz":
        names = _names_in(path)
    statistics = read_statistics(path) if "mu" in names else None
    if ARRAY in names and is_batch(open_npz(path)[ARRAY]):
        images, size = read_batch(path.absolute())
        found = _fetched(path, str(given), images, network(), fetching)
        count = len(images) - len(found.outcome.failed if found.outcome else ())
        facts = ImageFacts({PIXELS: count}, {size: count})
        found = dataclasses.replace(found, kind="batch of images", facts=facts)
        if statistics is None:
            return found
        kind = "batch of images, with statistics"
        return dataclasses.replace(
            found, kind=kind, moments=statistics.moments, statistics=(path, statistics)
        )
    if statistics is not None:
        said = statistics.note.get("kinds")
        facts = ImageFacts(said, {}) if isinstance(said, dict) else NO_FACTS
        return ImageSet(
            str(given),
            "statistics",
            moments=statistics.moments,
            facts=facts,
            statistics=(path, statistics),
        )
    return _of_features(path, str(given))


def _names_in(path: Path) -> set[str]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return set(arrays.files)
    except DAMAGE as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _of_folder(
    path: Path, name: str, network: Callable[[], Network], fetching: Fetching
) -> ImageSet:
    try:
        images = [image.path for image in find_images(os.path.abspath(path))]  # noqa: PTH100
    except InputError:
        # No image in it: then it may hold bottlenecks.
        try:
            return _of_features(path, name)
        except InputError:
            pass
        raise
    found = _fetched(path, name, images, network(), fetching)
    return dataclasses.replace(found, kind="images", facts=image_facts(found.images))


def _fetched(
    path: Path, name: str, images: Sequence[str], network: Network, fetching: Fetching
) -> ImageSet:
    """Fetch into a file that is this set's and this graph's; rows of images that went are gone."""
    where = os.path.abspath(path)  # noqa: PTH100 - a link keeps its name, and so its images theirs
    key = "\n".join([where, network.fingerprint, fetching.running.computed_in, network.pooling])
    mark = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:_KEYS]
    output = Path(fetching.feature_dir).expanduser() / f"{path.stem or 'images'}-{mark}.npz"
    options = FetchOptions(
        str(output),
        network.pooling,
        overwrite=True,
        on_error=fetching.on_error,
        max_failures=fetching.max_failures,
        running=fetching.running,
    )
    fetched = fetch_tensors(network.frozen, network.tensors, images, options)
    arrays = open_npz(output)
    rows = {name: arrays[name].reshaped() for name in network.tensors}
    by_name = {str(image): image for image in images}
    there = [by_name[str(name)] for name in arrays["images"][:]]
    return ImageSet(name, "images", rows, images=there, is_run=True, outcome=fetched)


def _of_features(path: Path, name: str) -> ImageSet:
    columns, images = _columns(path)
    rows: dict[str, Rows] = {}
    for maps in _MAPS:
        if maps in columns:
            rows[SPATIAL] = _seven_channels(columns[maps])
            break
    vectors = {key: one for key, one in columns.items() if key not in _MAPS}
    chosen = next((key for key in _NAMED_SO if key in vectors), None)
    if chosen is None and len(vectors) == 1:
        chosen = next(iter(vectors))
    if chosen is None:
        raise InputError(
            f"{path} holds {', '.join(columns)}; the features have to be its only tensor, or "
            f"called {' or '.join(_NAMED_SO)}."
        )
    rows = {FEATURES: _as_vectors(vectors[chosen]), **rows}
    return ImageSet(name, "features", rows, images=images)


def _columns(path: Path) -> tuple[dict[str, Rows], list[str]]:
    """Return tensors and names of images; of NumPy's files nothing is read but the names."""
    try:
        if path.suffix.lower() == ".npz":
            arrays = open_npz(path)
            found = {key: one for key, one in arrays.items() if _are_features(one)}
            names = arrays.get("images")
            listed = [] if names is None or names.dtype.kind != "U" else names[:].tolist()
            if found:
                return dict(found), listed
        if path.suffix.lower() == ".npy" and path.is_file() and not Path(f"{path}.json").exists():
            one = open_npy(path)
            if _are_features(one):
                return {"features": one}, []
    except DAMAGE:
        pass  # what is wrong with it is told below
    if path.is_file() and not is_features_file(path):
        raise InputError(
            f"{path} is no set of images: name a folder of images, an .npz with a batch of them "
            f"({ARRAY!r}) or with statistics ('mu', 'sigma'), or a file of features."
        )
    read = read_features(path)
    return dict(read.values), read.images


def _are_features(array: StoredArray) -> bool:
    return array.dtype.kind in "fiu" and len(array.shape) > 1 and min(array.shape) > 0


def _as_vectors(rows: Rows) -> Rows:
    return rows.reshaped() if isinstance(rows, StoredArray) else rows.reshape(len(rows), -1)


def _seven_channels(rows: Rows) -> Rows:
    if len(rows.shape) == 4:  # the whole map
        values = np.asarray(rows[:])[..., :CHANNELS]
        return values.reshape(len(values), -1)
    return _as_vectors(rows)
