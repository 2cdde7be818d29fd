"""Bottlenecks of randomly distorted images, for training; they are never cached."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.session import session_on
from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fill import CacheOptions
from retrain_tools.features.image_side import ImagePreparation, Prepared
from retrain_tools.graphdef.spec import FrozenGraph
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
            tensor, options = self._frozen.spec.bottleneck, self._options
            new = Extractor(self._frozen, [tensor], options.pooling, options.max_image_pixels)
            self._extractor = self._opened.enter_context(new)
            self._resize = self._opened.enter_context(_resizer())
        drawn = [(path, draw(rng, self._wanted, self._size)) for path in paths]
        prepare = partial(self._distort, self._extractor.image_side)
        rows = []
        for (path, _), result in self._extractor.results(drawn, prepare):
            if isinstance(result, ImageError):
                raise InputError(
                    f"{path} {result}. It has a cached bottleneck, but distortions take the image "
                    "itself; remove it, or train without distortions."
                ) from result
            rows.append(result[0])
        return np.stack(rows)

    def _distort(self, side: ImagePreparation, drawn: tuple[str, Draw]) -> Prepared:
        path, numbers = drawn
        image = side.decode(path).astype(np.float32)
        resized = self._resize(image[np.newaxis], numbers.precrop)[0]
        return side.scale(crop_and_light(resized, numbers, self._size))


@contextlib.contextmanager
def _resizer() -> Iterator[Callable[..., npt.NDArray[np.float32]]]:
    """Yield a function (float32 [1, H, W, 3], (h, w)) -> [1, h, w, 3], as TensorFlow 1 resizes."""
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3])
        size = tf.compat.v1.placeholder(tf.int32, [2])
        resized = tf.raw_ops.ResizeBilinear(images=image, size=size)
    with session_on(graph) as session:
        yield session.make_callable(resized, [image, size])
