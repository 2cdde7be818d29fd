"""Reads the bottlenecks of many text files, and keeps a copy of them in one matrix beside them.

The copy is packed_bottlenecks<suffix>.npy: a matrix with an index and its size behind it, of files
as they were when they were read. What it says of a file counts only while that is still the same.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrain_tools import files
from retrain_tools.features.cache import Cache, DamagedBottleneckError, Vector
from retrain_tools.features.row_index import (
    Block,
    Numbers,
    block_bytes,
    checksum,
    npy_header,
    read_blocks,
    read_rows,
    sound,
    stamp_of,
)
from retrain_tools.images.folders import ImageFile
from retrain_tools.progress import progress

log = logging.getLogger(__name__)

_SETTLED_NS = 2_000_000_000
"""How old a file has to be: one that changes twice within a tick of its file system's clock, of up
to 2 s, may look the same after the second time."""
_FEWEST = 1000  # files of which a copy is kept: fewer are read in a tenth of a second
_NO_STAMP = (-1, -1, -1, -1)
_ROWS_AT_ONCE = 1024
_END = struct.Struct("<Q")  # bytes of the index, behind it


class Loaded(NamedTuple):
    """What became of reading the vectors of some images.

    Attributes:
        good: of each image, whether it has one.
        wrong: what is wrong with those that are there but not good, by the images' places.
        stamps: int64 [N, 4] of text files as they were before they were read, see `stamp_of`; less
            than 0 where that does not tell whether a file is still the same.
        packed: how many were in the packed copy.
    """

    good: list[bool]
    wrong: dict[int, DamagedBottleneckError]
    stamps: Numbers
    packed: int = 0


class _Packed(NamedTuple):
    """A packed copy: where its rows start, and what they are."""

    path: Path
    start: int
    depth: int
    block: Block


def packed_path(folder: Path, suffix: str) -> Path:
    """Return where the packed copy of a naming is kept."""
    return folder / f"packed_bottlenecks{suffix}.npy"


def load_texts(
    cache: Cache,
    images: Sequence[ImageFile],
    vectors: Vector | None = None,
    read: Callable[[Cache, ImageFile], Vector | None] = Cache.read,
) -> Loaded:
    """Read the files of images, those that did not change since from the packed copy.

    Args:
        cache: the folder.
        images: whose files to read.
        vectors: float32 [N, depth], the rows that the good ones go to; None to see which are good.
        read: reads one file; None where there is none.
    """
    stamps = _stamps(cache, images)
    good = _load_packed(cache, images, stamps, vectors)
    wrong: dict[int, DamagedBottleneckError] = {}
    packed = sum(good)
    with progress(len(images) - packed, "bottlenecks") as advance:
        for place, image in enumerate(images):
            if good[place]:
                continue
            try:
                vector = read(cache, image)
            except DamagedBottleneckError as error:
                wrong[place] = error
            else:
                good[place] = vector is not None
                if vectors is not None and vector is not None:
                    vectors[place] = vector
            advance(1)
    return Loaded(good, wrong, stamps, packed)


def stamp(path: str | Path, settled_before: int | None = None) -> tuple[int, int, int, int]:
    """Return the stamp of a file; below 0 where it is missing, or changed after a time (ns)."""
    try:
        found = stamp_of(os.stat(path))  # noqa: PTH116 - a Path costs more than the call
    except OSError:
        return _NO_STAMP
    return _NO_STAMP if settled_before is not None and found[2] > settled_before else found


def _stamps(cache: Cache, images: Sequence[ImageFile]) -> Numbers:
    before = time.time_ns() - _SETTLED_NS
    folder, end = str(cache.folder), f"{cache.suffix}.txt"
    found = [stamp(f"{folder}/{image.relative}{end}", before) for image in images]
    return np.array(found, np.int64).reshape(-1, len(_NO_STAMP))


def _load_packed(
    cache: Cache, images: Sequence[ImageFile], stamps: Numbers, vectors: Vector | None
) -> list[bool]:
    """Take over what the packed copy has of files that are still the same."""
    good = np.zeros(len(images), bool)
    packed = _open(packed_path(cache.folder, cache.suffix))
    if packed is None or packed.depth != cache.depth:
        return good.tolist()
    row_of = {name: row for row, name in enumerate(packed.block.names)}
    rows = np.fromiter((row_of.get(i.relative, -1) for i in images), np.int64, len(images))
    same = (rows >= 0) & (stamps[:, 0] >= 0) & (packed.block.stamps[rows] == stamps).all(axis=1)
    places = np.flatnonzero(same)
    if vectors is None:
        good[places] = True
        return good.tolist()
    try:
        with packed.path.open("rb", buffering=0) as file:
            there = read_rows(file, packed.start, rows[places], vectors, places)
    except OSError:
        return good.tolist()
    good[places] = there & sound(vectors, places, packed.block.checksums[rows[places]])
    if not good[places].all():
        log.info("damaged, and made again: %s", packed.path)
        vectors[places[~good[places]]] = 0
    return good.tolist()


def _open(path: Path) -> _Packed | None:
    """Open a packed copy; None where there is none that is whole."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _END.size))
            index_size = int.from_bytes(file.read(_END.size), "little")
            index_start = size - _END.size - index_size
            file.seek(max(0, index_start))
            depth, blocks, end = read_blocks(file.read(index_size) if index_start > 0 else b"")
            if depth and end == index_size and len(blocks) == 1 and blocks[0].names:
                header = npy_header(len(blocks[0].names), depth)
                file.seek(0)
                is_ours = file.read(len(header)) == header
                if is_ours and index_start == len(header) + len(blocks[0].names) * depth * 4:
                    return _Packed(path, len(header), depth, blocks[0])
    except FileNotFoundError:
        return None
    except OSError as error:
        log.info("not readable, and made again: %s: %s", path, error.strerror)
        return None
    log.info("damaged, and made again: %s", path)
    return None


def pack(cache: Cache, images: Sequence[ImageFile], vectors: Vector, loaded: Loaded) -> None:
    """Keep a copy of many vectors for the next time, unless what is there has all of them.

    Where it cannot be written there is none, and the next time takes longer.

    Args:
        cache: the folder.
        images: whose vectors they are.
        vectors: float32 [N, depth].
        loaded: which of them are good, and of which files.
    """
    places = np.flatnonzero(np.array(loaded.good, bool) & (loaded.stamps[:, 0] >= 0))
    if len(places) < _FEWEST or len(places) <= loaded.packed:
        return
    names = [images[place].relative for place in places.tolist()]
    sums = np.array([checksum(vectors[place]) for place in places], np.int64)
    block = Block(names, np.arange(len(places)), sums, loaded.stamps[places])
    depth = vectors.shape[1]
    path = packed_path(cache.folder, cache.suffix)
    try:
        with files.replacing(path) as file:
            file.write(npy_header(len(places), depth))
            for start in range(0, len(places), _ROWS_AT_ONCE):
                some = vectors[places[start : start + _ROWS_AT_ONCE]]
                file.write(some.astype("<f4", copy=False).tobytes())
            index = block_bytes(depth, block)
            file.write(index + _END.pack(len(index)))
    except OSError as error:
        log.info("no packed copy of the bottlenecks is kept: %s", error)
