"""What a store holds, and what a format is: the ground that every kind of store stands on."""

from __future__ import annotations

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

IMAGES = "images"
"""The name, beside those of the tensors, under which npz, Parquet and HDF5 keep the paths."""

LABELS = "labels"
"""The same for the labels."""

DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError),
    MemoryError,
)
"""What reading a store that is not as it was written may raise."""

PIECE_BYTES = 16 << 20

Contents = Mapping[str, Any]
"""What a file holds, whoever wrote it: arrays, lists of str, or for a pickle what it may nest."""

TEXTS_AT_ONCE = 4096

_ALWAYS_ALLOWED = 256 << 20
_MOST_EXPANSION = 100


class ExpansionError(ValueError):
    """A file claims to hold far more than it has bytes."""


class Column(NamedTuple):
    """One tensor of a store: its name there, and the shape of its values for one image."""

    name: str
    shape: tuple[int, ...]


class Texts(NamedTuple):
    """A list of texts in a store: how many, and they themselves, read a few at a time."""

    number: int
    texts: Iterator[str]


class Table(NamedTuple):
    """What is to be written: `rows(column, start, stop)` gives float32 [stop - start, *shape].

    The `labels` are those of the images, '' for an image without; None if no image has one.
    """

    images: Sequence[str]
    columns: Sequence[Column]
    rows: Callable[[int, int, int], Rows]
    labels: Sequence[str] | None = None

    def texts(self) -> dict[str, Sequence[str]]:
        """Return the columns of text: the images, and the labels if there are any."""
        return {IMAGES: self.images} | ({LABELS: self.labels} if self.labels else {})

    def pieces(self, column: int) -> Iterator[Rows]:
        """Yield one column's rows in order, a few megabytes at a time."""
        for start, stop in steps(len(self.images), [self.columns[column]]):
            yield self.rows(column, start, stop)


@dataclasses.dataclass(frozen=True)
class Format:
    """One kind of store.

    Attributes:
        write: writes a table to a path, all its files.
        read: yields the rows of every column, a piece at a time, from the path, the columns and
            the number of rows; raises DAMAGE. None for what is never read.
        package: the optional package it takes, as it is imported.
        holds_texts: whether paths and labels stand under IMAGES and LABELS beside the tensors.
        place: from a tensor's name to that which it has in the store.
        check: raises InputError for names of tensors, or paths of images, that it cannot hold.
        contents: reads all that a file of this kind holds, ours or a stranger's, by names; raises
            DAMAGE.
        texts: gives IMAGES or LABELS of a store of ours, None where it has none; raises DAMAGE.
            None for what is only read in one piece.
        files: the files that a store of some columns consists of, that of the labels included,
            which is not there without labels.
    """

    write: Callable[[Path, Table], None]
    read: Callable[[Path, Sequence[Column], int], Iterator[list[Rows]]] | None
    package: str = ""
    holds_texts: bool = True
    place: Callable[[str], str] = str
    check: Callable[[Path, Sequence[str], Iterable[str]], None] = lambda *_: None
    contents: Callable[[Path], Contents] = lambda _: {}
    texts: Callable[[Path, str], Texts | None] | None = None
    files: Callable[[Path, Sequence[Column]], list[Path]] = lambda path, _: [path]


def steps(count: int, columns: Sequence[Column]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of pieces of `count` rows, a few megabytes each."""
    row_bytes = sum(4 * int(np.prod(column.shape)) for column in columns)
    step = max(1, PIECE_BYTES // max(1, row_bytes))
    return ((start, min(start + step, count)) for start in range(0, count, step))


@overload
def as_utf8(names: Iterable[str]) -> list[str]: ...
@overload
def as_utf8(names: Iterable[str | None]) -> list[str | None]: ...
def as_utf8(names: Iterable[str | None]) -> Sequence[str | None]:
    """Spell out the bytes of file names that are no UTF-8, which Arrow and HDF5 do not take."""
    return [name and os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]


def check_expansion(needed: int, path: Path) -> None:
    """Refuse a file whose values would take far more memory than it has bytes.

    Raises:
        ExpansionError: they take more than 256 MiB and a hundred times the file.
    """
    size = path.stat().st_size
    if needed > max(_ALWAYS_ALLOWED, _MOST_EXPANSION * size):
        raise ExpansionError(f"its {size:,} bytes claim to hold {needed:,} bytes of values")
