"""Features of images by any pipeline; each set of pixels goes through the network once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.explanation import Runnable
from retrain_tools.explaining.finishing import pooled
from retrain_tools.explaining.network import (
    Network,
    NotPossibleError,
    Way,
    network_input,
    scaling_part,
)
from retrain_tools.explaining.pipeline import Pipeline
from retrain_tools.explaining.pixels import Photos
from retrain_tools.explaining.scaling import Affine, fit_affine, scaled
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.spec import FrozenGraph

Floats = npt.NDArray[np.float32]

_SAME_PIXELS = 0.02  # mean difference, in levels, of pixels that count as made in the same way
_FITTED_PIXELS = 4000  # of each image
_FITTED_IMAGES = 3
# Ways in which image sides are known to be made, the most usual first.
_IMAGE_SIDES: tuple[Mapping[str, str], ...] = (
    {},
    {"crop": "central_875"},
    {"crop": "vgg"},
    {"decoder": "accurate", "resize": "pillow_bilinear"},
    {"decoder": "accurate", "resize": "pillow_nearest"},
    {"resize": "half_pixel_bilinear"},
    {"decoder": "accurate"},
    {"decoder": "accurate", "resize": "half_pixel_bilinear"},
    {"decoder": "accurate", "resize": "pillow_bicubic"},
    {"decoder": "accurate", "resize": "pillow_lanczos"},
    {"resize": "pillow_bilinear"},
    {"resize": "pillow_nearest"},
    {"resize": "antialias_bilinear"},
    {"resize": "legacy_nearest"},
    {"resize": "half_pixel_nearest"},
)


class OwnSide(NamedTuple):
    """How a graph itself prepares images.

    Attributes:
        pipeline: the pipeline that gives its pixels; its resizing is `own` where none does.
        scaling: what its pixels of 0 to 255 are multiplied by and shifted before the network.
        entry: the tensor where they then enter.
    """

    pipeline: Pipeline
    scaling: Affine
    entry: str


def find_own_side(runnable: Runnable, paths: Sequence[str]) -> OwnSide:
    """Find the pipeline that prepares images as a graph's own image side does.

    The pixels of some images are made by the graph, and by each pipeline that is usual; the graph's
    scaling is what is left between them.
    """
    frozen = runnable.frozen
    height, width = frozen.spec.image_size
    start = Pipeline(
        size=f"{height}x{width}", tensor=runnable.tensor, pooling=runnable.pooling or "none"
    )
    entry = network_input(frozen)
    paths = paths[:_FITTED_IMAGES]
    with contextlib.ExitStack() as opened:
        prepare = _own_preparation(frozen, entry, opened)
        own = np.stack([prepare(path) for path in paths]).reshape(len(paths), -1, 3)
    photos = Photos(paths)
    found: list[tuple[float, Pipeline, Affine]] = []
    for changes in _IMAGE_SIDES:
        pipeline = start
        for slot, value in changes.items():
            pipeline = pipeline.with_value(slot, value)
        made = [photos.pixels(index, pipeline) for index in range(len(paths))]
        levels = np.stack(made).reshape(len(paths), -1, 3)
        step = max(1, levels.shape[1] // _FITTED_PIXELS)
        affine, error = fit_affine(levels[:, ::step].reshape(-1, 3), own[:, ::step].reshape(-1, 3))
        found.append((error, pipeline, affine))
        if error < _SAME_PIXELS:
            return OwnSide(pipeline, affine, entry)
    _, _, affine = min(found, key=lambda one: one[0])
    opaque = start.with_value("resize", "own").with_value("decoder", "own")
    return OwnSide(opaque, affine, entry)


def _own_preparation(
    frozen: FrozenGraph, entry: str, opened: contextlib.ExitStack
) -> Callable[[str], Floats]:
    """Return what makes of an image what enters the network, by the graph's own nodes."""
    side = opened.enter_context(ImagePreparation(frozen))
    part = scaling_part(frozen, entry)
    if part is None:
        return side.prepare
    opened.enter_context(part)
    return lambda path: part.run(side.prepare(path)[np.newaxis])[0][0]


class Runs(contextlib.AbstractContextManager["Runs"]):
    """Features of images by pipelines. Safe to use from several threads; close it after use."""

    def __init__(
        self, frozen: FrozenGraph, own: OwnSide, paths: Sequence[str], tensors: Sequence[str]
    ) -> None:
        """Take the graph, how it prepares images itself, the images, and what to fetch at once."""
        self._own, self._count = own, len(paths)
        self._closing = contextlib.ExitStack()
        self._network = self._closing.enter_context(Network(frozen, own.entry, tensors))
        by_graph = None
        if own.pipeline.resize == "own":
            prepare = _own_preparation(frozen, own.entry, self._closing)
            by_graph = lambda path: own.scaling.undo(prepare(path))  # noqa: E731
        self._photos = Photos(paths, by_graph)

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def prepared(self, row: int, pipeline: Pipeline) -> Floats:
        """Return what enters the network for an image: float32 [h, w, 3]."""
        pixels = self._photos.pixels(row, pipeline)
        return scaled(pixels, pipeline.scale, pipeline.channels, self._own.scaling)

    def key(self, rows: Sequence[int], pipeline: Pipeline) -> str:
        """Return what is the same for pipelines that give the same features for these images."""
        digest = hashlib.blake2b(digest_size=16)
        for row in rows:
            some = self.prepared(row, pipeline)[::3, ::3]  # a ninth of the pixels tells
            digest.update((some + np.float32(0)).tobytes())  # which makes 0 of -0
        p = pipeline
        return f"{digest.hexdigest()} {p.size} {p.network} {p.precision} {p.tensor} {p.pooling}"

    def features(self, rows: Sequence[int], pipeline: Pipeline) -> Floats:
        """Return the features of some images, float32 [n, ...], pooled as the pipeline says.

        Raises:
            NotPossibleError: the network does not run in this way.
        """
        [values] = self.tensors(rows, pipeline, [pipeline.tensor])
        if pipeline.pooling != "none" and values.ndim != 4:
            raise NotPossibleError(f"a tensor of shape {values.shape} cannot be pooled")
        return pooled(values, pipeline.pooling)

    def tensors(
        self, rows: Sequence[int], pipeline: Pipeline, names: Sequence[str]
    ) -> list[Floats]:
        """Return several tensors of some images, not pooled: float32 [n, ...] each.

        Raises:
            NotPossibleError: the network does not run in this way.
        """
        way = Way(pipeline.sides, pipeline.network, pipeline.precision)
        batch = way.training_batch()
        if batch is None:
            groups = [rows[start : start + 4] for start in range(0, len(rows), 4)]
            parts = [self._run(group, pipeline, way, names) for group in groups]
            return [np.concatenate(values) for values in zip(*parts, strict=True)]
        # With all the images that were in the same batch.
        together: dict[int, Sequence[Floats]] = {}
        for start in sorted({row // batch * batch for row in rows}):
            group = range(start, min(start + batch, self._count))
            values = self._run(group, pipeline, way, names)
            together.update(zip(group, zip(*values, strict=True), strict=True))
        picked = zip(*(together[row] for row in rows), strict=True)
        return [np.stack(values) for values in picked]

    def _run(
        self, rows: Sequence[int], pipeline: Pipeline, way: Way, names: Sequence[str]
    ) -> list[Floats]:
        pixels = np.stack([self.prepared(row, pipeline) for row in rows])
        return self._network.run(pixels, way, names)
