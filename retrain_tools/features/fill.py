"""Fills a bottleneck cache: reuses what is good, repairs what is damaged, computes the rest."""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from retrain_tools import files
from retrain_tools.engine.shapes import tensor_shapes
from retrain_tools.errors import InputError
from retrain_tools.features.adopt import adopt, refuse_other_depth
from retrain_tools.features.cache import (
    Cache,
    DamagedBottleneckError,
    Identity,
    Vector,
    WrongDepthError,
    find_suffix,
    fingerprint,
    read_manifest,
    refuse_another,
    write_manifest,
)
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.images.decode import MAX_PIXELS, ImageError
from retrain_tools.images.folders import ImageFile
from retrain_tools.progress import progress

log = logging.getLogger(__name__)


@dataclasses.dataclass
class FillReport:
    """What became of each image.

    Attributes:
        cache: the filled cache.
        identity: what its values depend on.
        computed: images that had no cache file.
        reused: images with a good cache file.
        repaired: images whose cache file was damaged and is written anew.
        failed: images that cannot be used, each with the reason.
        seconds: time spent computing.
    """

    cache: Cache
    identity: Identity
    computed: int = 0
    reused: int = 0
    repaired: int = 0
    failed: list[tuple[ImageFile, str]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> str:
        """One line for people."""
        counts = (
            f"{self.computed} computed, {self.reused} reused, {self.repaired} repaired, "
            f"{len(self.failed)} failed"
        )
        made = self.computed + self.repaired
        speed = f" ({made / self.seconds:.1f} images/s)" if made and self.seconds else ""
        return f"{counts}{speed}: {self.cache.folder}"


@dataclasses.dataclass(frozen=True)
class CacheOptions:
    """How to use a bottleneck folder.

    Attributes:
        folder: the bottleneck folder.
        suffix: the naming; None takes what the folder has, else `preferred_suffix`.
        preferred_suffix: the naming of a new cache.
        pooling: for a tensor of rank above 2.
        trust: adopt a cache without manifest unchecked.
        fail_on_error: stop at the first image that cannot be used.
        max_pixels: largest image to accept.
    """

    folder: str
    suffix: str | None = None
    preferred_suffix: str = ""
    pooling: str = "avg"
    trust: bool = False
    fail_on_error: bool = False
    max_pixels: int = MAX_PIXELS


def fill_cache(
    frozen: FrozenGraph,
    images: Sequence[ImageFile],
    options: CacheOptions,
    keep: Callable[[ImageFile, Vector], None] | None = None,
) -> FillReport:
    """Make sure that every usable image has a good bottleneck file.

    Args:
        frozen: the graph; `spec.bottleneck` is the tensor.
        images: the images.
        options: where and how.
        keep: gets every image's values as well, in any order, one at a time, maybe in another
            thread.

    Raises:
        InputError: the folder belongs to another graph, a cache without manifest does not match,
            two images share a bottleneck file, no image can be used, or one cannot and
            `fail_on_error` is set.
    """
    images = _without_repeats(images)
    folder = Path(options.folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --bottleneck_dir takes a folder.")
    tensor = frozen.spec.bottleneck
    suffix = options.suffix
    if suffix is None:
        suffix = find_suffix(folder, images, options.preferred_suffix)
    if "/" in suffix:
        raise InputError(
            f"--bottleneck_suffix={suffix} is part of a file name and cannot hold '/'; retrain.py "
            "wrote '~' for it in the names of modules."
        )
    shape = tensor_shapes(frozen.graph_def).get(tensor)
    is_vector = shape is not None and len(shape) <= 2
    identity = Identity(
        fingerprint(frozen, tensor),
        tensor,
        "none" if is_vector else options.pooling,
        frozen.spec.preprocessing(),
    )
    manifest = read_manifest(folder, suffix)
    if manifest is not None:
        refuse_another(folder, suffix, manifest, identity)
    with contextlib.ExitStack() as stack:
        opened: list[Extractor] = []

        def extractor() -> Extractor:
            if not opened:
                new = Extractor(frozen, [tensor], options.pooling, options.max_pixels)
                opened.append(stack.enter_context(new))
            return opened[0]

        depth = manifest["depth"] if manifest else extractor().shapes[0][0]
        cache = Cache(folder, suffix, depth)
        report = FillReport(cache, identity)
        waiting, other_depths = _read_cached(cache, images, report, keep)
        if manifest is None:
            if other_depths and not report.reused:
                refuse_other_depth(cache, other_depths, tensor)
            found = [image for image in images if image.path not in waiting]
            checked = adopt(cache, found, options.trust, extractor)
            graph = str(frozen.path)
            write_manifest(folder, suffix, identity, cache.depth, graph, adopted=checked)
        if waiting:
            _compute(cache, waiting, extractor(), report, options, keep)
    _report_failures(report, len(images))
    return report


def _without_repeats(images: Sequence[ImageFile]) -> list[ImageFile]:
    """Return each image once.

    Raises:
        InputError: two images of different folders would have the same bottleneck file.
    """
    by_place: dict[str, ImageFile] = {}
    for image in images:
        other = by_place.setdefault(image.relative, image)
        if other.path != image.path:
            raise InputError(
                f"{other.path} and {image.path} would share the bottleneck of {image.relative}; "
                "give each folder of images its own --bottleneck_dir."
            )
    return list(by_place.values())


def _read_cached(
    cache: Cache,
    images: Sequence[ImageFile],
    report: FillReport,
    keep: Callable[[ImageFile, Vector], None] | None,
) -> tuple[dict[str, tuple[ImageFile, bool]], collections.Counter[int]]:
    """Read what is cached.

    Returns:
        The images to compute by path, each with whether its file is damaged; and how many of
        those files hold so many sound numbers, only not `cache.depth`.
    """
    waiting: dict[str, tuple[ImageFile, bool]] = {}
    other_depths: collections.Counter[int] = collections.Counter()
    for image in images:
        try:
            vector = cache.read(image)
        except DamagedBottleneckError as error:
            log.info("damaged bottleneck, computed again: %s: %s", cache.path(image), error)
            waiting[image.path] = (image, True)
            if isinstance(error, WrongDepthError):
                other_depths[error.found] += 1
            continue
        if vector is None:
            waiting[image.path] = (image, False)
            continue
        report.reused += 1
        if keep is not None:
            keep(image, vector)
    return waiting, other_depths


def _compute(
    cache: Cache,
    waiting: dict[str, tuple[ImageFile, bool]],
    extractor: Extractor,
    report: FillReport,
    options: CacheOptions,
    keep: Callable[[ImageFile, Vector], None] | None,
) -> None:
    one_at_a_time = threading.Lock()  # `write` runs in the extractor's threads

    def write(results: list[tuple[str, Result]]) -> None:
        for path, result in results:
            image, damaged = waiting[path]
            if isinstance(result, ImageError):
                if options.fail_on_error:
                    raise InputError(f"{path} {result}.")
                with one_at_a_time:
                    report.failed.append((image, str(result)))
                continue
            cache.write(image, result[0])
            with one_at_a_time:
                if damaged:
                    report.repaired += 1
                else:
                    report.computed += 1
                if keep is not None:
                    keep(image, result[0])

    start = time.monotonic()
    try:
        with progress(len(waiting), "images") as advance:
            for count in extractor.map_batches(waiting, write):
                advance(count)
    except KeyboardInterrupt:
        done = report.computed + report.repaired
        log.info("stopped after %d of %d images; run again to go on", done, len(waiting))
        raise
    finally:
        report.seconds = time.monotonic() - start


def _report_failures(report: FillReport, count: int) -> None:
    """Name the failed images on stderr and in failures.csv; an earlier run's list is replaced."""
    path = report.cache.folder / f"failures{report.cache.suffix}.csv"
    if not report.failed:
        path.unlink(missing_ok=True)
        return
    report.failed.sort()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "reason"])
    for image, reason in report.failed:
        writer.writerow([image.path, reason])
        log.warning("%s %s", image.path, reason)
    files.write_text(path, text.getvalue())
    if len(report.failed) == count:
        raise InputError(f"None of the {count} images can be used; the reasons are in {path}.")
