"""Fills a bottleneck cache: reuses what is good, repairs what is damaged, computes the rest."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain_tools.disk_space import needing
from retrain_tools.engine.settings import DEFAULTS, RunSettings
from retrain_tools.engine.shapes import tensor_shape
from retrain_tools.errors import InputError, argument
from retrain_tools.features.adopt import adopt, refuse_other_depth, unchecked
from retrain_tools.features.cache import Cache, Identity, find_suffix
from retrain_tools.features.cache_formats import (
    AnyCache,
    CacheFormat,
    check_format,
    load,
    open_cache,
)
from retrain_tools.features.extractor import Extractor, Vector
from retrain_tools.features.failures import Budget, check_max_failures, report_failures
from retrain_tools.features.manifest import (
    Manifest,
    manifest_path,
    note_difference,
    read_manifest,
    refuse_another,
    write_manifest,
)
from retrain_tools.features.matrix_cache import matrix_namings
from retrain_tools.features.outcome import OnError, Outcome, compute
from retrain_tools.features.packed import Loaded, pack, stamp
from retrain_tools.files import check_writable
from retrain_tools.graphdef.feeds import check_fed
from retrain_tools.graphdef.fingerprint import fingerprint
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.folders import ImageFile
from retrain_tools.leftovers import remove_leftovers

log = logging.getLogger(__name__)

_IMAGES_BETWEEN_LINES = 100  # retrain.py


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilledCache(Outcome):
    """What became of the images of a cache; `repaired` counts its damaged files.

    Attributes:
        cache: the filled cache.
        identity: what its values depend on.
        vectors: float32 [N, depth] where they were asked for: a row for each image, in the order in
            which they were named first; zeros for one that cannot be used.
    """

    cache: AnyCache
    identity: Identity
    vectors: Vector | None = dataclasses.field(default=None, repr=False, compare=False)

    def summary(self) -> str:
        """One line for people."""
        return self.closing_line(self.cache.folder)


@dataclasses.dataclass(frozen=True)
class CacheOptions:
    """How to use a bottleneck folder. The fields are called as the scripts' flags.

    Attributes:
        bottleneck_dir: the bottleneck folder.
        bottleneck_suffix: the naming; None takes what the folder has, else `preferred_suffix`.
        preferred_suffix: the naming of a new cache.
        pooling: for a tensor of rank above 2.
        trust_cache: take bottlenecks unchecked of which nobody knows what made them.
        cache_format: a text file for each image, or npy, one matrix; None takes what the folder
            has, else text.
        on_error: what to do about an image that cannot be used.
        max_failures: how many images may fail, or which part of them (`2%`), before the job ends.
        running: how the graph is run.
    """

    bottleneck_dir: str
    bottleneck_suffix: str | None = None
    preferred_suffix: str = ""
    pooling: str = "avg"
    trust_cache: bool = False
    cache_format: CacheFormat | None = None
    on_error: OnError = "skip"
    max_failures: str | int | None = None
    running: RunSettings = DEFAULTS


class _Found(NamedTuple):
    """What a cache holds for some images.

    Attributes:
        good, damaged, missing: what their files are.
        others: those whose file another graph computed, and that graph.
        other_depths: how many files have another number of values.
        loaded: of all images, as it was read.
    """

    good: list[ImageFile]
    damaged: list[ImageFile]
    missing: list[ImageFile]
    others: dict[ImageFile, str]
    other_depths: collections.Counter[int]
    loaded: Loaded

    @property
    def waiting(self) -> list[ImageFile]:
        """The images that are to be computed."""
        return [*self.damaged, *self.missing, *self.others]


def check_options(options: CacheOptions) -> None:
    """Check what takes no graph and no images.

    Raises:
        InputError: the folder is a file or cannot be written, or the suffix is no part of a name.
    """
    folder = Path(options.bottleneck_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; {argument('bottleneck_dir')} takes a folder.")
    check_writable(folder)
    check_max_failures(options.max_failures)
    for suffix in (options.bottleneck_suffix or "", options.preferred_suffix):
        if "/" in suffix:
            raise InputError(
                f"{argument('bottleneck_suffix')}={suffix} is part of a file name and cannot hold "
                "'/'; retrain.py wrote '~' for it in the names of modules."
            )


def fill_cache(
    frozen: FrozenGraph,
    images: Sequence[ImageFile],
    options: CacheOptions,
    with_vectors: bool = False,
) -> FilledCache:
    """Make sure that the values of `spec.bottleneck` of every usable image are cached, and good.

    With `with_vectors` they are returned, too, and of text files a packed copy is kept.

    Raises:
        InputError: see `check_options`; the folder belongs to another graph, a cache without
            manifest does not match, two images share a bottleneck file, no image can be used, or
            one cannot and `on_error` is `fail`.
    """
    check_options(options)
    folder, tensor = Path(options.bottleneck_dir), frozen.spec.bottleneck
    remove_leftovers(folder, below=True)
    check_fed(frozen, [tensor])
    images = _without_repeats(images)
    suffix = _naming(options, images)
    budget = Budget.of(options.max_failures, len(images), folder / f"failures{suffix}.csv")
    graph, identity = str(frozen.path), identity_of(frozen, options.pooling, options.running)
    check_format(folder, suffix, images, options.cache_format)
    before = read_manifest(folder, suffix)
    refuse_another(before, folder, suffix, identity)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def extractor() -> Extractor:
            new = Extractor(frozen, [tensor], options.pooling, options.running)
            return stack.enter_context(new)

        is_known = before is not None and before.identity is not None
        depth = before.depth if before and is_known else extractor().shapes[0][0]
        cache = open_cache(folder, suffix, depth, options.cache_format)
        vectors = np.zeros((len(images), depth), np.float32) if with_vectors else None
        found = _read_cached(cache, images, before.others(identity) if before else {}, vectors)
        if before and is_known:
            now = before
        elif found.other_depths and not found.good:
            refuse_other_depth(cache, found.other_depths, tensor)
        else:
            now = _settle(cache, before, found, identity, graph, options.trust_cache, extractor)
        waiting = {image.path: image for image in found.waiting}
        now = _record(cache, before, now, found, identity, graph)
        done = Outcome()
        if waiting:
            write = _writer(cache, images, waiting, found, vectors)
            done = compute(extractor(), list(waiting), write, options.on_error, budget)
            for difference in extractor().differences.values():
                note_difference(folder, suffix, difference)
    if vectors is not None and isinstance(cache, Cache):
        pack(cache, images, vectors, found.loaded)
    _warn_of_mixture(cache, now, done.computed)
    report_failures(done.failed, len(images), budget.path)
    repaired = sum(image.path not in done.failed for image in found.damaged)
    computed, reused = done.computed - repaired, len(found.good)
    done = dataclasses.replace(done, computed=computed, reused=reused, repaired=repaired)
    return FilledCache(**vars(done), cache=cache, identity=identity, vectors=vectors)


def _writer(
    cache: AnyCache,
    images: Sequence[ImageFile],
    waiting: Mapping[str, ImageFile],
    found: _Found,
    vectors: Vector | None,
) -> Callable[[str, list[Vector]], None]:
    """Return what keeps the values that were computed of an image, by its path."""
    place_of = {image.path: place for place, image in enumerate(images) if image.path in waiting}
    numbers = itertools.count(len(found.good) + 1)
    lefts = iter(range(len(waiting), 0, -1))  # this one, and those that come, if none fails

    def write(path: str, values: list[Vector]) -> None:
        place, left = place_of[path], next(lefts)
        with needing(cache.folder, lambda: left * cache.bytes_of_row(images[place], values[0])):
            cache.write(images[place], values[0])
        found.loaded.good[place] = True
        _tell(next(numbers))
        if vectors is not None:
            vectors[place] = values[0]
            if isinstance(cache, Cache):
                found.loaded.stamps[place] = stamp(cache.path(images[place]))

    return write


def _tell(number: int) -> None:
    """Write retrain.py's line, which counted the files that it found, too."""
    if number % _IMAGES_BETWEEN_LINES == 0:
        log.debug("%d bottleneck files created.", number)


def _settle(
    cache: AnyCache,
    before: Manifest | None,
    found: _Found,
    identity: Identity,
    graph: str,
    trust: bool,
    extractor: Callable[[], Extractor],
) -> Manifest:
    """Return the manifest of a cache that has none yet, or one of which it is not known whose."""
    if before is None:
        # Another run may have begun meanwhile; its manifest was there before its bottlenecks.
        before = read_manifest(cache.folder, cache.suffix)
        refuse_another(before, cache.folder, cache.suffix, identity)
        if before is not None and before.identity is not None:
            return before
    wanted = Manifest(identity, cache.depth, graph)
    own = before.own(identity) if before else set()
    unknown = [image for image in found.good if image.relative not in own]
    if unknown:
        return adopt(cache, before, unknown, wanted, trust, extractor)
    is_mixed = before is None and cache.holds_other_images(found.waiting)
    return unchecked(wanted, 0) if is_mixed else before or wanted


def _record(
    cache: AnyCache,
    before: Manifest | None,
    now: Manifest,
    found: _Found,
    identity: Identity,
    graph: str,
) -> Manifest:
    """Write the manifest before the files that it tells of, and return it."""
    now = now.with_computed(identity, graph, [image.relative for image in found.waiting])
    if others := found.others:
        log.info(
            "%d bottlenecks in %s were computed by another graph (%s) and are computed again",
            len(others), cache.folder, ", ".join(sorted(set(others.values()))),
        )  # fmt: skip
        # First, so that a run that is stopped leaves none under a wrong name.
        cache.remove(list(others))
    if now != before:
        write_manifest(cache.folder, cache.suffix, now)
    return now


def _warn_of_mixture(cache: AnyCache, now: Manifest, computed: int) -> None:
    if computed and now.identity is None:
        log.warning(
            "%d bottlenecks were computed into %s, whose other bottlenecks were never checked; "
            "%s lists those of this graph",
            computed, cache.folder, manifest_path(cache.folder, cache.suffix),
        )  # fmt: skip


def _naming(options: CacheOptions, images: Sequence[ImageFile]) -> str:
    if options.bottleneck_suffix is not None:
        return options.bottleneck_suffix
    there = matrix_namings(folder := Path(options.bottleneck_dir))
    return find_suffix(folder, images, options.preferred_suffix, there)


def identity_of(frozen: FrozenGraph, pooling: str, running: RunSettings) -> Identity:
    """Return what the values of `spec.bottleneck` depend on."""
    tensor = frozen.spec.bottleneck
    shape = tensor_shape(frozen.graph_def, tensor)
    is_vector = shape is not None and len(shape) <= 2
    if is_vector or pooling == "none":
        pooling = "none" if is_vector else "flatten"  # they write the same values of a map
    nodes = fingerprint(frozen.graph_def, [tensor])
    return Identity(nodes, tensor, pooling, frozen.spec.preprocessing(), running.computed_in)


def _without_repeats(images: Sequence[ImageFile]) -> list[ImageFile]:
    """Return each image once; raise InputError where two would have the same bottleneck file."""
    by_place: dict[str, ImageFile] = {}
    for image in images:
        other = by_place.setdefault(image.relative, image)
        if other.path != image.path:
            raise InputError(
                f"{other.path} and {image.path} would share the bottleneck of {image.relative}; "
                f"give each folder of images its own {argument('bottleneck_dir')}."
            )
    return list(by_place.values())


def _read_cached(
    cache: AnyCache,
    images: Sequence[ImageFile],
    others: Mapping[str, str],
    vectors: Vector | None,
) -> _Found:
    loaded = load(cache, images, vectors)
    found = _Found([], [], [], {}, collections.Counter(), loaded)
    for place, image in enumerate(images):
        if image.relative in others:
            found.others[image] = others[image.relative]
            loaded.good[place] = False
            if vectors is not None:
                vectors[place] = 0
        elif loaded.good[place]:
            found.good.append(image)
            _tell(len(found.good))
        elif error := loaded.wrong.get(place):
            log.info("damaged bottleneck, computed again: %s: %s", cache.place(image), error)
            found.damaged.append(image)
            if error.depth is not None:
                found.other_depths[error.depth] += 1
        else:
            found.missing.append(image)
    return found
