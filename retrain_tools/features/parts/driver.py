"""The job of many shards: a few at a time to workers, counting, and how it comes to an end."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from retrain_tools import files, storage
from retrain_tools.engine.cpu import usable_cores
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.features.failures import Budget, check_max_failures
from retrain_tools.features.faithfulness import Difference
from retrain_tools.features.fetch import identities_of
from retrain_tools.features.outcome import closing_line
from retrain_tools.features.parts import layout
from retrain_tools.features.parts.job import Job, PackedGraph
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.listing import count_aside, listed_images, shards_of
from retrain_tools.features.parts.manifest import (
    Listed,
    PartsManifest,
    add_up,
    read_manifest,
    refuse_another,
    write_manifest,
)
from retrain_tools.features.parts.shard import Shard, ShardDone, ShardRefused, ShardWork
from retrain_tools.features.parts.tables import IMAGE, LABEL, check_installed
from retrain_tools.graphdef.feeds import check_fed
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.progress import long_progress
from retrain_tools.runners.work import Outcome
from retrain_tools.text_tables import counted
from retrain_tools.uris import is_uri, join, shown

log = logging.getLogger(__name__)

Runner = Literal["local", "ray"]
RUNNERS: tuple[Runner, ...] = ("local", "ray")

_MOST_TOLD = 100  # failures that are named in the log; all are in the lists
_MOST_TRIES = 3  # of a shard, each with as many deaths of workers as a runner bears
_MOST_GIVEN_UP = 10  # shards; more, and it is not the shards' fault
_MOST_GAP = 100  # in the numbers of parts that a stopped run has left: of shards under way


@dataclasses.dataclass(frozen=True)
class ManyOptions:
    """How to fetch for many images. The fields are called as the script's flags.

    Attributes:
        output: the folder or URI of the parts.
        image_dir: a folder or URI of images, searched at any depth; its topmost folders are labels.
        image_list: or a list of them, see `listing.listed_images`.
        runner: who has the workers: `local`, this machine, or `ray`, a cluster.
        address: of the cluster; None starts one on this machine.
        workers: processes with one thread each; None for one on each core.
        shard_size: images in a part; rows of as many are held in a worker's memory.
        pooling: how values of rank above 2 become a vector; None to keep their shape.
        retry_failed: compute again what failed for a reason that may pass.
        max_failures: how many images may fail, or which part of them (`2%`), before the job ends.
        overwrite: replace parts of images that are not in the list.
        running: how the graph is run; its `threads` do not count.
    """

    output: str
    image_dir: str | None = None
    image_list: str | None = None
    runner: Runner = "local"
    address: str | None = None
    workers: int | None = None
    shard_size: int = 4096
    pooling: str | None = None
    retry_failed: bool = False
    max_failures: str | int | None = None
    overwrite: bool = False
    running: RunSettings = DEFAULTS


@dataclasses.dataclass(frozen=True)
class FetchedMany:
    """What became of the images.

    Attributes:
        computed: images whose values were not there.
        reused: images whose values were there already.
        failed: how many have no row, by the kind of failure.
        shards: how many parts there are.
        seconds: that it took.
        output: the folder or URI of the parts.
        tensors: the columns.
    """

    computed: int
    reused: int
    failed: Mapping[str, int]
    shards: int
    seconds: float
    output: str
    tensors: tuple[str, ...]

    def summary(self) -> str:
        """One line for people."""
        failed = sum(self.failed.values())
        counts = {"computed": self.computed, "reused": self.reused, "failed": failed}
        place = f"{self.output}: {counted(self.shards, 'part')}, {', '.join(self.tensors)}"
        return closing_line(counts, self.computed, self.seconds, place)

    def figures(self) -> dict[str, Any]:
        """Return the counts and the seconds, for `--log_json`."""
        counts = {"computed": self.computed, "reused": self.reused, "shards": self.shards}
        return {**counts, "failures": dict(self.failed), "seconds": round(self.seconds, 3)}


def check_options(options: ManyOptions) -> None:
    """Check what takes no graph and no images.

    Raises:
        InputError: a value is wrong, the output cannot be written, or a package is missing.
    """
    for name in ("workers", "shard_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{argument(name)}={value} must be at least 1.")
    if options.runner not in RUNNERS:
        raise InputError(f"{argument('runner')}={options.runner} must be {' or '.join(RUNNERS)}.")
    if options.address and options.runner != "ray":
        raise InputError(f"{argument('address')} is of a Ray cluster: {argument('runner')}=ray.")
    check_max_failures(options.max_failures)
    check_installed()
    if is_uri(options.output):
        return
    if Path(options.output).is_file():
        raise InputError(f"{options.output} is a file; {argument('output')} takes a folder.")
    files.check_writable(Path(options.output))


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
        tally = _Tally(options, count_aside(options.image_dir, options.image_list))
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
                f"{output} is being written by another run. Wait until that has ended, or choose "
                f"another {argument('output')}."
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


class _Tally:
    """What became of shards so far."""

    def __init__(self, options: ManyOptions, total: Callable[[], int | None]) -> None:
        self.total = total
        self.digest = self.images = self.shards = self.computed = self.reused = 0
        self.failed: collections.Counter[str] = collections.Counter()
        self.differences: dict[str, Any] = {}
        self.given_up: list[str] = []
        self.again: collections.deque[Shard] = collections.deque()
        self._told, self._said = 0, set[str]()
        self._options = options

    def budget(self, images: int | None) -> Budget:
        """Return how many of so many images may fail; of no one knows how many, any percentage."""
        said = self._options.max_failures
        if images is None and "%" in str(said):
            said = None
        place = join(self._options.output, layout.FAILURES)
        return Budget.of(said, images or self.images, place)

    def take(
        self, outcome: Outcome[Shard, ShardDone | ShardRefused], advance: Callable[..., object]
    ) -> None:
        """Count what became of a shard, or let it be tried again.

        Raises:
            InputError: no shard can be done, too many could not, or too many images failed.
        """
        shard, done = outcome.task, outcome.result
        if isinstance(done, ShardRefused):
            raise InputError(done.message)
        if done is None:
            self._give_up(shard, outcome)
            return
        failed = sum(done.failed.values())
        self.shards += 1
        self.images += len(shard.entries)
        self.digest = add_up(self.digest, shard.number, done.digest)
        self.computed += done.computed
        self.reused += done.reused
        self.failed.update(done.failed)
        for name, found in done.differences.items():
            if self.differences.get(name, {}).get("images", 0) < found["images"]:
                self.differences[name] = found
        self._tell(done)
        there = len(shard.entries) if not done.computed and not done.told else done.reused
        advance(len(shard.entries), failed=failed, there=there)
        self.budget(self.total()).refuse(self.failed.total())

    def _give_up(self, shard: Shard, outcome: Outcome[Shard, Any]) -> None:
        why = f"{layout.part_name(shard.number)}: {outcome.failure}"
        if shard.tries + 1 < _MOST_TRIES:
            log.warning("%s; it is tried again", why)
            careful = shard.is_careful or outcome.deaths > 0
            again = dataclasses.replace(shard, tries=shard.tries + 1, is_careful=careful)
            self.again.append(again)
            return
        self.given_up.append(why)
        if len(self.given_up) > _MOST_GIVEN_UP:
            raise self.gave_up()

    def gave_up(self) -> InputError:
        """Return what tells of the shards that could not be done."""
        shards = counted(len(self.given_up), "shard")
        return InputError(
            f"{shards} could not be done: {self.given_up[0]}. The same command goes on where this "
            "one has ended."
        )

    def _tell(self, done: ShardDone) -> None:
        for level, line in done.said:
            if line not in self._said and len(self._said) < _MOST_TOLD:
                self._said.add(line)
                log.log(level, "%s", line)
        for image, why in done.told:
            self._told += 1
            if self._told <= _MOST_TOLD:
                log.warning("%s %s", shown(image), why)
            if self._told == _MOST_TOLD:
                log.warning("others that fail are only listed: %s", layout.FAILURES)


def _outcomes(
    work: ShardWork, entries: Iterator[Entry], options: ManyOptions, tally: _Tally
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

    run_tasks = _runner(options)
    yield from run_tasks(work, waiting())
    while tally.again:  # given up after the last shard was given out
        yield from run_tasks(work, waiting())


def _runner(options: ManyOptions) -> Callable[..., Iterator[Outcome[Shard, Any]]]:
    workers = options.workers or usable_cores()
    if options.runner == "local":
        local = importlib.import_module("retrain_tools.runners.local")
        return lambda work, tasks: local.run_tasks(work, tasks, workers)
    cluster = importlib.import_module("retrain_tools.runners.ray_cluster")
    return lambda work, tasks: cluster.run_tasks(work, tasks, options.workers, options.address)


def _end(options: ManyOptions, manifest: PartsManifest, tally: _Tally) -> None:
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
        place = join(options.output, layout.FAILURES)
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
                f"{options.output} holds more parts than the list has images for, as "
                f"{layout.part_name(number)}. All others are there; {argument('overwrite')} "
                "removes these."
            )
        dropped, last = dropped + 1, number
        storage.delete(record)  # first: without it none of the others counts
        for name in (layout.part_name, layout.failures_name, layout.list_name):
            storage.delete(join(options.output, name(number)))
    if dropped:
        log.info("%s of images that are not listed removed", counted(dropped, "part"))
