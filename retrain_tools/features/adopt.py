"""Takes over a bottleneck folder that another tool filled, once its values are seen to agree."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Cache
from retrain_tools.features.extractor import Extractor
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
        f"tensor. Use another {argument('bottleneck_dir')} or another "
        f"{argument('bottleneck_suffix')}, or remove them."
    )


def adopt(
    cache: Cache, cached: Sequence[ImageFile], trust: bool, extractor: Callable[[], Extractor]
) -> dict[str, object] | None:
    """Compute a few images of a cache without manifest again, and compare.

    The images `cached` are those that have a good cache file. With `trust`, none is computed, and
    the graph, which `extractor` opens, is not needed.

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
    differences = _differences(cache, cached[::step][:_IMAGES_TO_SPOT_CHECK], extractor())
    take_them = f"{argument('trust_cache')} to take them as they are."
    if not differences:
        raise InputError(
            f"The bottlenecks in {cache.folder} have no manifest and cannot be checked: none of "
            f"the images tried can be read. Pass {take_them}"
        )
    worst = max(error for error, _ in differences)
    if worst > _SAME_NETWORK:
        raise InputError(
            f"The {len(cached)} bottlenecks in {cache.folder} have no manifest and do not agree "
            f"with this graph; images computed again differ by more than {_SAME_NETWORK:.0%}: "
            f"{'; '.join(line for _, line in differences)}. Use another "
            f"{argument('bottleneck_dir')}, or pass {take_them}"
        )
    log.info("%d bottlenecks adopted; %d computed again, worst difference %.2g %%",
             len(cached), len(differences), 100 * worst)  # fmt: skip
    return {"bottlenecks": len(cached), "checked": len(differences), "worst_relative_error": worst}


def _differences(
    cache: Cache, images: Sequence[ImageFile], extractor: Extractor
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
