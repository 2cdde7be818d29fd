"""Takes over a bottleneck folder that another tool filled, once its values are seen to agree."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache_formats import AnyCache
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.manifest import Computed, Manifest
from retrain_tools.images.decode import ImageError
from retrain_tools.images.folders import ImageFile

log = logging.getLogger(__name__)

_IMAGES_TO_SPOT_CHECK = 5
# The same network on another TensorFlow, or with another JPEG decoder, differs by up to 4 %
# (relative L2 at pool_3); the legacy resizer taken for the new one gives 8 %, another network more.
_SAME_NETWORK = 0.05


def refuse_other_depth(cache: AnyCache, depths: Counter[int], tensor: str) -> NoReturn:
    """Raise InputError: `depths` counts files by their number of values, never `cache.depth`.

    Taken for damaged, they would all be written over.
    """
    [(found, count)] = depths.most_common(1)
    raise InputError(
        f"{cache.folder} holds {count} bottlenecks of {found} values and none of {cache.depth}, "
        f"which {tensor!r} of this graph has: they were made by another graph, or from another "
        f"tensor. Use another {argument('bottleneck_dir')} or another "
        f"{argument('bottleneck_suffix')}, or remove them."
    )


def adopt(
    cache: AnyCache,
    before: Manifest | None,
    cached: Sequence[ImageFile],
    wanted: Manifest,
    trust: bool,
    extractor: Callable[[], Extractor],
) -> Manifest:
    """Compute a few images anew of a cache of which nobody knows what made it, and compare.

    With `trust`, none is computed, and the graph, which `extractor` opens, is not needed.

    Args:
        cache: the folder.
        before: its manifest; None where it has none.
        cached: the images whose files are good and of unknown origin, at least one.
        wanted: the manifest that a cache of this graph has.
        trust: whether to take the files as they are.
        extractor: opens the graph.

    Returns:
        The manifest of the cache: it is this graph's, or stays unknown with `trust`.

    Raises:
        InputError: recomputed images do not agree with their cache files.
    """
    known = () if before is None else before.computed
    origin = "have no manifest" if before is None else "were taken unchecked"
    if trust:
        what = "without a manifest" if before is None else "that were never checked"
        log.info("%d bottlenecks %s are taken unchecked", len(cached), what)
        return unchecked(wanted, len(cached), known)
    step = max(1, len(cached) // _IMAGES_TO_SPOT_CHECK)
    differences = _differences(cache, cached[::step][:_IMAGES_TO_SPOT_CHECK], extractor())
    take_them = f"{argument('trust_cache')} to take them as they are."
    if not differences:
        raise InputError(
            f"The bottlenecks in {cache.folder} {origin} and cannot be checked: none of "
            f"the images tried can be read. Pass {take_them}"
        )
    worst = max(error for error, _ in differences)
    if worst > _SAME_NETWORK:
        raise InputError(
            f"The {len(cached)} bottlenecks in {cache.folder} {origin} and do not agree "
            f"with this graph; images computed again differ by more than {_SAME_NETWORK:.0%}: "
            f"{'; '.join(line for _, line in differences)}. Use the graph that made them or "
            f"another {argument('bottleneck_dir')}, or pass {take_them}"
        )
    log.info("%d bottlenecks adopted; %d computed again, worst difference %.2g %%",
             len(cached), len(differences), 100 * worst)  # fmt: skip
    adopted = {
        "bottlenecks": len(cached), "checked": len(differences), "worst_relative_error": worst
    }  # fmt: skip
    return dataclasses.replace(wanted, adopted=adopted, computed=known)


def unchecked(wanted: Manifest, count: int, known: tuple[Computed, ...] = ()) -> Manifest:
    """Return the manifest of a cache with bottlenecks of which nobody knows what made them.

    Args:
        wanted: the manifest that a cache of this graph has.
        count: how many were taken as they are.
        known: those of which it is known.
    """
    adopted = {"bottlenecks": count, "checked": 0}
    return dataclasses.replace(wanted, identity=None, adopted=adopted, computed=known)


def _differences(
    cache: AnyCache, images: Sequence[ImageFile], extractor: Extractor
) -> list[tuple[float, str]]:
    """Return for each usable image the relative L2 error of its bottleneck, and a line on it."""
    differences = []
    results = extractor.extract([image.path for image in images])
    for image, (_, result) in zip(images, results, strict=True):
        if isinstance(result, ImageError):
            continue
        old, new = cache.read(image), result[0]
        assert old is not None  # noqa: S101 - it was read a moment ago
        error = float(np.linalg.norm(new - old) / max(float(np.linalg.norm(old)), 1e-30))
        then, now = (", ".join(f"{value:.4g}" for value in v[:3]) for v in (old, new))
        line = f"{image.relative}: {error:.1%} (cached {then}, …; now {now}, …)"
        differences.append((error, line))
    return differences
