"""Runs a graph on image files: its image side per image, its body in batches, in parallel."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.plan import plan_body
from retrain_tools.errors import InputError
from retrain_tools.features.pooling import pool
from retrain_tools.features.session import first_sentence, naming, network_graph, session_on
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.images.decode import (
    MAX_PIXELS,
    ImageError,
    decode_with_pillow,
    read_image,
    resize_with_pillow,
)
from retrain_tools.quiet_tensorflow import tf

log = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]
Result = list[Vector] | ImageError
"""One image's values, one vector per fetch, or why there are none."""

_BATCH_SIZE = 4  # more is no faster when every core works on a batch of its own, and takes memory
_SAME_IN_A_BATCH = 1e-4  # relative to the largest value; float32 kernels differ by about 1e-6


class Extractor(contextlib.AbstractContextManager["Extractor"]):
    """A graph ready to run on images. Safe to use from several threads; close it after use.

    Attributes:
        shapes: of each fetch's values for one image, after pooling.
        batch_size: how many images it takes at a time.
    """

    def __init__(
        self,
        frozen: FrozenGraph,
        fetches: Sequence[str],
        pooling: str | None = "avg",
        max_pixels: int = MAX_PIXELS,
        raw_pixels: bool = False,
    ) -> None:
        """Open the graph and find out whether it takes batches.

        Args:
            frozen: the graph; it is not kept.
            fetches: full tensor names.
            pooling: for fetches of rank above 2, see `pooling.pool`; None keeps their shape.
            max_pixels: largest image to accept.
            raw_pixels: feed pixels of 0 to 255, decoded and resized by Pillow, unscaled.

        Raises:
            InputError: a fetch is not computed from images, or is not of numbers; or the graph
                cannot be run.
        """
        self._size = frozen.spec.image_size
        self._pooling = pooling
        self._max_pixels = max_pixels
        self._raw_pixels = raw_pixels
        where = str(frozen.path)
        self._workers = _usable_cores()
        side = image_side(frozen.graph_def, frozen.spec)
        self._side = side
        self._sessions = contextlib.ExitStack()
        try:
            graph = tf.Graph()
            with graph.as_default(), naming(where):
                import_light(side.graph_def, {})
                contents = tf.compat.v1.placeholder(tf.string, [], "retrain_tools/contents")
                image = tf.io.decode_image(contents, channels=3, expand_animations=False)
            self._contents, self._decoded = contents, image
            self._images = self._sessions.enter_context(session_on(graph, self._workers))
            light, weights = plan_body(frozen.graph_def, frozen.spec, fetches)
            with naming(where):
                graph, assignments, tensors = network_graph(
                    light, weights, [frozen.spec.pixel_input, *fetches]
                )
            self._network = self._sessions.enter_context(session_on(graph, self._workers))
            for assign, value, array in assignments:
                self._network.run(assign, {value: array})
            self._entrance, *self._fetches = tensors
            for fetch, tensor in zip(fetches, self._fetches, strict=True):
                dtype = tensor.dtype
                if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
                    raise InputError(
                        f"{fetch!r} is of type {dtype.name}, and no real numbers; choose another "
                        "tensor."
                    )
            self.batch_size = _BATCH_SIZE if self._takes_batches() else 1
            for fetch, shape in zip(fetches, self.shapes, strict=True):
                if 0 in shape:
                    raise InputError(
                        f"{fetch!r} has no values for an image: its shape is {list(shape)}."
                    )
        except BaseException:
            self._sessions.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._sessions.close()

    def prepare(self, path: str) -> npt.NDArray[np.float32]:
        """Read one image file and prepare its pixels with the graph's own image side.

        JPEG goes through the graph's own decoder; other formats enter behind it.

        Returns:
            float32 [h, w, 3].

        Raises:
            ImageError: the file cannot be used.
        """
        data, found = read_image(path, self._max_pixels)
        if self._raw_pixels:
            return resize_with_pillow(data, self._size).astype(np.float32)
        if found == "JPEG":
            return self._run_side(self._side.pixels, {self._side.encoded: data})
        return self._run_side(self._side.pixels, {self._side.decoded: self._decode(data, found)})

    def decode(self, path: str) -> npt.NDArray[np.uint8]:
        """Read and decode one image file as `prepare` does; uint8 [H, W, 3]."""
        data, found = read_image(path, self._max_pixels)
        if found == "JPEG":
            return np.asarray(
                self._run(self._images, self._side.decoded, {self._side.encoded: data})
            )
        return self._decode(data, found)

    def scale(self, resized: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Prepare a distorted image: float32 [h, w, 3], 0 to 255, of the graph's size already."""
        if self._side.resized is None:
            raise InputError("Distortions need a graph whose image side has one resize node.")
        return self._run_side(self._side.pixels, {self._side.resized: resized[np.newaxis]})

    def _decode(self, data: bytes, found: str) -> npt.NDArray[np.uint8]:
        if found in ("BMP", "WEBP"):
            return decode_with_pillow(data)
        return np.asarray(self._run(self._images, self._decoded, {self._contents: data}))

    def _run_side(self, fetch: str, feeds: dict[Any, Any]) -> npt.NDArray[np.float32]:
        pixels = np.asarray(self._run(self._images, fetch, feeds), np.float32)
        if pixels.size != math.prod((*self._size, 3)):
            raise ImageError(
                f"comes out of the graph's image side as {list(pixels.shape)} "
                f"instead of {[1, *self._size, 3]}"
            )
        return pixels.reshape(*self._size, 3)

    @staticmethod
    def _run(session: Any, fetch: Any, feeds: dict[Any, Any]) -> Any:
        try:
            return session.run(fetch, feeds)
        # A ValueError: the graph's decoder gives another number of channels than was decoded.
        except (ValueError, tf.errors.OpError) as error:
            raise ImageError(f"cannot be decoded: {first_sentence(error)}") from error

    def run(self, pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Fetch the tensors for prepared pixels.

        Args:
            pixels: float32 [N, h, w, 3].

        Returns:
            One float32 [N, depth] per fetch, or [N, ...] without pooling.

        Raises:
            ValueError: a value has not one row per image. That is all right for one image: a
                graph that was made for one may have squeezed the rows away.
        """
        count = len(pixels)
        results = []
        for value in self._network.run(self._fetches, {self._entrance: pixels}):
            rows = np.asarray(value, np.float32)
            if rows.ndim == 0 or len(rows) != count:
                if count > 1:
                    raise ValueError(f"{list(rows.shape)} is not a row for each of {count}")
                rows = rows[np.newaxis]
            results.append(rows if self._pooling is None else pool(rows, self._pooling))
        return results

    def _takes_batches(self) -> bool:
        """Compare two images in a batch with the same two alone.

        Raises:
            InputError: the graph cannot be run even on one image.
        """
        rng = np.random.default_rng(0)
        pair = rng.uniform(-1.0, 1.0, (2, *self._size, 3)).astype(np.float32)
        try:
            alone = [self.run(pair[i : i + 1]) for i in range(2)]
        except tf.errors.OpError as error:
            raise InputError(f"The graph cannot be run: {first_sentence(error)}") from error
        try:
            together = self.run(pair)
        except (tf.errors.OpError, ValueError):
            together = []
        same = bool(together) and all(
            both.shape == (2, *one.shape[1:])
            and np.abs(both - np.concatenate([one, two])).max(initial=0)
            <= _SAME_IN_A_BATCH * max(np.abs(one).max(initial=0), np.abs(two).max(initial=0))
            for both, one, two in zip(together, *alone, strict=True)
        )
        if not same:
            log.info("this graph gives other values in a batch; its images are run one by one")
        self.shapes = [value.shape[1:] for value in alone[0]]
        return same

    def map_batches(
        self, paths: Iterable[str], handle: Callable[[list[tuple[str, Result]]], None]
    ) -> Iterator[int]:
        """Fetch the tensors for image files, in batches, one worker per core.

        Args:
            paths: image files; they are read as they are needed.
            handle: gets each finished batch of (path, result) in its worker thread; batches
                finish in any order. An exception in it ends the job.

        Yields:
            How many images were handled, batch by batch.
        """

        def work(batch: Sequence[str]) -> int:
            handle(self._results(batch))
            return len(batch)

        waiting = iter(paths)
        running: set[Future[int]] = set()
        with ThreadPoolExecutor(self._workers) as workers:
            try:
                while batch := list(itertools.islice(waiting, self.batch_size)):
                    running.add(workers.submit(work, batch))
                    if len(running) == 2 * self._workers:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                yield from (future.result() for future in as_completed(running))
            finally:
                for future in running:
                    future.cancel()

    def _results(self, paths: Sequence[str]) -> list[tuple[str, Result]]:
        results: dict[int, Result] = {}
        pixels: dict[int, npt.NDArray[np.float32]] = {}
        for index, path in enumerate(paths):
            try:
                pixels[index] = self.prepare(path)
            except ImageError as error:
                results[index] = error
        results.update(zip(pixels, self._vectors(list(pixels.values())), strict=True))
        return [(path, results[index]) for index, path in enumerate(paths)]

    def _vectors(self, pixels: Sequence[npt.NDArray[np.float32]]) -> list[Result]:
        """Run prepared images in one batch; if that fails, one by one, to blame the right one."""
        if not pixels:
            return []
        try:
            values = self.run(np.stack(pixels))
        except (ValueError, tf.errors.OpError) as error:
            if len(pixels) == 1:
                return [ImageError(f"makes the graph fail: {first_sentence(error)}")]
            return [result for one in pixels for result in self._vectors([one])]
        results: list[Result] = []
        for row in range(len(pixels)):
            vectors = [value[row] for value in values]
            finite = all(np.isfinite(vector).all() for vector in vectors)
            results.append(
                vectors if finite else ImageError("gives values that are not finite numbers")
            )
        return results


def _usable_cores() -> int:
    """Return how many cores this process may use, which on a shared machine is not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
