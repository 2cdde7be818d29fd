"""A graph's body, from prepared pixels to the fetches, run in batches whose rows are exact."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.plan import plan_body
from retrain_tools.engine.session import EngineError, TensorFlowEngine, usable_cores
from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import attribute, node_name, nodes_by_name
from retrain_tools.graphdef.shapes.call import shape_in
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tensors import shape_text

log = logging.getLogger(__name__)

Values = list[npt.NDArray[np.float32]]

_BATCH_SIZE = 4  # more is no faster when every core works on a batch of its own, and takes memory
_SMALL_BATCH_SIZE = 2  # for what is left over
_SAME_IN_A_BATCH = 1e-4  # relative to the largest value; float32 kernels differ by about 1e-6


class Body(contextlib.AbstractContextManager["Body"]):
    """A body that is open. Safe to use from several threads; close it after use.

    Kernels for one image add up in another order than kernels for several. So one image is never
    run alone where the graph takes batches: batches are padded to a size that was seen, when the
    graph was opened, to give each image the same bits among other images and in another place.

    Attributes:
        shapes: of each fetch's values for one image.
        batch_size: how many images are run at a time.
    """

    def __init__(self, frozen: FrozenGraph, fetches: Sequence[str]) -> None:
        """Open the body, and run it on random pixels to find the sizes of batches it can take.

        The graph is not kept. `fetches` are full tensor names.

        Raises:
            InputError: a fetch is not computed from images, is not of numbers or has none; or the
                graph cannot be run.
        """
        spec = frozen.spec
        self._engine = TensorFlowEngine(
            *plan_body(frozen.graph_def, spec, fetches), spec.pixel_input, fetches, str(frozen.path)
        )
        try:
            size = (_BATCH_SIZE, *spec.image_size, spec.channels)
            images = np.random.default_rng(0).uniform(-1.0, 1.0, size).astype(np.float32)
            try:
                alone = self._run_exactly(images[:1])
            except EngineError as error:
                raise InputError(
                    f"The graph cannot be run: {error}{_other_batch(frozen)}"
                ) from error
            self.shapes = [value.shape[1:] for value in alone]
            for fetch, shape in zip(fetches, self.shapes, strict=True):
                if 0 in shape:
                    nothing = f"has no values for an image: its shape is {list(shape)}"
                    raise InputError(f"{fetch!r} {nothing}.")
            self._sizes = self._sizes_of_batches(images, alone)
            self.batch_size = max(self._sizes)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._engine.__exit__()

    def run(self, pixels: npt.NDArray[np.float32]) -> Values:
        """Fetch the tensors for prepared pixels, float32 [N, h, w, channels]; at most `batch_size`.

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
        return [value[:count] for value in self._run_exactly(pixels)]

    def _run_exactly(self, pixels: npt.NDArray[np.float32]) -> Values:
        """Run a batch of this size.

        Raises:
            EngineError: the graph fails, or a value has not one row per image. That is all right
                for one image: a graph that was made for one may have squeezed the rows away.
        """
        count = len(pixels)
        values = self._engine.run(pixels)
        for index, value in enumerate(values):
            if value.ndim == 0 or len(value) != count:
                if count > 1:
                    raise EngineError(f"{list(value.shape)} is not a row for each of {count}")
                values[index] = value[np.newaxis]
        return values

    def _sizes_of_batches(self, images: npt.NDArray[np.float32], alone: Values) -> tuple[int, ...]:
        """Compare images in batches with the first of them alone, and with themselves elsewhere."""
        turned, two = list(range(_BATCH_SIZE))[::-1], [_BATCH_SIZE // 2, 0]
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
            return (_BATCH_SIZE,)
        small = _agree(pair, [value[two] for value in together], 0)
        return (_SMALL_BATCH_SIZE, _BATCH_SIZE) if small else (_BATCH_SIZE,)

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
