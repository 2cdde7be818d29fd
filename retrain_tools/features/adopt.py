"""Takes over a bottleneck folder that another tool filled, once its values are seen to agree."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from retrain_tools.errors import InputError
from retrain_tools.features.cache import Cache
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.images.decode import ImageError
from retrain_tools.images.folders import ImageFile

log = logging.getLogger(__name__)

_IMAGES_TO_SPOT_CHECK = 5
# The same network on another TensorFlow, or with another JPEG decoder, differs by up to 4 %
# (relative L2 at pool_3); the legacy resizer taken for the new one gives 8 %, another network more.
_SAME_NETWORK = 0.05


def refuse_other_depth(cache: Cache, depths: Counter[int], tensor: str) -> NoReturn:
    """Raise InputError: `depths` counts files by their number of values, never `cache.depth`.

    Taken for damaged, they would all be written over.
    """
    [(found, count)] = depths.most_common(1)
    raise InputError(
        f"{cache.folder} holds {count} bottlenecks of {found} values and none of {cache.depth}, "
        f"which {tensor!r} of this graph has: they were made by another graph, or from another "
        "tensor. Use another --bottleneck_dir or another --bottleneck_suffix, or remove them."
    )


def adopt(
    cache: Cache,
    cached: Sequence[ImageFile],
    trust: bool,
    extractor: Callable[[], Extractor],
) -> dict[str, object] | None:
    """Compute a few images of a cache without manifest again, and compare.

    Args:
        cache: the cache.
        cached: the images that have a good cache file.
        trust: take them unchecked.
        extractor: opens the graph.

    Returns:
        What was checked, for the manifest; None for a new cache.

    Raises:
        InputError: recomputed images do not agree with their cache files.
    """
    if not cached:
        return None
    if trust:
        log.info("%d bottlenecks without a manifest are taken unchecked", len(cached))
        return {"bottlenecks": len(cached), "checked": 0}
    step = max(1, len(cached) // _IMAGES_TO_SPOT_CHECK)
    chosen = {image.path: image for image in cached[::step][:_IMAGES_TO_SPOT_CHECK]}
    results: dict[str, Result] = {}
    for _ in extractor().map_batches(chosen, results.update):
        pass
    errors = {}
    lines = []
    for path, result in results.items():
        if isinstance(result, ImageError):
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
            f"with this graph; images computed again differ by more than {_SAME_NETWORK:.0%}: "
            f"{'; '.join(sorted(lines))}. Use another --bottleneck_dir, or pass --trust_cache "
            "to take them as they are."
        )
    if not errors:
        raise InputError(
            f"The bottlenecks in {cache.folder} have no manifest and cannot be checked: none of "
            "the images tried can be read. Pass --trust_cache to take them as they are."
        )
    worst = max(errors.values())
    log.info("%d bottlenecks adopted; %d computed again, worst difference %.2g %%",
             len(cached), len(errors), 100 * worst)  # fmt: skip
    return {"bottlenecks": len(cached), "checked": len(errors), "worst_relative_error": worst}
