"""Reads a folder of bottlenecks without the images, whoever wrote it."""

from __future__ import annotations

import collections
import contextlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain_tools.errors import InputError, argument, did_you_mean
from retrain_tools.features.cache import (
    IMAGE_ENDS,
    Cache,
    DamagedBottleneckError,
    Identity,
    parse_bottleneck,
    the_naming,
)
from retrain_tools.features.extractor import Vector
from retrain_tools.features.manifest import manifest_path, read_manifest
from retrain_tools.images.folders import ImageFile
from retrain_tools.progress import progress
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

# The last extension counts: `1.jpg.png.txt` is the bottleneck of `1.jpg.png`.
_NAME = re.compile(rf"(?P<image>.+(?:{IMAGE_ENDS}))(?P<suffix>.*)\.txt", re.IGNORECASE | re.DOTALL)

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
    for file in folder.rglob("*.txt"):
        below = file.relative_to(folder)
        if any(part.startswith(".") for part in below.parts):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None:
            others += 1
            continue
        image = below.with_name(match["image"]).as_posix()
        by_suffix.setdefault(match["suffix"], []).append(ImageFile(image, image))
    if not by_suffix:
        raise InputError(f"No bottlenecks in {folder}: no file is called like IMAGE.jpg.txt.")
    if others:
        log.warning("not called like IMAGE.jpg.txt, and left out: %s in %s",
                    counted(others, "text file"), folder)  # fmt: skip
    return {suffix: sorted(images) for suffix, images in by_suffix.items()}


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
    files = [Cache(folder, suffix, 0).path(image) for image in images]
    vectors: list[Vector] = []
    for file in files:
        try:
            vectors.append(_read(file))
        except DamagedBottleneckError as error:
            raise InputError(f"{file} is damaged: {error}") from error
        if len(vectors[-1]) != len(vectors[0]):
            raise InputError(
                f"{file} has {len(vectors[-1])} values, and {files[0]} has {len(vectors[0])}; "
                "they were made by two graphs or from two tensors."
            )
    labels = [image.folder for image in images]
    return Bottlenecks(np.stack(vectors), labels, [image.relative for image in images])


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
        vectors: float32 [depth] for each image that has a good file.
        failed: why the others cannot be used, by the image's path.
        lengths: how many files have how many values.
    """

    vectors: dict[ImageFile, Vector]
    failed: dict[str, str]
    lengths: collections.Counter[int]


def read_sound_files(cache: Cache, images: Sequence[ImageFile]) -> SoundFiles:
    """Read the bottlenecks of images one by one; what is wrong with one is no other's trouble.

    Values are asked for by image, so a file that is left out moves no other into its place.

    Args:
        cache: the folder and naming. A depth of 0 stands for the one that most files have.
        images: those whose files are there.

    Raises:
        InputError: as many files have one number of values as another, and none is asked for.
    """
    read: dict[ImageFile, Vector] = {}
    failed: dict[str, str] = {}
    with progress(len(images), "bottlenecks") as advance:
        for image in images:
            try:
                read[image] = _read(cache.path(image))
            except DamagedBottleneckError as error:
                failed[image.path] = str(error)
            advance(1)
    lengths = collections.Counter(len(vector) for vector in read.values())
    depth = cache.depth or _usual_length(cache.folder, lengths)
    for image in [image for image, vector in read.items() if len(vector) != depth]:
        failed[image.path] = f"{len(read.pop(image))} values instead of {depth}"
    return SoundFiles(read, failed, lengths)


def _usual_length(folder: Path, lengths: collections.Counter[int]) -> int:
    first, *others = lengths.most_common() or [(0, 0)]
    if others and others[0][1] == first[1]:
        raise InputError(
            f"{folder} holds {first[1]} bottlenecks of {first[0]} values and as many of "
            f"{others[0][0]}: they were made by two graphs or from two tensors. Name the right one "
            f"with {argument('graph')}, or remove the others."
        )
    return first[0]


def _read(file: Path) -> Vector:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DamagedBottleneckError(f"cannot be read: {error.strerror}") from error
    if not text.strip():
        raise DamagedBottleneckError("an empty file")
    return parse_bottleneck(text)
