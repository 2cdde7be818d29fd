"""Values of a shard's images: read ahead, in batches, tried again; or one by one, safely."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import logging
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from retrain_tools import catalog, files, storage
from retrain_tools.engine.kept_plans import is_known
from retrain_tools.errors import InputError, argument
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.features.failures import Failure
from retrain_tools.features.parts.job import Job
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.stores.table import Column, Rows
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError, most_bytes
from retrain_tools.runners.local import run_tasks

log = logging.getLogger(__name__)

_READ_AHEAD = 16  # images; a request to an object store waits some 50 ms
_MOST_BYTES = 1 << 30  # of the rows of a shard, which are held in memory
_MOST_DEATHS = 2  # of an image: a worker may die of something else, but not twice in a row


class Computed(NamedTuple):
    """What became of some images, in their order.

    Attributes:
        columns: the tensors.
        values: of each, float32 [len(images), *shape]; rows of images that failed mean nothing.
        failed: why, by the place in the order.
        differences: from the exact way, by tensor.
    """

    columns: Sequence[Column]
    values: Sequence[Rows]
    failed: dict[int, Failure]
    differences: dict[str, Any]


class Computer(contextlib.AbstractContextManager["Computer"]):
    """A job's graph, opened when it is first needed. Close it after use."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._closing = contextlib.ExitStack()
        self._extractor: Extractor | None = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory of the graph back; it is opened again when it is needed again."""
        self._extractor = None
        self._closing.close()

    def columns(self) -> list[Column]:
        """Return the tensors and their shapes.

        Raises:
            InputError: the graph cannot be run, or a tensor not be computed.
        """
        return list(map(Column, self._job.tensors, self._opened().shapes))

    def compute(self, entries: Sequence[Entry]) -> Computed:
        """Compute the values of images; those that fail for a reason that may pass, twice.

        Raises:
            InputError: the graph cannot be run, or a tensor not be computed; or the values take
                more memory than a worker should.
        """
        extractor, columns = self._opened(), self.columns()
        values = _room_for(len(entries), columns)
        failed: dict[int, Failure] = {}

        def run(places: Sequence[int]) -> None:
            for place, result in self._results(extractor, places, entries):
                try:
                    _keep(result, place, columns, values)
                    failed.pop(place, None)
                except ImageError as error:
                    failed[place] = Failure.of(error)

        run(range(len(entries)))
        if again := [place for place, why in failed.items() if why.may_pass]:
            run(again)
        found = extractor.differences
        differences = {
            name: dataclasses.asdict(found[tensor])
            for name, tensor in self._job.tensors.items()
            if tensor in found
        }
        return Computed(columns, values, dict(sorted(failed.items())), differences)

    def _opened(self) -> Extractor:
        if self._extractor is None:
            job = self._job
            frozen, tensors = job.graph.unpacked(), list(job.tensors.values())
            with _first(frozen, tensors, job):
                opened = Extractor(frozen, tensors, job.pooling, job.running)
            self._extractor = self._closing.enter_context(opened)
        return self._extractor

    def _results(
        self, extractor: Extractor, places: Sequence[int], entries: Sequence[Entry]
    ) -> Iterator[tuple[int, Result]]:
        most = most_bytes(self._job.running.max_image_pixels)
        with contextlib.ExitStack() as stack:
            readers = stack.enter_context(ThreadPoolExecutor(_READ_AHEAD))

            def read(place: int) -> bytes:
                return _read(entries[place], most)

            ahead = stack.enter_context(contextlib.closing(_ahead(readers, read, places)))
            for item, result in extractor.measured(ahead, len(places), lambda it: it[1].result()):
                yield item[0], result


def _ahead(
    readers: ThreadPoolExecutor, read: Callable[[int], bytes], places: Sequence[int]
) -> Generator[tuple[int, Future[bytes]]]:
    """Yield each place and its image, which is being read while earlier ones are worked on."""
    waiting = iter(places)
    window: collections.deque[tuple[int, Future[bytes]]] = collections.deque()
    try:
        while True:
            for place in itertools.islice(waiting, _READ_AHEAD - len(window)):
                window.append((place, readers.submit(read, place)))
            if not window:
                return
            yield window.popleft()
    finally:
        for _, future in window:
            future.cancel()


def _read(entry: Entry, most: int) -> bytes:
    """Read an image as it was when it was looked at; one that was not there may be there now."""
    expected = None
    if entry.size is not None and entry.version is not None:
        expected = storage.Stored(entry.uri, entry.size, entry.version)
    try:
        return storage.read(entry.uri, most, expected)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ImageError(f"cannot be read: {reason}", "reading") from error


def _room_for(count: int, columns: Sequence[Column]) -> list[Rows]:
    row = sum(math.prod(shape) for _, shape in columns)
    if 4 * row * count > _MOST_BYTES:
        most = _MOST_BYTES // (4 * row)
        raise InputError(
            f"{count} images of {row:,} values are too much for a worker, which holds the rows of "
            f"a shard in memory. {argument('shard_size')}={most} is the most; or make vectors of "
            f"maps with {argument('pooling')}."
        )
    return [np.empty((count, *shape), np.float32) for _, shape in columns]


def _keep(result: Result, place: int, columns: Sequence[Column], values: Sequence[Rows]) -> None:
    if isinstance(result, ImageError):
        raise result
    for (name, shape), value in zip(columns, result, strict=True):
        if value.shape != shape:
            found = f"gives values of shape {list(value.shape)} for {name!r}"
            raise ImageError(f"{found}, not {list(shape)}")
    for rows, value in zip(values, result, strict=True):
        rows[place] = value


@contextlib.contextmanager
def _first(frozen: FrozenGraph, tensors: Sequence[str], job: Job) -> Iterator[None]:
    """Let one worker of a machine prepare a graph that is new there; the others wait for it.

    Each would rewrite it for speed and compare it with the untouched graph, at that one's memory.
    """
    if is_known(frozen, tensors, job.running):
        yield
        return
    with contextlib.ExitStack() as held:
        plans = catalog.model_folder(job.running.model_dir) / "plans"
        try:
            held.enter_context(files.alone_in(plans))
        except OSError as error:  # nothing can be kept there
            log.debug("other workers do not wait: %s", error)
        yield


class OneByOne:
    """Work of `runners`: one image at a time, in a process of its own which may die of it."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[tuple[int, Entry]], Computed]]:
        """Yield what computes the values of an image, given with its place."""
        with Computer(self._job) as computer:
            yield lambda pair: computer.compute([pair[1]])


def compute_carefully(job: Job, columns: Sequence[Column], entries: Sequence[Entry]) -> Computed:
    """Compute as `Computer.compute` does, each image in a child process that may die of it.

    Raises:
        InputError: see there; or the child process cannot be started.
    """
    values = _room_for(len(entries), columns)
    failed: dict[int, Failure] = {}
    differences: dict[str, Any] = {}
    for outcome in run_tasks(OneByOne(job), enumerate(entries), 1, max_deaths=_MOST_DEATHS):
        place, entry = outcome.task
        if outcome.result is None:
            if not outcome.deaths:
                raise InputError(f"{entry.uri}: {outcome.failure}")
            failed[place] = Failure(f"ends the process that works on it: {outcome.failure}")
            failed[place].kind = "worker"
            continue
        found = outcome.result
        differences = found.differences
        if found.failed:
            failed[place] = found.failed[0]
        for rows, value in zip(values, found.values, strict=True):
            rows[place] = value[0]
    return Computed(columns, values, dict(sorted(failed.items())), differences)
