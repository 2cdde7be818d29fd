"""One .npy file for each tensor, and text files with a path a line, and a label a line."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.stores.table import (
    IMAGES,
    LABELS,
    Column,
    Contents,
    Format,
    Rows,
    Table,
    Texts,
    steps,
)
from retrain_tools.files import json_of
from retrain_tools.numpy_files import read_array, read_header


def write_array(file: Any, column: Column, count: int, pieces: Iterable[Rows]) -> None:
    """Write the .npy of one column to an open file."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *column.shape)}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in pieces:
        file.write(piece.astype("<f4", copy=False).tobytes())


def read_arrays(
    opened: Sequence[Any], columns: Sequence[Column], count: int
) -> Iterator[list[Rows]]:
    """Yield the rows of open .npy files, one for each column."""
    for file, column in zip(opened, columns, strict=True):
        shape, _, dtype = read_header(file)
        if shape != (count, *column.shape) or dtype != np.float32:
            raise ValueError(f"{column.name} has shape {shape}")
    for start, stop in steps(count, columns):
        yield [
            np.frombuffer(file.read((stop - start) * 4 * int(np.prod(shape))), "<f4").reshape(
                stop - start, *shape
            )
            for file, (_, shape) in zip(opened, columns, strict=True)
        ]


def _place(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _arrays(path: Path, columns: Sequence[Column]) -> list[Path]:
    if len(columns) == 1:
        return [path]
    return [path.with_suffix(f".{_place(column.name)}.npy") for column in columns]


def _listing(path: Path, texts: str = IMAGES) -> Path:
    return path.with_suffix(f".{texts}.txt")


def _write(path: Path, table: Table) -> None:
    for index, place in enumerate(_arrays(path, table.columns)):
        with files.replacing(place) as file:
            write_array(file, table.columns[index], len(table.images), table.pieces(index))
    if not table.labels:
        _listing(path, LABELS).unlink(missing_ok=True)  # those of what is replaced
    for name, texts in table.texts().items():
        files.write_text(_listing(path, name), "".join(f"{text}\n" for text in texts))


def _read(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(place.open("rb")) for place in _arrays(path, columns)]
        yield from read_arrays(opened, columns, count)


def _texts(path: Path, name: str) -> Texts | None:
    file = _listing(path, name)
    if not file.exists():
        return None
    with file.open("rb") as lines:
        return Texts(sum(1 for _ in lines), _read_lines(file))


def _read_lines(file: Path) -> Iterator[str]:
    with file.open("rb") as lines:
        for line in lines:
            yield os.fsdecode(line.removesuffix(b"\n"))


def _contents(path: Path) -> Contents:
    if path.exists():
        with path.open("rb") as file:
            found: dict[str, Any] = {"": read_array(file, path.stat().st_size)}
    else:  # several tensors, in a file each, as the record beside them says
        record = json_of(Path(f"{path}.json").read_bytes())
        if not isinstance(record, dict) or not isinstance(record.get("tensors"), dict):
            raise ValueError("its record is not that of a file of features")
        found = {}
        for name in record["tensors"]:
            place = path.with_suffix(f".{_place(name)}.npy")
            with place.open("rb") as file:
                found[name] = read_array(file, place.stat().st_size)
    return found | _texts_beside(path)


def _texts_beside(path: Path) -> dict[str, list[str]]:
    """Return the lines of STEM.images.txt and STEM.labels.txt of STEM.npy, or STEM.TENSOR.npy."""
    stem = path.with_suffix("")
    while not _listing(stem.with_name(f"{stem.name}.npy")).exists():
        if not stem.suffix:
            return {}
        stem = stem.with_suffix("")
    listings = {
        name: _listing(stem.with_name(f"{stem.name}.npy"), name) for name in (IMAGES, LABELS)
    }
    return {
        name: os.fsdecode(file.read_bytes()).removesuffix("\n").split("\n")
        for name, file in listings.items()
        if file.exists()
    }


def _check(path: Path, _names: Sequence[str], images: Iterable[str]) -> None:
    for image in images:
        if "\n" in image or "\r" in image:
            raise InputError(
                f"{image!r} has a line break in it, and {_listing(path)} is a path a line; choose "
                f"another kind of file for {argument('output')}."
            )


FORMAT = Format(
    _write,
    _read,
    holds_texts=False,
    place=_place,
    check=_check,
    contents=_contents,
    texts=_texts,
    files=lambda path, columns: [
        *_arrays(path, columns),
        *(_listing(path, name) for name in (IMAGES, LABELS)),
    ],
)
