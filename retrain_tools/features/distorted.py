"""Bottlenecks of randomly distorted images, for training; they are never cached."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fill import CacheOptions
from retrain_tools.features.image_side import Prepared
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError
from retrain_tools.images.distort import Distortions, Draw, crop_and_light, draw


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
        fetches = [spec.bottleneck]
        self._open = partial(Extractor, frozen, fetches, options.pooling, options.running)
        self._wanted, self._size = wanted, spec.image_size
        self._extractor: Extractor | None = None

    def __exit__(self, *_: object) -> None:
        if self._extractor is not None:
            self._extractor.__exit__()

    def bottlenecks(
        self, paths: Sequence[str], rng: np.random.Generator
    ) -> npt.NDArray[np.float32]:
        """Return float32 [N, depth] for image files, each distorted in its own random way.

        Raises:
            InputError: a file cannot be decoded any more.
        """
        if self._extractor is None:
            self._extractor = self._open()
        drawn = [(path, draw(rng, self._wanted, self._size)) for path in paths]
        side, rows = self._extractor.image_side, []

        def distorted(drawn: tuple[str, Draw]) -> Prepared:
            path, numbers = drawn
            resized = side.resize(side.decode(path), numbers.precrop)
            return side.scale(crop_and_light(resized, numbers, self._size))

        for (path, _), result in self._extractor.results(drawn, distorted):
            if isinstance(result, ImageError):
                raise InputError(
                    f"{path} {result}. It has a cached bottleneck, but distortions take the image "
                    "itself; remove it, or train without distortions."
                ) from result
            rows.append(result[0])
        return np.stack(rows)
