"""One .npz archive: the array of each tensor, and the paths; `numpy.load` reads it."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.features.stores.npy import read_arrays, write_array
from retrain_tools.features.stores.table import IMAGES, PIECE_BYTES, Column, Format, Rows, Table


def _write_paths(file: Any, images: Sequence[str]) -> None:
    text = np.dtype(f"<U{max(map(len, images), default=1)}")
    header = {"descr": text.str, "fortran_order": False, "shape": (len(images),)}
    np.lib.format.write_array_header_1_0(file, header)
    step = max(1, PIECE_BYTES // text.itemsize)
    for start in range(0, len(images), step):
        file.write(np.array(images[start : start + step], text).tobytes())


def _write(path: Path, table: Table) -> None:
    with files.replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(f"{IMAGES}.npy", "w", force_zip64=True) as member:
            _write_paths(member, table.images)
        for index, column in enumerate(table.columns):
            with archive.open(f"{column.name}.npy", "w", force_zip64=True) as member:
                write_array(member, column, len(table.images), table.pieces(index))


def _read(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        names = (f"{column.name}.npy" for column in columns)
        opened = [stack.enter_context(archive.open(name)) for name in names]
        yield from read_arrays(opened, columns, count)


FORMAT = Format(_write, _read)
