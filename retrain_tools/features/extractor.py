"""Runs a graph on images: its image side per image, its body in batches, one worker per core."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.body import Body
from retrain_tools.engine.cpu import has_bfloat16
from retrain_tools.engine.session import EngineError
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.features.faithfulness import Difference, difference
from retrain_tools.features.image_side import ImagePreparation, Prepared
from retrain_tools.features.pooling import pool
from retrain_tools.features.self_check import check_once
from retrain_tools.graphdef.feeds import check_fed
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError, ImageLike
from retrain_tools.progress import progress
from retrain_tools.safety.running import tell_of_unsafe_parts

log = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]
Result = list[Vector] | ImageError
"""One image's values, float32, one array per fetch; or why there are none."""

Image = TypeVar("Image", bound=ImageLike)
Item = TypeVar("Item")

# Of a job that is not exact: as many images are computed in the exact way as well, and fewer of
# large maps, but as many as it takes for some to be neighbours.
_COMPARED_IMAGES, _COMPARED_VALUES, _LEAST_COMPARED = 32, 1 << 22, 3
_MANY_IMAGES = 1000  # of which it is worth while to think about speed


class Extractor(contextlib.AbstractContextManager["Extractor"]):
    """A graph ready to run on images. Close it after use.

    Attributes:
        image_side: what prepares images.
        shapes: of each fetch's values for one image, after pooling.
        differences: from the exact way, by fetch: as they were measured before with this graph, or
            else once images were extracted. Empty where the way is exact.
    """

    def __init__(
        self,
        frozen: FrozenGraph,
        fetches: Sequence[str],
        pooling: str | None = "avg",
        running: RunSettings = DEFAULTS,
    ) -> None:
        """Open the graph, which is not kept, for fetches by their full tensor names.

        Those of rank above 2 are pooled, see `pooling.pool`; None keeps their shape.

        Raises:
            UnsafeGraphError: what is run does more than compute, and that is not allowed.
            InputError: a fetch is not computed from images alone, or is not of numbers; or the
                graph cannot be run.
        """
        check_fed(frozen, fetches)
        self._pooling, self._fetches = pooling, list(fetches)
        self.differences: dict[str, Difference] = {}
        # In a single thread beside the others, for little memory.
        exactly = dataclasses.replace(running.exact(), threads=1)
        self._ways = f"{running.computed_in} against {exactly.computed_in}"
        self._is_exact, self._is_silent = running.is_exact, False
        self._open_exact = (
            None if running.is_exact else partial(Extractor, frozen, fetches, pooling, exactly)
        )
        with contextlib.ExitStack() as opened:
            side = ImagePreparation(frozen, running)
            self.image_side = opened.enter_context(side)
            self._body = opened.enter_context(Body(frozen, fetches, running))
            tell_of_unsafe_parts(frozen.graph_def, frozen.allow_unsafe_graph, str(frozen.path))
            if running.self_check and running.is_exact:
                check_once(frozen, fetches, self.image_side, self._body)
            empty = [np.zeros(shape, np.float32) for shape in self._body.shapes]
            self.shapes = [self._pooled(value).shape for value in empty]
            self._worker_count = self._body.threads
            self._workers = ThreadPoolExecutor(self._worker_count)
            opened.callback(self._workers.shutdown, cancel_futures=True)
            self._closing = opened.pop_all()

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def batch_size(self) -> int:
        """How many images go through the body at a time."""
        return self._body.batch_size

    def extract(self, images: Collection[Image]) -> Iterator[tuple[Image, Result]]:
        """Yield each image and its result, in the order of `images`, and show the progress.

        Files are read as they are needed, whatever the number of images. Where the way to compute
        is not exact, the first images that can be used are computed in the exact way as well, once:
        the difference is logged, at the end it is in `differences`, and it is remembered with the
        graph's plan.
        """
        results = self.measured(images, len(images), lambda image: image)
        self._hint(len(images))
        with progress(len(images), "images") as advance:
            for pair in results:
                yield pair
                advance(1)

    def measured(
        self, items: Iterable[Item], count: int, read: Callable[[Item], ImageLike]
    ) -> Iterator[tuple[Item, Result]]:
        """Do as `extract` for the images that `read` gives of items, and show and say nothing."""
        self._body.try_sizes(count)
        results = self.results(items, lambda item: self.image_side.prepare(read(item)))
        open_exact, self._open_exact = self._open_exact, None
        most = _COMPARED_VALUES // max(1, sum(map(math.prod, self.shapes)))
        most = min(_COMPARED_IMAGES, max(_LEAST_COMPARED, most))
        if open_exact is not None and not self._recall_differences(min(most, count)):
            return self._compared(results, read, open_exact, most)
        return results

    def _compared(
        self,
        results: Iterator[tuple[Item, Result]],
        read: Callable[[Item], ImageLike],
        open_exact: Callable[[], Extractor],
        most: int,
    ) -> Iterator[tuple[Item, Result]]:
        """Pass results on, and meanwhile compute the first ones in the exact way and compare."""
        first: list[tuple[Item, list[Vector]]] = []
        with contextlib.ExitStack() as opened:

            def compare() -> Future[None]:
                exact = opened.enter_context(open_exact())
                worker = opened.enter_context(ThreadPoolExecutor(1))
                return worker.submit(self._compare, exact, first, read)

            comparing = None
            for image, result in results:
                yield image, result
                if comparing is None and isinstance(result, list):
                    first.append((image, result))
                    comparing = compare() if len(first) == most else None
            if comparing is None and first:
                comparing = compare()
            if comparing is not None:
                comparing.result()

    def _compare(
        self,
        exact: Extractor,
        first: Sequence[tuple[Item, list[Vector]]],
        read: Callable[[Item], ImageLike],
    ) -> None:
        """Compare the first images with what the exact extractor gives, and close that."""
        items = [item for item, _ in first]
        results = exact.results(items, lambda item: exact.image_side.prepare(read(item)))
        both = [
            (values, own)
            for (_, own), (_, values) in zip(first, results, strict=True)
            if isinstance(values, list)
        ]
        exact.__exit__()  # its memory would be held for the rest of the job
        found = {}
        for index, (fetch, shape) in enumerate(zip(self._fetches, self.shapes, strict=True)):
            of_fetch = [(values[index], own[index]) for values, own in both]
            alike = [pair for pair in of_fetch if pair[0].shape == pair[1].shape == shape]
            if alike:
                exactly, fast = map(np.stack, zip(*alike, strict=True))
                self.differences[fetch] = difference(exactly, fast, self._ways)
                found[self._feature(fetch)] = dataclasses.asdict(self.differences[fetch])
        self._body.learn(differences={**self._body.known.differences, **found})
        self._tell_differences("")

    def _recall_differences(self, images: int) -> bool:
        """Take the differences that were measured before, if all are known of as many images."""
        known = self._body.known.differences
        if not all(self._feature(fetch) in known for fetch in self._fetches):
            return False
        recalled = {fetch: Difference(**known[self._feature(fetch)]) for fetch in self._fetches}
        if min(one.images for one in recalled.values()) < images:
            return False
        self.differences = recalled
        return True

    def _hint(self, images: int) -> None:
        """Say once what is known of the way to compute before anything is computed."""
        if not self._is_silent:
            self._tell_differences(" (measured before)")
            if self._is_exact and images >= _MANY_IMAGES and has_bfloat16():
                log.info("precision=bfloat16 would be faster here, and change values a little")
        self._is_silent = True

    def _tell_differences(self, when: str) -> None:
        for fetch, found in self.differences.items():
            named = f"{fetch}: " if len(self._fetches) > 1 else ""
            log.info("%s%s%s", named, found.line(), when)

    def _feature(self, fetch: str) -> str:
        return f"{fetch} {self._pooling}"

    def results(
        self, items: Iterable[Item], prepare: Callable[[Item], Prepared]
    ) -> Iterator[tuple[Item, Result]]:
        """Fetch the tensors for whatever `prepare` makes pixels of; otherwise as `extract`.

        An exception of `prepare` other than ImageError ends the job. Where the caller stops, what
        is waiting for a worker is cancelled, here or when the extractor is closed.
        """
        waiting = iter(items)
        window: collections.deque[tuple[list[Item], Future[list[Result]]]] = collections.deque()
        try:
            while True:
                while len(window) < 2 * self._worker_count:
                    if not (batch := list(itertools.islice(waiting, self._body.next_size()))):
                        break
                    window.append((batch, self._workers.submit(self._batch, batch, prepare)))
                if not window:
                    return
                batch, future = window.popleft()
                yield from zip(batch, future.result(), strict=True)
        finally:
            for _, future in window:
                future.cancel()

    def _batch(self, items: Sequence[Item], prepare: Callable[[Item], Prepared]) -> list[Result]:
        def attempt(item: Item) -> Prepared | ImageError:
            try:
                return prepare(item)
            except ImageError as error:
                # Not itself: its traceback holds all that was decoded of the image.
                return ImageError(str(error), error.kind)
            except MemoryError:
                return ImageError("takes more memory than there is", "memory")

        prepared = [attempt(item) for item in items]
        values = iter(self._values([one for one in prepared if not isinstance(one, ImageError)]))
        return [one if isinstance(one, ImageError) else next(values) for one in prepared]

    def _values(self, pixels: Sequence[Prepared]) -> list[Result]:
        """Run prepared images in one batch; if that fails, one by one, to blame the right one."""
        if not pixels:
            return []
        try:
            values = self._body.run(np.stack(pixels))
        except EngineError as error:
            if len(pixels) == 1:
                return [ImageError(f"makes the graph fail: {error}")]
            return [result for one in pixels for result in self._values([one])]
        results: list[Result] = []
        for row in range(len(pixels)):
            vectors = [self._pooled(value[row]) for value in values]
            is_finite = all(np.isfinite(vector).all() for vector in vectors)
            nonsense = ImageError("gives values that are not finite numbers")
            results.append(vectors if is_finite else nonsense)
        return results

    def _pooled(self, value: Vector) -> Vector:
        """Pool one image's values: NumPy adds up in another order where there are several."""
        return value if self._pooling is None else pool(value[np.newaxis], self._pooling)[0]
