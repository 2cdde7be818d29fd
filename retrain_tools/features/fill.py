"""Fills a bottleneck cache: reuses what is good, repairs what is damaged, computes the rest."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.features.cache import (
    Cache,
    DamagedBottleneckError,
    Identity,
    Vector,
    find_suffix,
    fingerprint,
    read_manifest,
    refuse_another,
    write_manifest,
)
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.graphdef.tensors import tensor_shapes
from retrain_tools.images.decode import MAX_PIXELS, PictureError
from retrain_tools.images.folders import ImageFile
from retrain_tools.progress import progress

log = logging.getLogger(__name__)

_PICTURES_TO_SPOT_CHECK = 5
# The same network on another TensorFlow, or with another JPEG decoder, differs by up to 4 %
# (relative L2 at pool_3); the legacy resizer taken for the new one gives 8 %, another network more.
_SAME_NETWORK = 0.05


@dataclasses.dataclass
class FillReport:
    """What became of each picture.

    Attributes:
        cache: the filled cache.
        identity: what its values depend on.
        computed: pictures that had no cache file.
        reused: pictures with a good cache file.
        repaired: pictures whose cache file was damaged and is written anew.
        failed: pictures that cannot be used, each with the reason.
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
        fail_on_error: stop at the first picture that cannot be used.
        max_pixels: largest picture to accept.
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
    """Make sure that every usable picture has a good bottleneck file.

    Args:
        frozen: the graph; `spec.bottleneck` is the tensor.
        images: the pictures.
        options: where and how.
        keep: gets every picture's values as well, in any order, one at a time.

    Raises:
        InputError: the folder belongs to another graph, a cache without manifest does not match,
            no picture can be used, or one cannot and `fail_on_error` is set.
    """
    folder = Path(options.folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --bottleneck_dir takes a folder.")
    tensor = frozen.spec.bottleneck
    suffix = options.suffix
    if suffix is None:
        suffix = find_suffix(folder, images, options.preferred_suffix)
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

        depth = manifest["depth"] if manifest else _depth(shape, options.pooling)
        cache = Cache(folder, suffix, depth or extractor().depths[0])
        report = FillReport(cache, identity)
        waiting = _read_cached(cache, images, report, keep)
        if manifest is None:
            checked = _adopt(cache, images, waiting, options.trust, extractor)
            graph = str(frozen.path)
            write_manifest(folder, suffix, identity, cache.depth, graph, adopted=checked)
        if waiting:
            _compute(cache, waiting, extractor(), report, options, keep)
    _report_failures(report, len(images))
    return report


def _depth(shape: tuple[int | None, ...] | None, pooling: str) -> int | None:
    """Values per picture by the inferred shape; None where the shape does not tell."""
    if shape is None or len(shape) < 2 or None in shape[1:]:
        return None
    if len(shape) > 2 and pooling in ("none",):
        return None  # the extractor raises the right error
    return math.prod(d or 0 for d in shape[1:]) if pooling == "flatten" else shape[-1]


def _read_cached(
    cache: Cache,
    images: Sequence[ImageFile],
    report: FillReport,
    keep: Callable[[ImageFile, Vector], None] | None,
) -> dict[str, tuple[ImageFile, bool]]:
    """Read what is cached; return the pictures to compute by path, and whether each was damaged."""
    waiting: dict[str, tuple[ImageFile, bool]] = {}
    for image in images:
        try:
            vector = cache.read(image)
        except DamagedBottleneckError as error:
            log.info("damaged bottleneck, computed again: %s: %s", cache.path(image), error)
            waiting[image.path] = (image, True)
            continue
        if vector is None:
            waiting[image.path] = (image, False)
            continue
        report.reused += 1
        if keep is not None:
            keep(image, vector)
    return waiting


def _adopt(
    cache: Cache,
    images: Sequence[ImageFile],
    waiting: dict[str, tuple[ImageFile, bool]],
    trust: bool,
    extractor: Callable[[], Extractor],
) -> dict[str, object] | None:
    """Check a cache that has no manifest; return what was checked, None for a new cache.

    Raises:
        InputError: recomputed pictures do not agree with their cache files.
    """
    cached = [image for image in images if image.path not in waiting]
    if not cached:
        return None
    if trust:
        log.info("%d bottlenecks without a manifest are taken unchecked", len(cached))
        return {"bottlenecks": len(cached), "checked": 0}
    step = max(1, len(cached) // _PICTURES_TO_SPOT_CHECK)
    chosen = {image.path: image for image in cached[::step][:_PICTURES_TO_SPOT_CHECK]}
    results: dict[str, Result] = {}
    for _ in extractor().map_batches(chosen, results.update):
        pass
    errors = {}
    lines = []
    for path, result in results.items():
        if isinstance(result, PictureError):
            continue
        old, new = cache.read(chosen[path]), result[0]
        assert old is not None  # noqa: S101 - it was read a moment ago
        errors[path] = float(np.linalg.norm(new - old) / max(float(np.linalg.norm(old)), 1e-30))
        shown = [", ".join(f"{value:.4g}" for value in v[:3]) for v in (old, new)]
        lines.append(
            f"{chosen[path].relative}: {errors[path]:.1%} (cached {shown[0]}, …; now {shown[1]}, …)"
        )
    if any(error > _SAME_NETWORK for error in errors.values()):
        raise InputError(
            f"The {len(cached)} bottlenecks in {cache.folder} have no manifest and do not agree "
            f"with this graph; pictures computed again differ by more than {_SAME_NETWORK:.0%}: "
            f"{'; '.join(sorted(lines))}. Use another --bottleneck_dir, or pass --trust_cache "
            "to take them as they are."
        )
    if not errors:
        raise InputError(
            f"The bottlenecks in {cache.folder} have no manifest and cannot be checked: none of "
            "the pictures tried can be read. Pass --trust_cache to take them as they are."
        )
    worst = max(errors.values())
    log.info("%d bottlenecks adopted; %d computed again, worst difference %.2g %%",
             len(cached), len(errors), 100 * worst)  # fmt: skip
    return {"bottlenecks": len(cached), "checked": len(errors), "worst_relative_error": worst}


def _compute(
    cache: Cache,
    waiting: dict[str, tuple[ImageFile, bool]],
    extractor: Extractor,
    report: FillReport,
    options: CacheOptions,
    keep: Callable[[ImageFile, Vector], None] | None,
) -> None:
    def write(results: list[tuple[str, Result]]) -> None:
        for path, result in results:
            image, damaged = waiting[path]
            if isinstance(result, PictureError):
                if options.fail_on_error:
                    raise InputError(f"{path} {result}.")
                report.failed.append((image, str(result)))
                continue
            cache.write(image, result[0])
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
    """Name the failed pictures on stderr and in failures.csv; an earlier run's list is replaced."""
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
        raise InputError(f"None of the {count} pictures can be used; the reasons are in {path}.")
