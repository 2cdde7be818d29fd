"""Bottlenecks of randomly distorted pictures, for training; they are never cached."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from retrain_tools.features.cache import Vector
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fill import CacheOptions
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.images.distort import Distortions, Draw, crop_and_light, draw
from retrain_tools.quiet_tensorflow import tf


class DistortedPictures(contextlib.AbstractContextManager["DistortedPictures"]):
    """A graph ready to run on distorted pictures; it is opened when it is first needed."""

    def __init__(self, frozen: FrozenGraph, wanted: Distortions, options: CacheOptions) -> None:
        """Remember what to do; nothing is opened yet."""
        self._frozen, self._wanted, self._options = frozen, wanted, options
        self._size = frozen.spec.image_size
        self._opened = contextlib.ExitStack()
        self._extractor: Extractor | None = None

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def bottlenecks(
        self, paths: Sequence[str], rng: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        """Return float32 [N, depth] for picture files, each distorted in its own random way.

        Raises:
            PictureError: a file cannot be decoded any more.
            InputError: the graph's picture side has no place for a resized picture.
        """
        if self._extractor is None:
            tensor = self._frozen.spec.bottleneck
            new = Extractor(self._frozen, [tensor], self._options.pooling, self._options.max_pixels)
            self._extractor = self._opened.enter_context(new)
            self._resize = self._opened.enter_context(_resizer())
        draws = [draw(rng, self._wanted, self._size) for _ in paths]
        with ThreadPoolExecutor() as workers:
            pixels = list(workers.map(self._distort, paths, draws))
        return self._extractor.run_each(pixels)[0]

    def _distort(self, path: str, numbers: Draw) -> Vector:
        assert self._extractor is not None  # noqa: S101 - for mypy
        picture = self._extractor.decode(path).astype(np.float32)
        resized = self._resize(picture[np.newaxis], numbers.precrop)[0]
        return self._extractor.scale(crop_and_light(resized, numbers, self._size))


@contextlib.contextmanager
def _resizer() -> Iterator[Callable[..., Vector]]:
    """Yield a function (float32 [1, H, W, 3], (h, w)) -> [1, h, w, 3], as TensorFlow 1 resizes."""
    graph = tf.Graph()
    with graph.as_default():
        picture = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3])
        size = tf.compat.v1.placeholder(tf.int32, [2])
        resized = tf.raw_ops.ResizeBilinear(images=picture, size=size)
    with tf.compat.v1.Session(graph=graph) as session:
        yield session.make_callable(resized, [picture, size])
