"""Fetches tensors for images into arrays, for those who work in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor, Vector
from retrain_tools.features.fetch import named_tensor
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError, ImageLike, named_images

_REASONS = 5  # of as many images an error says what is wrong with them


class Features(NamedTuple):
    """The values of tensors for images.

    Attributes:
        images: the images that have a row, in their order: paths as str, others as they were given.
        values: float32 [len(images), ...] by the names that were asked for.
        failed: why an image has no row, by its path, or `images[N]` for the N-th, from 0, that was
            given without one.
    """

    images: list[ImageLike]
    values: dict[str, npt.NDArray[np.float32]]
    failed: dict[str, str]


def fetch_in_memory(
    frozen: FrozenGraph,
    names: Sequence[str],
    images: Sequence[ImageLike],
    pooling: str | None = None,
    running: RunSettings = DEFAULTS,
) -> Features:
    """Fetch tensors, by the names of tensors, nodes or end points, for images.

    A path that is there twice counts once. The `pooling` makes vectors of values of rank above 2;
    None keeps their shape.

    Raises:
        InputError: a tensor is not there or not computed from images, its values are of other
            shapes for other images, or no image can be used.
    """
    if not names:
        raise InputError("No tensor is named that should be fetched.")
    if not images:
        raise InputError("No image is named to fetch tensors for.")
    tensors = {name: named_tensor(frozen, name) for name in names}
    given = named_images(images)
    rows: dict[str, list[Vector]] = {}
    failed: dict[str, str] = {}
    with Extractor(frozen, list(tensors.values()), pooling, running) as extractor:
        results = extractor.extract(given.values())
        for name, (_, result) in zip(given, results, strict=True):
            if isinstance(result, ImageError):
                failed[name] = str(result)
            else:
                rows[name] = result
    if not rows:
        reasons = "; ".join(f"{name} {why}" for name, why in list(failed.items())[:_REASONS])
        more = f"; and {len(failed) - _REASONS} more" if len(failed) > _REASONS else ""
        raise InputError(f"None of the {len(given)} images can be used: {reasons}{more}.")
    values = {}
    for name, column in zip(tensors, zip(*rows.values(), strict=True), strict=True):
        shapes = dict.fromkeys(str(list(value.shape)) for value in column)
        if len(shapes) > 1:
            raise InputError(
                f"{name!r} has not the same shape for every image: {', '.join(shapes)}; fetch it "
                "for one at a time, or with pooling."
            )
        values[name] = np.stack(column)
    return Features([given[name] for name in rows], values, failed)
