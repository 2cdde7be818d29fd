"""One shard: looks at its images, takes over what is known of them, computes the rest, writes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from retrain_tools import storage
from retrain_tools.errors import InputError, argument
from retrain_tools.features.failures import Failure
from retrain_tools.features.parts import layout
from retrain_tools.features.parts.computing import Computed, Computer, compute_carefully
from retrain_tools.features.parts.job import Job
from retrain_tools.features.parts.known import NOTHING, Known, known_of
from retrain_tools.features.parts.layout import Entry, PartRecord
from retrain_tools.features.parts.tables import (
    PartTable,
    failures_bytes,
    list_bytes,
    part_bytes,
)
from retrain_tools.uris import is_uri, join, shown

_LOOKING = 32  # at images at a time: each is a request to an object store
_MOST_TOLD = 20  # failures of a shard that are named in the log


@dataclasses.dataclass(frozen=True)
class Shard:
    """A task: images of the list that one part is made of.

    Attributes:
        number: of the shard, from 0.
        entries: its images, in order; what the list does not tell of them is looked up.
        tries: how often it was given up already.
        is_careful: compute image by image, in a child process that may die.
    """

    number: int
    entries: Sequence[Entry]
    tries: int = 0
    is_careful: bool = False


@dataclasses.dataclass(frozen=True)
class ShardDone:
    """What became of a shard.

    Attributes:
        digest: of its list.
        computed: images whose values were not there.
        reused: images whose values were there.
        failed: how many images have no row, by the kind of failure.
        told: some of the images that failed now, and why.
        differences: from the exact way, by tensor, where values were computed in another.
        said: log lines of the worker: the level and the line.
    """

    digest: str
    computed: int
    reused: int
    failed: Mapping[str, int]
    told: Sequence[tuple[str, str]] = ()
    differences: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    said: Sequence[tuple[int, str]] = ()


@dataclasses.dataclass(frozen=True)
class ShardRefused:
    """Why no shard can be done: a user's mistake, as an InputError is made of."""

    message: str


class ShardWork:
    """Work of `runners`: makes the parts of shards."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Shard], ShardDone | ShardRefused]]:
        """Yield what makes the part of a shard; the graph is opened when there is need of it."""
        heard = _Heard()
        logger = logging.getLogger("retrain_tools")
        logger.handlers[:], logger.propagate = [heard], False  # the driver says it, once
        logger.setLevel(logging.INFO)
        with Computer(self._job) as computer:

            def run(shard: Shard) -> ShardDone | ShardRefused:
                try:
                    done = make_part(self._job, computer, shard)
                except InputError as error:
                    return ShardRefused(error.with_arguments_as(argument))
                return dataclasses.replace(done, said=heard.so_far())

            yield run


class _Heard(logging.Handler):
    """Keeps log lines for the driver."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))

    def so_far(self) -> list[tuple[int, str]]:
        lines, self._lines = self._lines, []
        return lines


def make_part(job: Job, computer: Computer, shard: Shard) -> ShardDone:
    """Make the part of a shard, unless it is finished.

    What is known of images that are still the same, be it a row or a failure, is taken over from
    the part that is there. The part counts when its record is there, which is written last.

    Raises:
        InputError: see `Computer.compute`; or none of the images of the part that is there is
            named now.
        OSError: something cannot be read or written.
    """
    start = time.monotonic()
    entries = looked_at(shard.entries)
    digest = layout.digest_of(entries)
    old = layout.read_record(job.output, shard.number)
    old = old if old is not None and old.identity == job.identity else None
    most_pixels = job.running.max_image_pixels
    if (
        old is not None
        and old.list == digest
        and not old.is_worth_another_try(job.retry_failed, most_pixels)
    ):
        return ShardDone(digest, 0, old.rows, old.failed, differences=old.differences)
    known = known_of(job, shard.number, old) if old is not None else NOTHING
    _refuse_to_lose(job, shard, known, entries)
    is_new = [not known.holds(entry) for entry in entries]
    new = [entry for entry, one in zip(entries, is_new, strict=True) if one]
    found = None
    if new and shard.is_careful:
        columns = computer.columns()
        computer.close()  # for its memory
        found = compute_carefully(job, columns, new)
    elif new:
        found = computer.compute(new)
    table, failed = _put_together(entries, is_new, known, found)
    differences = dict(old.differences if old else {}) | (found.differences if found else {})
    kinds = Counter(why.kind for _, why in failed)
    data = part_bytes(table)
    record = PartRecord(
        identity=job.identity,
        list=digest,
        rows=len(table.images),
        failed=dict(sorted(kinds.items())),
        sha256=layout.sha256(data),
        rows_sha256=table.digest(),
        bytes=len(data),
        seconds=round(time.monotonic() - start, 3),
        host=platform.node(),
        max_image_pixels=most_pixels,
        differences=differences,
    )
    _write(job.output, shard.number, entries, data, failed, record)
    told = [(new[place].uri, str(why)) for place, why in (found.failed if found else {}).items()]
    computed = len(new) - len(told)
    reused = len(table.images) - computed
    return ShardDone(digest, computed, reused, record.failed, told[:_MOST_TOLD], differences)


def looked_at(entries: Sequence[Entry]) -> list[Entry]:
    """Look up size and version of images of which the list tells nothing."""

    def look(entry: Entry) -> Entry:
        if entry.version is not None:
            return entry
        try:
            found = storage.stat(entry.uri)
        except (OSError, ValueError):  # ValueError: a null byte in the path
            return entry
        return dataclasses.replace(entry, size=found.size, version=found.version)

    if not any(is_uri(entry.uri) for entry in entries):
        return list(map(look, entries))
    with ThreadPoolExecutor(_LOOKING) as lookers:
        return list(lookers.map(look, entries))


def _refuse_to_lose(job: Job, shard: Shard, known: Known, entries: Sequence[Entry]) -> None:
    if job.overwrite or not known.named or known.names_any_of(entries):
        return
    raise InputError(
        f"{shown(job.output)} holds features of another list: none of the {len(known.named)} "
        f"images of {layout.part_name(shard.number)} is named there now. Choose another "
        f"{argument('output')}, or replace them with {argument('overwrite')}."
    )


def _put_together(
    entries: Sequence[Entry], is_new: Sequence[bool], known: Known, found: Computed | None
) -> tuple[PartTable, list[tuple[str, Failure]]]:
    """Return the rows and failures of all images, in the order of the list."""
    columns = known.columns if found is None else found.columns
    values = [np.empty((len(entries), *shape), np.float32) for _, shape in columns]
    images, labels = list[str](), list[str]()
    failed = list[tuple[str, Failure]]()
    at = -1  # in what was computed
    for entry, new in zip(entries, is_new, strict=True):
        at += new
        if new and found is not None:
            why, rows = found.failed.get(at), [value[at] for value in found.values]
        else:
            why, rows = known.failed.get(known.key(entry)), known.rows(entry)
        if why is not None:
            failed.append((entry.uri, why))
            continue
        for value, row in zip(values, rows, strict=True):
            value[len(images)] = row
        images.append(entry.uri)
        labels.append(entry.label)
    return PartTable(images, labels, columns, [v[: len(images)] for v in values]), failed


def _write(
    output: str,
    number: int,
    entries: Sequence[Entry],
    data: bytes,
    failed: Sequence[tuple[str, Failure]],
    record: PartRecord,
) -> None:
    # What is there stops to count before any of it changes.
    storage.delete(join(output, layout.record_name(number)))
    storage.write(join(output, layout.part_name(number)), data)
    place = join(output, layout.failures_name(number))
    if failed:
        storage.write(place, failures_bytes(failed))
    else:
        storage.delete(place)
    storage.write(join(output, layout.list_name(number)), list_bytes(entries))
    layout.write_record(output, number, record)
