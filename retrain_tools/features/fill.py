"""Fills a bottleneck cache: reuses what is good, repairs what is damaged, computes the rest."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from retrain_tools.engine.shapes import tensor_shapes
from retrain_tools.errors import InputError, argument
from retrain_tools.features.adopt import adopt, refuse_other_depth
from retrain_tools.features.cache import (
    Cache,
    DamagedBottleneckError,
    Identity,
    find_suffix,
    fingerprint,
    read_manifest,
    write_manifest,
)
from retrain_tools.features.extractor import Extractor, Vector
from retrain_tools.features.outcome import OnError, Outcome, compute, report_failures
from retrain_tools.files import check_writable
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import MAX_PIXELS
from retrain_tools.images.folders import ImageFile

log = logging.getLogger(__name__)

Keep = Callable[[ImageFile, Vector], object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilledCache(Outcome):
    """What became of the images of a cache; `repaired` counts its damaged files.

    Attributes:
        cache: the filled cache.
        identity: what its values depend on.
    """

    cache: Cache
    identity: Identity

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
        trust_cache: adopt a cache without manifest unchecked.
        on_error: what to do about an image that cannot be used.
        max_image_pixels: largest image to accept.
    """

    bottleneck_dir: str
    bottleneck_suffix: str | None = None
    preferred_suffix: str = ""
    pooling: str = "avg"
    trust_cache: bool = False
    on_error: OnError = "skip"
    max_image_pixels: int = MAX_PIXELS


class _Found(NamedTuple):
    """What a cache holds: good files, damaged and missing ones, counts of other depths."""

    good: list[ImageFile]
    damaged: list[ImageFile]
    missing: list[ImageFile]
    other_depths: collections.Counter[int]


def check_options(options: CacheOptions) -> None:
    """Check what takes no graph and no images.

    Raises:
        InputError: the folder is a file or cannot be written, or the suffix is no part of a name.
    """
    folder = Path(options.bottleneck_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; {argument('bottleneck_dir')} takes a folder.")
    check_writable(folder)
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
    keep: Keep = lambda _image, _vector: None,
) -> FilledCache:
    """Make sure that every usable image has a good file of the values of `spec.bottleneck`.

    They, float32 [depth], go to `keep` as well, image by image in any order.

    Raises:
        InputError: see `check_options`; the folder belongs to another graph, a cache without
            manifest does not match, two images share a bottleneck file, no image can be used, or
            one cannot and `on_error` is `fail`.
    """
    check_options(options)
    images = _without_repeats(images)
    folder, suffix = Path(options.bottleneck_dir), options.bottleneck_suffix
    if suffix is None:
        suffix = find_suffix(folder, images, options.preferred_suffix)
    tensor, pooling = frozen.spec.bottleneck, options.pooling
    identity = identity_of(frozen, pooling)
    depth = read_manifest(folder, suffix, identity)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def extractor() -> Extractor:
            new = Extractor(frozen, [tensor], pooling, options.max_image_pixels)
            return stack.enter_context(new)

        cache = Cache(folder, suffix, extractor().shapes[0][0] if depth is None else depth)
        found = _read_cached(cache, images, keep)
        if depth is None:
            if found.other_depths and not found.good:
                refuse_other_depth(cache, found.other_depths, tensor)
            checked = adopt(cache, found.good, options.trust_cache, extractor)
            graph = str(frozen.path)
            write_manifest(folder, suffix, identity, cache.depth, graph, adopted=checked)
        done = Outcome()
        if waiting := {image.path: image for image in (*found.damaged, *found.missing)}:

            def write(path: str, values: list[Vector]) -> None:
                cache.write(waiting[path], values[0])
                keep(waiting[path], values[0])

            done = compute(extractor(), list(waiting), write, options.on_error)
    report_failures(done.failed, len(images), folder / f"failures{suffix}.csv")
    repaired = sum(image.path not in done.failed for image in found.damaged)
    computed, reused = done.computed - repaired, len(found.good)
    done = dataclasses.replace(done, computed=computed, reused=reused, repaired=repaired)
    return FilledCache(**vars(done), cache=cache, identity=identity)


def identity_of(frozen: FrozenGraph, pooling: str) -> Identity:
    """Return what the values of `spec.bottleneck` depend on."""
    tensor = frozen.spec.bottleneck
    shape = tensor_shapes(frozen.graph_def).get(tensor)
    is_vector = shape is not None and len(shape) <= 2
    prepared = frozen.spec.preprocessing()
    return Identity(fingerprint(frozen, tensor), tensor, "none" if is_vector else pooling, prepared)


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


def _read_cached(cache: Cache, images: Sequence[ImageFile], keep: Keep) -> _Found:
    found = _Found([], [], [], collections.Counter())
    for image in images:
        try:
            vector = cache.read(image)
        except DamagedBottleneckError as error:
            log.info("damaged bottleneck, computed again: %s: %s", cache.path(image), error)
            found.damaged.append(image)
            if error.depth is not None:
                found.other_depths[error.depth] += 1
            continue
        if vector is None:
            found.missing.append(image)
            continue
        found.good.append(image)
        keep(image, vector)
    return found
