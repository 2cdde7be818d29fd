"""Readers of features: any file of them, caches, copies, and what a stopped run goes on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools.errors import InputError
from retrain_tools.features import packed
from retrain_tools.features.cache import Cache, DamagedBottleneckError, Identity
from retrain_tools.features.cache_formats import open_cache
from retrain_tools.features.checksums import read_checksums
from retrain_tools.features.fetch_record import read_record
from retrain_tools.features.manifest import read_manifest
from retrain_tools.features.read_cache import find_bottlenecks, read_bottlenecks, read_sound_files
from retrain_tools.features.read_features import read_features
from retrain_tools.features.rows import RowFiles
from retrain_tools.features.stores import DAMAGE, Column, store_format
from retrain_tools.safety.scanning import scan

IMAGES = ["a/1.jpg", "a/2.jpg", "b/3.jpg"]
COLUMNS = [Column("pool", (5,)), Column("grid", (2, 2))]
"""What the seeds hold: a row for each image, or the first column alone."""

IDENTITY = Identity("0" * 64, "pool:0", "none", {"mean": 0.0})


def _features(path: Path) -> list[Any]:
    """Read a file of features as anybody's, and as our own for going on; scan it."""
    said = [_outcome(lambda: sorted(scan(path).findings, key=str)[:3])]
    for columns in (COLUMNS, COLUMNS[:1]):
        said.append(_outcome(lambda columns=columns: _read_on(path, columns)))
    found = read_features(path)
    return [*said, *((name, array.ndim) for name, array in found.values.items())]


def _read_on(path: Path, columns: list[Column]) -> list[Any]:
    read = store_format(path).read
    if read is None:
        return []
    try:
        rows = list(read(path, columns, len(IMAGES)))
    except DAMAGE as error:
        return [type(error).__name__]
    for piece in rows:
        for column, array in zip(columns, piece, strict=True):
            np.asarray(array, np.float32).reshape(-1, *column.shape)
    return [len(rows)]


def _outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except InputError as error:
        return str(error)


def _folder(path: Path) -> list[Any]:
    """Read a folder of bottlenecks in each way there is."""
    said = [_outcome(lambda: read_bottlenecks(path).vectors.shape), _outcome(lambda: _sound(path))]
    said.append(_outcome(lambda: read_manifest(path, "")))
    said += sorted(read_checksums(path / "checksums.crc32"))[:3]
    cache = Cache(path, "", 5)
    for image in find_bottlenecks(path).get("", [])[:5]:
        try:
            cache.read(image)
        except DamagedBottleneckError as error:
            said.append(str(error))
    return said


def _sound(path: Path) -> Any:
    for suffix, images in find_bottlenecks(path).items():
        read_sound_files(open_cache(path, suffix, 0), images)
        read_sound_files(open_cache(path, suffix, 5), images)
    return None


def _packed(path: Path) -> Any:
    """Open a packed copy, and read its rows as those of files that are still the same."""
    held = packed._open(path)
    if held is None:
        return None
    count = len(held.block.names)
    vectors, places = np.zeros((count, held.depth), np.float32), np.arange(count)
    with path.open("rb", buffering=0) as file:
        there = packed.read_rows(file, held.start, held.block.rows, vectors, places)
    return (there & packed.sound(vectors, places, held.block.checksums)).tolist()


def _stopped(path: Path) -> Any:
    """Go on from the rows of a run of fetch_tensors that was stopped."""
    rows = RowFiles(path, [column.shape for column in COLUMNS])
    try:
        sources = list(rows)
        return [rows.read(tensor, sources).shape for tensor in range(len(COLUMNS))]
    finally:
        rows.close()


def _record(path: Path) -> Any:
    """Read the record beside an output, as one to go on from and as one to replace."""
    wanted = {"pool": IDENTITY}
    return [_outcome(lambda: read_record(path, wanted)), read_record(path, wanted, overwrite=True)]


READERS: dict[str, Callable[[Path], Any]] = {
    **dict.fromkeys(("npz", "npy", "parquet", "hdf5_features", "pickle"), _features),
    "text_cache": _folder,
    "matrix_cache": _folder,
    "packed_copy": _packed,
    "stopped_fetch": _stopped,
    "fetch_record": _record,
}

RAISES: dict[str, tuple[type[BaseException], ...]] = {"stopped_fetch": (OSError,)}
