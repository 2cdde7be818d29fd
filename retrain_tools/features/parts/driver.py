"""The job of many shards: a few at a time to workers, counting, and how it comes to an end."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retrain_tools import files, storage
from retrain_tools.engine.cpu import usable_cores
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.features.faithfulness import Difference
from retrain_tools.features.fetch import identities_of
from retrain_tools.features.parts import layout
from retrain_tools.features.parts.job import Job, PackedGraph
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.listing import count_aside, listed_images, shards_of
from retrain_tools.features.parts.manifest import (
    Listed,
    PartsManifest,
    read_manifest,
    refuse_another,
    write_manifest,
)
from retrain_tools.features.parts.options import FetchedMany, ManyOptions, check_options
from retrain_tools.features.parts.shard import Shard, ShardDone, ShardRefused, ShardWork
from retrain_tools.features.parts.tables import IMAGE, LABEL
from retrain_tools.features.parts.tally import Tally
from retrain_tools.graphdef.feeds import check_fed
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.progress import long_progress
from retrain_tools.runners.work import Outcome
from retrain_tools.text_tables import counted
from retrain_tools.uris import is_uri, join, shown

log = logging.getLogger(__name__)

_MOST_GAP = 100  # in the numbers of parts that a stopped run has left: of shards under way


def fetch_many(
    frozen: FrozenGraph, tensors: Mapping[str, str], options: ManyOptions
) -> FetchedMany:
    """Write the values of tensors for any number of images, in parts (see `layout`).

    Every image of the list is in its part as a row, or in its list of failures. Parts that are
    finished and of the same images are not made again; of others, what is known of images that are
    still the same is taken over. The memory of this process does not depend on how many there are.

    Args:
        frozen: the graph.
        tensors: full names, by the names that they get in the parts.
        options: which images, where to, and how.

    Raises:
        InputError: see `check_options` and `listing`; the output was made in another way, is of
            other images, or is being written; a tensor is not computed from images; no image can be
            used, or more cannot than `max_failures` allows; or shards could not be done.
    """
    check_options(options)
    names = sorted({IMAGE, LABEL} & tensors.keys())
    if names:
        raise InputError(f"{names[0]!r} is the name of a column of every part; it is no tensor's.")
    entries = listed_images(options.image_dir, options.image_list)
    check_fed(frozen, list(tensors.values()))
    identities = identities_of(frozen, tensors, options.pooling, options.running)
    with _alone(options.output):
        manifest = _begin(options, str(frozen.path), identities)
        running = dataclasses.replace(options.running, threads=1)
        work = ShardWork(
            Job(
                output=options.output,
                identity=manifest.digest(),
                graph=PackedGraph.of(frozen),
                tensors=dict(tensors),
                pooling=options.pooling,
                running=running,
                retry_failed=options.retry_failed,
                overwrite=options.overwrite,
            )
        )
        tally = Tally(options, count_aside(options.image_dir, options.image_list))
        start = time.monotonic()
        try:
            with long_progress(tally.total, "images") as advance:
                for outcome in _outcomes(work, entries, options, tally):
                    tally.take(outcome, advance)
        except KeyboardInterrupt:
            log.info("stopped after %s; run again to go on", counted(tally.images, "image"))
            raise
        _end(options, manifest, tally)
    return FetchedMany(
        computed=tally.computed,
        reused=tally.reused,
        failed=dict(sorted(tally.failed.items())),
        shards=tally.shards,
        seconds=time.monotonic() - start,
        output=options.output,
        tensors=tuple(tensors),
    )


@contextlib.contextmanager
def _alone(output: str) -> Iterator[None]:
    """Let no second run write the same output, where that can be known.

    In an object store it cannot: two runs of the same job write the same bytes there.
    """
    if is_uri(output):
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(files.alone_in(Path(output), wait=False))
        except BlockingIOError as error:
            raise InputError(
                f"{shown(output)} is being written by another run. Wait until that has ended, "
                f"or choose another {argument('output')}."
            ) from error
        yield


def _begin(options: ManyOptions, graph: str, identities: dict[str, Identity]) -> PartsManifest:
    """Write the manifest of a run that has not come to its end, unless the output is another's."""
    there = read_manifest(options.output)
    manifest = PartsManifest(graph, identities, options.shard_size)
    if there is not None:
        refuse_another(options.output, there, manifest)
        manifest = dataclasses.replace(there, list=None)
    write_manifest(options.output, manifest)
    return manifest


def _outcomes(
    work: ShardWork, entries: Iterator[Entry], options: ManyOptions, tally: Tally
) -> Iterator[Outcome[Shard, ShardDone | ShardRefused]]:
    """Yield how shards end, as they end; those that are to be tried again come first."""
    shards = itertools.starmap(Shard, shards_of(entries, options.shard_size))

    def waiting() -> Iterator[Shard]:
        while True:
            if tally.again:
                yield tally.again.popleft()
            elif (shard := next(shards, None)) is not None:
                yield shard
            else:
                return

    run_tasks, tasks = _runner(options), waiting()
    while True:
        for outcome in run_tasks(work, tasks):
            _check_is_here(options, outcome)
            yield outcome
        if not tally.again:  # given up after the last shard was given out
            return
        tasks = waiting()


def _runner(options: ManyOptions) -> Callable[..., Iterator[Outcome[Shard, Any]]]:
    workers = options.workers or usable_cores()
    if options.runner == "local":
        local = importlib.import_module("retrain_tools.runners.local")
        return lambda work, tasks: local.run_tasks(work, tasks, workers)
    cluster = importlib.import_module("retrain_tools.runners.ray_cluster")
    return lambda work, tasks: cluster.run_tasks(work, tasks, options.workers, options.address)


def _check_is_here(options: ManyOptions, outcome: Outcome[Shard, ShardDone | ShardRefused]) -> None:
    """Raise InputError where a machine of a cluster wrote its part to a disk of its own."""
    is_at_hand = options.runner == "local" or is_uri(options.output)
    if is_at_hand or not isinstance(outcome.result, ShardDone):
        return
    number, output = outcome.task.number, options.output
    if not storage.exists(join(output, layout.record_name(number))):
        raise InputError(
            f"{layout.part_name(number)} is done, and not in {output} of this machine: another one "
            f"wrote it to its own disk. Name an {argument('output')} at a URI, or a folder that "
            "all machines mount at the same path."
        )


def _end(options: ManyOptions, manifest: PartsManifest, tally: Tally) -> None:
    """Say that all parts are there, and take away those of images that are not listed any more."""
    if tally.given_up:
        raise tally.gave_up()
    failed = tally.failed.total()
    tally.budget(tally.images).refuse(failed)
    _drop(options, tally.shards)
    listed = Listed(f"{tally.digest:064x}", tally.images, tally.shards, failed)
    differences = {**manifest.differences, **tally.differences}
    write_manifest(
        options.output, dataclasses.replace(manifest, list=listed, differences=differences)
    )
    for name, found in tally.differences.items():
        named = f"{name}: " if len(manifest.tensors) > 1 else ""
        log.info("%s%s", named, Difference(**found).line())
    if failed == tally.images:
        place = shown(join(options.output, layout.FAILURES))
        raise InputError(f"None of the {failed} images can be used; the reasons are in {place}.")


def _drop(options: ManyOptions, shards: int) -> None:
    """Take away parts with a number from `shards` on, of a longer list."""
    dropped, last = 0, shards
    for number in itertools.count(shards):
        if number - last > _MOST_GAP:
            break
        record = join(options.output, layout.record_name(number))
        if not storage.exists(record):
            continue
        if not options.overwrite:
            raise InputError(
                f"{shown(options.output)} holds more parts than the list has images for, as "
                f"{layout.part_name(number)}. All others are there; {argument('overwrite')} "
                "removes these."
            )
        dropped, last = dropped + 1, number
        storage.delete(record)  # first: without it none of the others counts
        for name in (layout.part_name, layout.failures_name, layout.list_name):
            storage.delete(join(options.output, name(number)))
    if dropped:
        log.info("%s of images that are not listed removed", counted(dropped, "part"))
