"""One .npz archive: the array of each tensor, paths and labels; `numpy.load` reads it."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.features.stores.npy import read_arrays, write_array
from retrain_tools.features.stores.table import (
    PIECE_BYTES,
    TEXTS_AT_ONCE,
    Column,
    Contents,
    Format,
    Rows,
    Table,
    Texts,
    check_expansion,
)
from retrain_tools.numpy_files import read_array


def _write_texts(file: Any, texts: Sequence[str]) -> None:
    kind = np.dtype(f"<U{max(map(len, texts), default=1)}")
    header = {"descr": kind.str, "fortran_order": False, "shape": (len(texts),)}
    np.lib.format.write_array_header_1_0(file, header)
    step = max(1, PIECE_BYTES // kind.itemsize)
    for start in range(0, len(texts), step):
        file.write(np.array(texts[start : start + step], kind).tobytes())


def _write(path: Path, table: Table) -> None:
    with files.replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, texts in table.texts().items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_texts(member, texts)
        for index, column in enumerate(table.columns):
            with archive.open(f"{column.name}.npy", "w", force_zip64=True) as member:
                write_array(member, column, len(table.images), table.pieces(index))


def _read(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        names = (f"{column.name}.npy" for column in columns)
        opened = [stack.enter_context(archive.open(name)) for name in names]
        yield from read_arrays(opened, columns, count)


def _texts(path: Path, name: str) -> Texts | None:
    with zipfile.ZipFile(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            return None
        with archive.open(f"{name}.npy") as member:
            (count,), _ = _texts_header(member)
    return Texts(count, _read_texts(path, f"{name}.npy"))


def _read_texts(path: Path, member_name: str) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive, archive.open(member_name) as member:
        (count,), kind = _texts_header(member)
        for start in range(0, count, TEXTS_AT_ONCE):
            some = min(TEXTS_AT_ONCE, count - start)
            data = member.read(some * kind.itemsize)
            if len(data) < some * kind.itemsize:
                raise ValueError(f"{member_name!r} is cut off")
            yield from np.frombuffer(data, kind).tolist()


def _texts_header(member: Any) -> tuple[tuple[int], np.dtype[Any]]:
    np.lib.format.read_magic(member)
    shape, _, kind = np.lib.format.read_array_header_1_0(member)
    if len(shape) != 1 or kind.kind != "U":
        raise ValueError(f"texts of type {kind} and shape {shape}")
    return (shape[0],), kind


def _contents(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
        check_expansion(sum(one.file_size for one in members), path)
        found = {}
        for one in members:
            name = one.filename.removesuffix(".npy")
            with archive.open(one) as member:
                try:
                    found[name] = read_array(member, one.file_size)
                except ValueError as error:
                    raise ValueError(f"{name!r} {error}") from error
    return found


FORMAT = Format(_write, _read, contents=_contents, texts=_texts)
