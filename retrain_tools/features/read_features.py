"""Reads features from any kind of file that fetch_tensors writes, whoever wrote it, and folders."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.extras import import_extra
from retrain_tools.features.nested import as_columns
from retrain_tools.features.parts.reading import are_parts, read_parts
from retrain_tools.features.read_cache import read_bottlenecks
from retrain_tools.features.stores import DAMAGE, FORMATS
from retrain_tools.features.stores.safe_pickle import RefusedError
from retrain_tools.files import json_of
from retrain_tools.images.decode import EXTENSIONS

log = logging.getLogger(__name__)

BOTTLENECK = "bottleneck"
"""The one column of a folder of bottlenecks."""

FEATURES = "features"
"""The name of a column that has none in its file."""

_NAMES_OF_IMAGES = (
    *("images", "image", "filenames", "filename", "file_names", "file_name", "files", "file"),
    *("paths", "path", "image_paths", "image_path", "img_paths", "names", "name", "fnames"),
    *("image_names", "image_name", "ids", "image_ids", "keys", "__index_level_0__"),
)
_NAMES_OF_LABELS = (
    *("labels", "label", "classes", "class", "class_names", "y", "target", "targets", "categories"),
    *("category", "lbls"),
)
_ENDINGS = {".pickle": ".pkl", ".pk": ".pkl", ".hdf": ".h5"}  # others than ours

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class StoredFeatures:
    """Features of a file or folder.

    Attributes:
        values: float32 [N, ...] by the names of the tensors.
        images: the image of each row, as the file names it; empty where it names none.
        labels: the label of each row, '' for an image without; empty where the file has none.
        path: what was read.
    """

    values: Mapping[str, Array]
    images: list[str]
    labels: list[str]
    path: Path


def read_features(
    file: str | Path,
    tensors: str | Sequence[str] | None = None,
    bottleneck_suffix: str | None = None,
) -> StoredFeatures:
    """Read features that fetch_tensors or somebody else wrote. Nothing in the file is run.

    Read are `.npz`, `.npy`, `.pkl`, `.parquet` and `.h5` files, folders of bottlenecks, and the
    parts of `fetch_many`. Names
    of images and labels are found by what people call them (`images`, `filenames`, `paths`;
    `labels`, `y`), and in the text files that fetch_tensors puts beside a `.npy`. A pickle may be
    {path: feature}, {path: {tensor: feature}}, an array, (names, array) or a dict of arrays; one
    that names anything but dicts, lists and NumPy arrays is refused. What has no name of its own
    is called `features`, and the column of a folder `bottleneck`.

    Args:
        file: the file, or folder of bottlenecks.
        tensors: the columns to take, by their names; None for all.
        bottleneck_suffix: of a folder: see `read_bottlenecks`.

    Returns:
        The columns as float32 [N, ...], whatever number type the file has.

    Raises:
        InputError: there is no such file, it is of no such kind, damaged, would take far more
            memory than it has bytes, or holds no features; its arrays have not one number of rows;
            or it has no column of a name.

    Example:
        >>> import numpy as np, retrain_tools as rt
        >>> np.savez("found.npz", pool=np.zeros((2, 5)), filenames=["1.jpg", "2.jpg"])
        >>> found = rt.read_features("found.npz")
        >>> found.values["pool"].shape, found.images
        ((2, 5), ['1.jpg', '2.jpg'])
    """
    path = Path(file).expanduser()
    if path.is_dir() and are_parts(str(path)):
        found = _of_parts(path)
    elif path.is_dir():
        read = read_bottlenecks(path, bottleneck_suffix)
        labels = read.labels if any(read.labels) else []
        found = StoredFeatures({BOTTLENECK: read.vectors}, read.images, labels, path)
    else:
        found = _of_file(path)
    if tensors is None:
        return _of_one_length(found)
    names = [tensors] if isinstance(tensors, str) else list(tensors)
    for name in names:
        if name not in found.values:
            there = ", ".join(found.values)
            hint = did_you_mean(name, found.values) or f" It has {there}."
            raise InputError(f"No column {name!r} in {path}.{hint}")
    return _of_one_length(
        dataclasses.replace(found, values={name: found.values[name] for name in names})
    )


def _of_parts(path: Path) -> StoredFeatures:
    """Put the parts of `fetch_many` together."""
    images, labels = list[str](), list[str]()
    pieces: dict[str, list[Array]] = {}
    for some, theirs, values in read_parts(path):
        images += some
        labels += theirs
        for name, rows in values.items():
            pieces.setdefault(name, []).append(rows)
    columns = {name: np.concatenate(some) for name, some in pieces.items()}
    return StoredFeatures(columns, images, labels if any(labels) else [], path)


def is_features_file(path: Path) -> bool:
    """Tell by the end of its name whether a file is one of features."""
    return _ending(path) in FORMATS


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    return _ENDINGS.get(ending, ending)


def _of_file(path: Path) -> StoredFeatures:
    if not is_features_file(path):
        kinds = ", ".join(FORMATS)
        raise InputError(f"{path} is no file of features: its name ends in none of {kinds}.")
    if not path.exists() and not (_ending(path) == ".npy" and Path(f"{path}.json").exists()):
        raise InputError(f"No such file: {path}")
    form = FORMATS[_ending(path)]
    if form.package:
        import_extra(form.package, str(path))
    try:
        contents = dict(form.contents(path))
        if "" in contents:
            contents |= as_columns(contents.pop(""), _column_name(path), contents)
        return _sorted_out(contents, path)
    except RefusedError as error:
        raise InputError(
            f"{path} is not read: it {error}. Of a pickle only dicts, lists, texts, numbers and "
            "NumPy arrays are taken, and nothing in it is run."
        ) from error
    except DAMAGE as error:
        raise InputError(f"{path} cannot be read as features: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _column_name(path: Path) -> str:
    """Return what the record of fetch_tensors calls the only tensor of a file."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        tensors = list(json_of(Path(f"{path}.json").read_bytes())["tensors"])
        if len(tensors) == 1:
            return str(tensors[0])
    return FEATURES


def _sorted_out(contents: Mapping[str, Any], path: Path) -> StoredFeatures:
    """Tell features, names of images and labels apart."""
    arrays = {name: np.asarray(value) for name, value in contents.items()}
    texts = {name: array for name, array in arrays.items() if array.dtype.kind in "US"}
    lists = {name: _as_texts(array) for name, array in texts.items() if array.ndim == 1}
    images = _called(lists, _NAMES_OF_IMAGES)
    if images is None:  # by what they look like
        images = next((name for name, some in lists.items() if _are_images(some)), None)
    named_so = {n: a for n, a in arrays.items() if a.ndim == 1 and a.dtype.kind in "USiub"}
    named_so.pop(images or "", None)
    labels = _called(named_so, _NAMES_OF_LABELS)
    columns = {
        name: array.astype(np.float32, copy=False)
        for name, array in arrays.items()
        if name != labels and array.ndim and array.dtype.kind in "fiu"
    }
    others = arrays.keys() - columns.keys() - {images, labels}
    if others:
        log.warning("%s: no features, and left out: %s", path, ", ".join(sorted(others)))
    if not columns:
        raise InputError(f"{path} holds no features: no array of numbers with a row per image.")
    columns = _wide(columns)
    found_labels = _as_texts(named_so[labels]) if labels else []
    return StoredFeatures(columns, lists[images] if images else [], found_labels, path)


def _called(names: Mapping[str, Any], known: Sequence[str]) -> str | None:
    """Return the name that is the first of those known, in any capitalisation."""
    by_lower = {name.rpartition("/")[2].lower(): name for name in reversed(list(names))}
    return next((by_lower[name] for name in known if name in by_lower), None)


def _are_images(texts: Sequence[str]) -> bool:
    return bool(texts) and all(text.lower().endswith(EXTENSIONS) for text in texts)


def _as_texts(array: npt.NDArray[Any]) -> list[str]:
    if array.dtype.kind == "S":  # of Python 2, or of HDF5
        return [os.fsdecode(text) for text in array.tolist()]
    return [str(text) for text in array.tolist()]


def _wide(columns: dict[str, Array]) -> dict[str, Array]:
    """Make one column of many that hold one number for each image: a table of plain numbers."""
    plain = {name: array for name, array in columns.items() if array.ndim == 1}
    lengths = {len(array) for array in plain.values()}
    if len(plain) < 2 or len(plain) < len(columns) or len(lengths) > 1:
        return columns
    return {FEATURES: np.stack(list(plain.values()), axis=1)}


def _of_one_length(found: StoredFeatures) -> StoredFeatures:
    """Return the features if every row is of one image.

    Raises:
        InputError: columns, names and labels have not as many rows.
    """
    lengths = {name: len(array) for name, array in found.values.items()}
    usual = len(found.images) or Counter(lengths.values()).most_common(1)[0][0]
    if set(lengths.values()) != {usual}:
        said = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
        names = f", and {usual} names of images" if found.images else ""
        raise InputError(
            f"{found.path} holds arrays of several numbers of rows: {said}{names}. Name those that "
            f"belong together with {argument('tensors')}."
        )
    if not usual:
        raise InputError(f"{found.path} has no rows.")
    if len(found.labels) not in (0, usual):
        log.warning("%s: %d labels for %d rows, which are left out",
                    found.path, len(found.labels), usual)  # fmt: skip
        return dataclasses.replace(found, labels=[])
    return found
