"""The kinds of bottleneck cache: text files, one per image, or one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Cache, Vector
from retrain_tools.features.matrix_cache import MatrixCache, has_matrix
from retrain_tools.features.packed import Loaded, load_texts
from retrain_tools.images.folders import ImageFile

CacheFormat = Literal["text", "npy"]
CACHE_FORMATS: tuple[CacheFormat, ...] = ("text", "npy")

AnyCache = Cache | MatrixCache


def open_cache(folder: Path, suffix: str, depth: int, form: CacheFormat | None = None) -> AnyCache:
    """Return the cache of a naming, of the kind that is asked for, else of that which is there.

    A `depth` of 0 stands for what a matrix has; files may have any.
    """
    if form == "npy" or (form is None and has_matrix(folder, suffix)):
        return MatrixCache(folder, suffix, depth)
    return Cache(folder, suffix, depth)


def check_format(
    folder: Path, suffix: str, images: Sequence[ImageFile], form: CacheFormat | None
) -> None:
    """Raise InputError if the cache of a naming is not of the kind that is asked for."""
    if form == "npy" and not has_matrix(folder, suffix):
        texts = Cache(folder, suffix, 0)
        there: CacheFormat | None = "text" if any(texts.path(i).exists() for i in images) else None
        MatrixCache(folder, suffix, 0).check()
    else:
        there = "npy" if has_matrix(folder, suffix) else None
    if there not in (None, form or there):
        raise InputError(
            f"The bottlenecks in {folder} are kept as {_KINDS[there]}. Leave "
            f"{argument('cache_format')} out to go on with them, or use another "
            f"{argument('bottleneck_dir')} or another {argument('bottleneck_suffix')}."
        )


_KINDS: dict[str, str] = {"text": "text files", "npy": "one matrix"}


def load(cache: AnyCache, images: Sequence[ImageFile], vectors: Vector | None = None) -> Loaded:
    """See which images have good values; with `vectors`, float32 [N, depth], read them into it."""
    if isinstance(cache, MatrixCache):
        return cache.load(images, vectors)
    return load_texts(cache, images, vectors)
