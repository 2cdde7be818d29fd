"""Reads a folder of bottlenecks as one matrix, whoever wrote it."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.features.cache import (
    IMAGE_ENDS,
    DamagedBottleneckError,
    parse_bottleneck,
    the_naming,
)
from retrain_tools.features.extractor import Vector
from retrain_tools.features.manifest import manifest_path, read_manifest

log = logging.getLogger(__name__)

_NAME = re.compile(rf"(?P<image>.+?(?:{IMAGE_ENDS}))(?P<suffix>.*)\.txt", re.IGNORECASE)


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
    if not folder.is_dir():
        raise InputError(f"No such folder: {folder}")
    by_suffix: dict[str, list[tuple[str, Path]]] = {}
    for file in sorted(folder.rglob("*.txt")):
        if match := _NAME.fullmatch(file.relative_to(folder).as_posix()):
            by_suffix.setdefault(match["suffix"], []).append((match["image"], file))
    if not by_suffix:
        raise InputError(f"No bottlenecks in {folder}: no file is called like IMAGE.jpg.txt.")
    if bottleneck_suffix is None:
        bottleneck_suffix = the_naming(folder, by_suffix)
    elif bottleneck_suffix not in by_suffix:
        hint = did_you_mean(bottleneck_suffix, by_suffix)
        raise InputError(f"No bottlenecks of naming {bottleneck_suffix!r} in {folder}.{hint}")
    found = by_suffix[bottleneck_suffix]
    others = made_by_others(folder, bottleneck_suffix, (image for image, _ in found))
    found = [pair for pair in found if pair[0] not in others]
    vectors: list[Vector] = []
    for _, file in found:
        try:
            vectors.append(parse_bottleneck(file.read_bytes()))
        except DamagedBottleneckError as error:
            raise InputError(f"{file} is damaged: {error}") from error
        if len(vectors[-1]) != len(vectors[0]):
            raise InputError(
                f"{file} has {len(vectors[-1])} values, and {found[0][1]} has {len(vectors[0])}; "
                "they were made by two graphs or from two tensors."
            )
    images = [image for image, _ in found]
    labels = [image.partition("/")[0] if "/" in image else "" for image in images]
    return Bottlenecks(np.stack(vectors), labels, images)


def made_by_others(folder: Path, suffix: str, images: Iterable[str]) -> set[str]:
    """Return those of the images whose bottlenecks another graph computed than the others.

    A warning counts them; or says that they cannot be told, where nobody checked the others.
    """
    manifest = None
    with contextlib.suppress(InputError):  # a file of another program
        manifest = read_manifest(folder, suffix)
    if manifest is None or not manifest.computed:
        return set()
    path = manifest_path(folder, suffix)
    if manifest.identity is None:
        log.warning(
            "the bottlenecks in %s may be of several graphs: some were taken unchecked, others "
            "computed (%s)", folder, path,
        )  # fmt: skip
        return set()
    others = set(images).intersection(manifest.others(manifest.identity))
    if others:
        log.warning(
            "%d bottlenecks in %s were computed by another graph than the others (%s) and are "
            "left out", len(others), folder, path,
        )  # fmt: skip
    return others
