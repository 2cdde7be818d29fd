"""Bottlenecks of randomly distorted images, for training; they are never cached."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.features.cache import Vector
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fill import CacheOptions
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.images.decode import ImageError
from retrain_tools.images.distort import Distortions, Draw, crop_and_light, draw
from retrain_tools.quiet_tensorflow import tf


class DistortedImages(contextlib.AbstractContextManager["DistortedImages"]):
    """A graph ready to run on distorted images; it is opened when it is first needed."""

    def __init__(self, frozen: FrozenGraph, wanted: Distortions, options: CacheOptions) -> None:
        """Remember what to do; nothing is opened yet.

        Raises:
            InputError: the graph's image side has no place for a resized image.
        """
        spec = frozen.spec
        if wanted.any and spec.encoded_input is not None and spec.resized is None:
            raise InputError(
                f"Distortions enter behind the one node that resizes images, which {frozen.path} "
                "does not have; train without them."
            )
        self._frozen, self._wanted, self._options = frozen, wanted, options
        self._size = frozen.spec.image_size
        self._opened = contextlib.ExitStack()
        self._extractor: Extractor | None = None

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def bottlenecks(
        self, paths: Sequence[str], rng: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        """Return float32 [N, depth] for image files, each distorted in its own random way.

        Raises:
            InputError: a file cannot be decoded any more.
        """
        if self._extractor is None:
            tensor = self._frozen.spec.bottleneck
            new = Extractor(self._frozen, [tensor], self._options.pooling, self._options.max_pixels)
            self._extractor = self._opened.enter_context(new)
            self._resize = self._opened.enter_context(_resizer())
        draws = [draw(rng, self._wanted, self._size) for _ in paths]
        size = self._extractor.batch_size
        starts = range(0, len(paths), size)
        with ThreadPoolExecutor(os.cpu_count()) as workers:
            parts = workers.map(
                partial(self._run, self._extractor),
                [paths[i : i + size] for i in starts],
                [draws[i : i + size] for i in starts],
            )
            return np.concatenate(list(parts))

    def _run(self, extractor: Extractor, paths: Sequence[str], draws: Sequence[Draw]) -> Vector:
        pixels = [self._distort(extractor, *pair) for pair in zip(paths, draws, strict=True)]
        return extractor.run(np.stack(pixels))[0]

    def _distort(self, extractor: Extractor, path: str, numbers: Draw) -> Vector:
        try:
            image = extractor.decode(path).astype(np.float32)
        except ImageError as error:
            raise InputError(
                f"{path} {error}. It has a cached bottleneck, but distortions take the image "
                "itself; remove it, or train without distortions."
            ) from error
        resized = self._resize(image[np.newaxis], numbers.precrop)[0]
        return extractor.scale(crop_and_light(resized, numbers, self._size))


@contextlib.contextmanager
def _resizer() -> Iterator[Callable[..., Vector]]:
    """Yield a function (float32 [1, H, W, 3], (h, w)) -> [1, h, w, 3], as TensorFlow 1 resizes."""
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3])
        size = tf.compat.v1.placeholder(tf.int32, [2])
        resized = tf.raw_ops.ResizeBilinear(images=image, size=size)
    # Not `with Session(…)`, which would make it the caller's default session.
    with contextlib.closing(tf.compat.v1.Session(graph=graph)) as session:
        yield session.make_callable(resized, [image, size])
