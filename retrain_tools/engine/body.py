"""A graph's body, from prepared pixels to the fetches, run in batches whose rows are exact."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.cpu import usable_cores
from retrain_tools.engine.kept_plans import Known, Plan, open_plan
from retrain_tools.engine.onednn import is_wanted, with_onednn_kernels
from retrain_tools.engine.session import EngineError, TensorFlowEngine, gpu_memory
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.engine.trial import Trial
from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import attribute, node_name, nodes_by_name
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tensors import shape_text

log = logging.getLogger(__name__)

Values = list[npt.NDArray[np.float32]]

_USUAL_SIZE = 4  # more is seldom faster when every core works on a batch of its own
_SMALL_SIZE = 2  # for what is left over
_LARGER_SIZES = (8, 16, 32, 64)
# More pixels in a batch only take memory on a CPU. A GPU is given some 2 kB for each.
_MOST_PIXELS, _GPU_BYTES_PER_PIXEL = 1 << 20, 1 << 11
_SAME_IN_A_BATCH = 1e-4  # relative to the largest value; float32 kernels differ by about 1e-6


class Body(contextlib.AbstractContextManager["Body"]):
    """A body that is open. Safe to use from several threads; close it after use.

    Kernels for one image add up in another order than kernels for several. So one image is never
    run alone where the graph takes batches: batches are padded to a size that was seen to give each
    image the same bits among other images and in another place.

    Attributes:
        threads: how many batches are to be run at the same time.
        known: what is known from running it.
    """

    def __init__(
        self, frozen: FrozenGraph, fetches: Sequence[str], running: RunSettings = DEFAULTS
    ) -> None:
        """Open the body; unless that is known, find the sizes of batches that it can take.

        The graph is not kept. `fetches` are full tensor names.

        Raises:
            InputError: a fetch is not computed from images, is not of numbers or has none; or the
                graph cannot be run.
        """
        self._image_shape = (*frozen.spec.image_size, frozen.spec.channels)
        self._asked, self.threads = running.batch_size, running.threads or usable_cores()
        self._trial: Trial | None = None
        self._learning = threading.Lock()
        self._gpu_memory = gpu_memory()
        plan = open_plan(frozen, fetches, running.computed_in, running.model_dir)
        self._keep = plan.keep
        self._engine: TensorFlowEngine | None = None
        try:
            if plan.known is None:
                self.known = self._find_out(plan, frozen, fetches)
                self._keep(self.known)
            else:
                self.known = plan.known
                self._open(plan, frozen, fetches, plan.known.by_onednn)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.__exit__()

    @property
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Of each fetch's values for one image."""
        return self.known.shapes

    @property
    def batch_size(self) -> int:
        """How many images are run at a time."""
        return min(self._sizes[-1], self._asked or self.known.fastest or _USUAL_SIZE)

    @property
    def _sizes(self) -> Sequence[int]:
        """The sizes of batches that can be run, the smallest first."""
        takes_batches = self.known.sizes != (1,)
        return (self._asked,) if self._asked and takes_batches else self.known.sizes

    def next_size(self) -> int:
        """Return how many images the next batch should have."""
        return self.batch_size if self._trial is None else self._trial.next_size()

    def run(self, pixels: npt.NDArray[np.float32]) -> Values:
        """Fetch the tensors for prepared pixels, float32 [N, h, w, channels].

        N is at most `batch_size`, or what `next_size` returned.

        Returns:
            One float32 [N, ...] per fetch. In it, an image's values do not depend on the others,
            unless a debug line said at opening that they do.

        Raises:
            EngineError: the graph fails on these images.
        """
        count = len(pixels)
        size = next(size for size in self._sizes if size >= count)
        if size > count:  # with copies of an image that is there, which cannot fail on their own
            pixels = pixels[np.minimum(np.arange(size), count - 1)]
        start = time.monotonic()
        values = [value[:count] for value in self._run_exactly(pixels)]
        if (trial := self._trial) is not None:
            fastest = trial.note(size, time.monotonic() - start)
            if fastest is not None:
                self._trial = None
                self.learn(fastest=fastest)
        return values

    def learn(self, **found: Any) -> None:
        """Remember what was found out, by the names of `Known`, for this time and the next."""
        with self._learning:  # workers find out the fastest size, others how exact values are
            self.known = dataclasses.replace(self.known, **found)
            self._keep(self.known)

    def try_sizes(self, images: int) -> None:
        """Find the fastest size of batches on the first half of many images, if that is not known.

        Tried are larger sizes than before, which give the same bits as the usual one. Nothing is
        done for a job that is too small, or where the size was asked for.
        """
        usual, known = self.batch_size, self.known
        if self._asked or usual < _USUAL_SIZE:
            return
        pixels = max(_MOST_PIXELS, self._gpu_memory // _GPU_BYTES_PER_PIXEL)
        most = pixels // int(np.prod(self._image_shape[:2]))
        sizes = [size for size in _LARGER_SIZES if known.tried < size <= most]
        while sizes and Trial([usual, *sizes], self.threads).images > images // 2:
            sizes.pop()
        if not sizes:
            return
        same = list(itertools.takewhile(self._is_exact_in(sizes[-1]), sizes))
        if not same:
            self.learn(tried=sizes[-1])
            return
        both = tuple(sorted({*known.sizes, *same}))
        found = dataclasses.replace(known, sizes=both, tried=sizes[-1])
        self.known = found  # which is kept when the trial has ended
        self._trial = Trial([usual, *same], self.threads)

    def _is_exact_in(self, most: int) -> Callable[[int], bool]:
        """Return what tells whether batches of a size give the same bits as usual ones."""
        images = self._random_images(most)
        wanted = self._run_exactly(images[:_USUAL_SIZE])

        def is_exact(size: int) -> bool:
            turned = np.roll(images[:size], -_USUAL_SIZE, 0)
            return _agree([value[-_USUAL_SIZE:] for value in self._attempt(turned)], wanted, 0)

        return is_exact

    def _find_out(self, plan: Plan, frozen: FrozenGraph, fetches: Sequence[str]) -> Known:
        """Open the plan for the first time, with oneDNN's nodes if it can be, and run it."""
        images = self._random_images(_USUAL_SIZE)
        by_onednn = is_wanted() and not self._gpu_memory
        try:
            self._open(plan, frozen, fetches, by_onednn)
            alone = self._run_exactly(images[:1])
        except (EngineError, InputError) as refusal:
            if by_onednn:
                log.debug("%s runs without oneDNN's nodes: %s", frozen.path, refusal)
            by_onednn = False
            self.__exit__()
            self._open(plan, frozen, fetches, by_onednn)
            try:
                alone = self._run_exactly(images[:1])
            except EngineError as error:
                other = _other_batch(frozen)
                raise InputError(f"The graph cannot be run: {error}{other}") from error
        shapes = tuple(value.shape[1:] for value in alone)
        for fetch, shape in zip(fetches, shapes, strict=True):
            if 0 in shape:
                nothing = f"has no values for an image: its shape is {list(shape)}"
                raise InputError(f"{fetch!r} {nothing}.")
        return Known(shapes, self._sizes_of_batches(images, alone), by_onednn)

    def _open(
        self, plan: Plan, frozen: FrozenGraph, fetches: Sequence[str], by_onednn: bool
    ) -> None:
        light = plan.light
        if by_onednn:
            light = with_onednn_kernels(light, plan.weights, list(map(node_name, fetches)))
        feed, where = frozen.spec.pixel_input, str(frozen.path)
        allowed = frozen.allow_unsafe_graph
        self._engine = TensorFlowEngine(light, plan.weights, feed, fetches, where, allowed)

    def _random_images(self, count: int) -> npt.NDArray[np.float32]:
        size = (count, *self._image_shape)
        return np.random.default_rng(0).uniform(-1.0, 1.0, size).astype(np.float32)

    def _run_exactly(self, pixels: npt.NDArray[np.float32]) -> Values:
        """Run a batch of this size.

        Raises:
            EngineError: the graph fails, or a value has not one row per image. That is all right
                for one image: a graph that was made for one may have squeezed the rows away.
        """
        count = len(pixels)
        assert self._engine is not None  # noqa: S101  (it is open)
        values = self._engine.run(pixels)
        for index, value in enumerate(values):
            if value.ndim == 0 or len(value) != count:
                if count > 1:
                    raise EngineError(f"{list(value.shape)} is not a row for each of {count}")
                values[index] = value[np.newaxis]
        return values

    def _sizes_of_batches(self, images: npt.NDArray[np.float32], alone: Values) -> tuple[int, ...]:
        """Compare images in batches with the first of them alone, and with themselves elsewhere."""
        turned, two = list(range(_USUAL_SIZE))[::-1], [_USUAL_SIZE // 2, 0]
        with ThreadPoolExecutor(usable_cores()) as workers:
            batches = (images, images[turned], images[two])
            together, backwards, pair = workers.map(self._attempt, batches)
        forwards = [value[::-1] for value in backwards]
        if not (
            _agree([value[:1] for value in together], alone, _SAME_IN_A_BATCH)
            and _agree(forwards, together, _SAME_IN_A_BATCH)
        ):
            log.info("this graph gives other values in a batch; its images are run one by one")
            return (1,)
        if not _agree(forwards, together, 0):
            log.debug("this graph's values depend, in the last bits, on the place in a batch")
            return (_USUAL_SIZE,)
        small = _agree(pair, [value[two] for value in together], 0)
        return (_SMALL_SIZE, _USUAL_SIZE) if small else (_USUAL_SIZE,)

    def _attempt(self, pixels: npt.NDArray[np.float32]) -> Values:
        """Return the values of a batch, none where the graph does not take it."""
        try:
            return self._run_exactly(pixels)
        except EngineError:
            return []


def _other_batch(frozen: FrozenGraph) -> str:
    """Say that a graph was made for batches of another size than one; nothing where it was not."""
    spec = frozen.spec
    node = nodes_by_name(frozen.graph_def)[node_name(spec.pixel_input)]
    shape = shape_in(attribute(node, "shape").shape)
    if not shape or shape[0] in (None, 1):
        return ""
    fed = shape_text((1, *spec.image_size, spec.channels))
    return f". {spec.pixel_input!r} takes {shape_text(shape)}, and images are fed as {fed}."


def _agree(found: Values, wanted: Values, relative: float) -> bool:
    """Tell whether values differ by no more than a part of the largest of them."""
    return len(found) == len(wanted) and all(
        one.shape == other.shape
        and np.abs(one - other).max(initial=0)
        <= relative * max(np.abs(one).max(initial=0), np.abs(other).max(initial=0))
        for one, other in zip(found, wanted, strict=True)
    )
