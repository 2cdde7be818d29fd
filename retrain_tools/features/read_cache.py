"""Reads a folder of bottlenecks without the images, whoever wrote it."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import operator
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features.cache import (
    IMAGE_ENDS,
    Cache,
    DamagedBottleneckError,
    Identity,
    Vector,
    the_naming,
)
from retrain_tools.features.cache_formats import AnyCache, open_cache
from retrain_tools.features.manifest import manifest_path, read_manifest
from retrain_tools.features.matrix_cache import MatrixCache, matrix_namings
from retrain_tools.features.packed import Loaded, load_texts, pack
from retrain_tools.images.folders import ImageFile
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

# The last extension counts: `1.jpg.png.txt` is the bottleneck of `1.jpg.png`.
_NAME = re.compile(rf"(?P<image>.+(?:{IMAGE_ENDS}))(?P<suffix>.*)\.txt", re.IGNORECASE | re.DOTALL)

# What `fetch_tensors` writes beside an array, and fine-tuning with it into a folder of bottlenecks.
_OF_ARRAYS = (".images.txt", ".labels.txt")

ByNaming = Mapping[str, list[ImageFile]]
"""The images that a folder has bottlenecks of, by the naming of these."""


class Bottlenecks(NamedTuple):
    """The bottlenecks of a folder.

    Attributes:
        vectors: float32 [N, depth].
        labels: the topmost folder of each row; '' in a flat folder.
        images: the image of each row, by its path below the folder.
    """

    vectors: Vector
    labels: list[str]
    images: list[str]


def find_bottlenecks(folder: Path) -> ByNaming:
    """Return the images that a folder has bottlenecks of, sorted.

    An image's path is only what lies below the folder: where it was, the folder does not say. As
    with images, names that start with a dot are left out.

    Raises:
        InputError: there is no such folder, or no bottleneck in it.
    """
    if not folder.is_dir():
        raise InputError(f"No such folder: {folder}")
    by_suffix: dict[str, list[ImageFile]] = {}
    others = 0
    for below, name in _text_files(folder):
        match = _NAME.fullmatch(name)
        if match is None:
            others += not name.endswith(_OF_ARRAYS)
            continue
        name, suffix = match.groups()
        image = below + name
        by_suffix.setdefault(suffix, []).append(ImageFile(image, image))
    for suffix in matrix_namings(folder):
        if suffix in by_suffix:
            there = counted(len(by_suffix[suffix]), "text file")
            log.warning("of naming %r, of which there is a matrix, and left out: %s in %s",
                        suffix, there, folder)  # fmt: skip
        by_suffix[suffix] = MatrixCache(folder, suffix, 0).images()
    by_path = operator.attrgetter("path")
    found = {suffix: sorted(i, key=by_path) for suffix, i in by_suffix.items() if i}
    if not found:
        raise InputError(f"No bottlenecks in {folder}: no file is called like IMAGE.jpg.txt.")
    if others:
        log.warning("not called like IMAGE.jpg.txt, and left out: %s in %s",
                    counted(others, "text file"), folder)  # fmt: skip
    return found


def _text_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the folder below, '' or with a slash behind, and the name of each text file."""
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(where).relative_to(folder).as_posix()
        below = "" if below == "." else f"{below}/"
        for name in names:
            if name.endswith(".txt") and not name.startswith("."):
                yield below, name


def choose_naming(
    folder: Path, found: ByNaming, wanted: str | None, likely: Iterable[str] = ()
) -> str:
    """Return the naming to read of those `found` in a folder.

    It is the one that is `wanted`, else the only one, else the only one that is also `likely`.

    Raises:
        InputError: the one that is wanted is not there, or there are several.
    """
    if wanted is not None:
        if wanted not in found:
            hint = did_you_mean(wanted, found)
            there = "" if hint else f" There is {', '.join(map(repr, sorted(found)))}."
            raise InputError(f"No bottlenecks of naming {wanted!r} in {folder}.{hint}{there}")
        return wanted
    both = set(likely).intersection(found)
    return the_naming(folder, both if len(both) == 1 else found)


def read_bottlenecks(folder: str | Path, bottleneck_suffix: str | None = None) -> Bottlenecks:
    """Return all bottlenecks in a folder that `bottlenecks` or a retrain.py of any time filled.

    Those that the manifest names as computed by another graph than the rest are left out, with a
    warning.

    Args:
        folder: with one folder per class, or flat.
        bottleneck_suffix: which naming to read, IMAGE<suffix>.txt; None for the only one.

    Raises:
        InputError: there is no bottleneck, there are several namings, or a file is damaged or of
            another depth than the others.

    Example:
        >>> import retrain_tools as rt
        >>> found = rt.read_bottlenecks("bottlenecks")
        >>> len(found.vectors) == len(found.images), sorted(set(found.labels))
        (True, ['disc', 'square'])
    """
    folder = Path(folder)
    by_suffix = find_bottlenecks(folder)
    suffix = choose_naming(folder, by_suffix, bottleneck_suffix)
    images = by_suffix[suffix]
    others = made_by_others(folder, suffix, (image.relative for image in images))
    images = [image for image in images if image.relative not in others]
    return _all_of(open_cache(folder, suffix, 0), images)


def _all_of(cache: AnyCache, images: Sequence[ImageFile]) -> Bottlenecks:
    """Return the bottlenecks of images, every one of them; see `read_bottlenecks`."""
    if isinstance(cache, Cache):
        cache = dataclasses.replace(cache, depth=_first_length(cache, images))
    vectors = np.zeros((len(images), cache.depth), np.float32)
    if isinstance(cache, Cache):
        loaded = load_texts(cache, images, vectors, _read)
    else:
        loaded = cache.load(images, vectors)
    if loaded.wrong:
        place, error = min(loaded.wrong.items(), key=lambda wrong: wrong[0])
        file = cache.place(images[place])
        if error.depth is None:
            raise InputError(f"{file} is damaged: {error}") from error
        raise InputError(
            f"{file} has {error.depth} values, and {cache.place(images[0])} has {cache.depth}; "
            "they were made by two graphs or from two tensors."
        )
    labels = [image.folder for image in images]
    return Bottlenecks(vectors, labels, [image.relative for image in images])


def made_by_others(
    folder: Path, suffix: str, images: Iterable[str], wanted: Identity | None = None
) -> set[str]:
    """Return those of the images whose bottlenecks another graph computed than the others.

    A warning counts them; or says that they cannot be told, where nobody checked the others. With
    `wanted`, they are those that another graph than this one is known to have computed.
    """
    manifest = None
    with contextlib.suppress(InputError):  # a file of another program
        manifest = read_manifest(folder, suffix)
    if manifest is None or not manifest.computed:
        return set()
    path, wanted = manifest_path(folder, suffix), wanted or manifest.identity
    if wanted is None:
        log.warning(
            "the bottlenecks in %s may be of several graphs: some were taken unchecked, others "
            "computed (%s)", folder, path,
        )  # fmt: skip
        return set()
    others = set(images).intersection(manifest.others(wanted))
    if others:
        log.warning(
            "%d bottlenecks in %s were computed by another graph than the others (%s) and are "
            "left out", len(others), folder, path,
        )  # fmt: skip
    return others


class SoundFiles(NamedTuple):
    """The bottlenecks of a folder that can be used.

    Attributes:
        images: those that have good values.
        vectors: float32 [N, depth], theirs.
        failed: why the others cannot be used, by the image's path.
        lengths: how many files have how many values.
    """

    images: list[ImageFile]
    vectors: Vector
    failed: dict[str, str]
    lengths: collections.Counter[int]


def read_sound_files(
    cache: AnyCache, images: Sequence[ImageFile], keep_packed: bool = False
) -> SoundFiles:
    """Read the bottlenecks of images; what is wrong with one is no other's trouble.

    Args:
        cache: the folder and naming. A depth of 0 stands for the one that most files have.
        images: those whose files are there.
        keep_packed: keep a packed copy of text files for the next time.

    Raises:
        InputError: as many files have one number of values as another, and none is asked for.
    """
    if isinstance(cache, MatrixCache):
        vectors = np.zeros((len(images), cache.depth), np.float32)
        loaded = cache.load(images, vectors)
    else:
        cache, vectors, loaded = _read_files(cache, images)
        if keep_packed:
            pack(cache, images, vectors, loaded)
    failed = {images[place].path: str(error) for place, error in sorted(loaded.wrong.items())}
    lengths = _lengths(loaded, cache.depth)
    good = [image for image, is_good in zip(images, loaded.good, strict=True) if is_good]
    if len(good) < len(images):
        _close_up(vectors, loaded.good)
    return SoundFiles(good, vectors[: len(good)], failed, lengths)


def _read_files(cache: Cache, images: Sequence[ImageFile]) -> tuple[Cache, Vector, Loaded]:
    """Read text files; where the depth is not given, try that of the first good one at first."""
    depth = cache.depth or _first_length(cache, images)
    while True:
        cache_of_depth = dataclasses.replace(cache, depth=depth)
        vectors = np.zeros((len(images), depth), np.float32)
        loaded = load_texts(cache_of_depth, images, vectors, _read)
        usual = cache.depth or _usual_length(cache.folder, _lengths(loaded, depth))
        if usual == depth:
            return cache_of_depth, vectors, loaded
        depth = usual


def _first_length(cache: Cache, images: Sequence[ImageFile]) -> int:
    """Return the length of the first file that is sound; 0 where none is."""
    for image in images:
        try:
            _read(cache, image)
        except DamagedBottleneckError as error:
            if error.depth is not None:
                return error.depth
    return 0


def _lengths(loaded: Loaded, depth: int) -> collections.Counter[int]:
    others = (error.depth for error in loaded.wrong.values() if error.depth is not None)
    return collections.Counter({depth: sum(loaded.good)}) + collections.Counter(others)


def _close_up(vectors: Vector, good: Sequence[bool]) -> None:
    """Move the good rows to the front, in their order, without a second matrix."""
    for place, row in enumerate(np.flatnonzero(good)):
        if place != row:
            vectors[place] = vectors[row]


def _usual_length(folder: Path, lengths: collections.Counter[int]) -> int:
    first, *others = lengths.most_common() or [(0, 0)]
    if others and others[0][1] == first[1]:
        raise InputError(
            f"{folder} holds {first[1]} bottlenecks of {first[0]} values and as many of "
            f"{others[0][0]}: they were made by two graphs or from two tensors. Name the right one "
            f"with {argument('graph')}, or remove the others."
        )
    return first[0]


def _read(cache: Cache, image: ImageFile) -> Vector:
    """Read a file that should be there.

    Raises:
        DamagedBottleneckError: it is not, cannot be read, or is not `depth` finite numbers.
    """
    vector = cache.read(image)
    if vector is None:
        raise DamagedBottleneckError("cannot be read: it is not there any more")
    return vector
