"""One HDF5 file: a dataset for each tensor, in groups where the name has slashes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.extras import import_extra
from retrain_tools.features.stores.table import (
    IMAGES,
    LABELS,
    TEXTS_AT_ONCE,
    Column,
    Contents,
    Format,
    Rows,
    Table,
    Texts,
    as_utf8,
    check_expansion,
    steps,
)
from retrain_tools.sources.readers.hdf5 import what_ends


def _write(path: Path, table: Table) -> None:
    h5py = import_extra("h5py", "An HDF5 file")
    count = len(table.images)
    with (
        files.replacing(path) as file,
        os.fdopen(os.dup(file.fileno()), "r+b") as both,  # HDF5 reads what it has written, too
        h5py.File(both, "w") as store,
    ):
        for name, texts in table.texts().items():
            store.create_dataset(name, data=as_utf8(texts), dtype=h5py.string_dtype())
        for index, (name, shape) in enumerate(table.columns):
            data = store.create_dataset(name, (count, *shape), np.float32)
            for start, stop in steps(count, [table.columns[index]]):
                data[start:stop] = table.rows(index, start, stop)


def _read(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    h5py = import_extra("h5py", "An HDF5 file")
    _refuse_fatal(path)
    with h5py.File(path, "r") as store:
        data = [store[name] for name, _ in columns]
        if any(d.shape != (count, *c.shape) for d, c in zip(data, columns, strict=True)):
            raise ValueError("a dataset of another shape")
        for start, stop in steps(count, columns):
            yield [np.asarray(one[start:stop], np.float32) for one in data]


def _texts(path: Path, name: str) -> Texts | None:
    h5py = import_extra("h5py", "An HDF5 file")
    with h5py.File(path, "r") as store:
        if name not in store:
            return None
        return Texts(len(store[name]), _read_texts(path, name))


def _read_texts(path: Path, name: str) -> Iterator[str]:
    with import_extra("h5py", "An HDF5 file").File(path, "r") as store:
        data = store[name].asstr("utf-8", "surrogateescape")
        for start in range(0, len(store[name]), TEXTS_AT_ONCE):
            yield from data[start : start + TEXTS_AT_ONCE].tolist()


def _check(path: Path, names: Sequence[str], _images: Iterable[str]) -> None:
    for group, name in itertools.permutations((IMAGES, LABELS, *names), 2):
        if name.startswith(f"{group}/"):
            raise InputError(
                f"{name!r} cannot be in {path}, where the list of the {group} is called "
                f"{group!r}; choose another kind of file."
                if group in (IMAGES, LABELS)
                else f"{group!r} cannot be beside {name!r} in {path}, where it would be a group; "
                "add :0, or choose another kind of file."
            )


def _contents(path: Path) -> Contents:
    """Read every dataset in the file itself: no link leads to another file."""
    h5py = import_extra("h5py", "An HDF5 file")
    found: dict[str, Any] = {}
    _refuse_fatal(path)
    with h5py.File(path, "r") as store:
        datasets = dict[str, Any]()
        store.visititems(lambda name, one: _note(h5py, datasets, name, one))
        check_expansion(sum(one.size * one.dtype.itemsize for one in datasets.values()), path)
        for name, one in datasets.items():
            if h5py.check_string_dtype(one.dtype) is not None:
                found[name] = np.asarray(one.asstr("utf-8", "surrogateescape")[...], np.str_)
            elif not one.dtype.hasobject:
                found[name] = one[...]
    return found


def _refuse_fatal(path: Path) -> None:
    """Raise ValueError if the HDF5 library would crash at a file, or read it without end."""
    if path.is_file() and (reason := what_ends(path)) is not None:
        raise ValueError(f"it is damaged: {reason}")


def _note(h5py: Any, datasets: dict[str, Any], name: str | bytes, one: Any) -> None:
    if isinstance(name, bytes):
        raise ValueError(f"the name {name!r} is no text")
    if not isinstance(one, h5py.Dataset) or one.shape is None:
        return
    if one.external or one.is_virtual:
        raise ValueError(f"{name!r} keeps its values in other files")
    datasets[name] = one


FORMAT = Format(_write, _read, package="h5py", check=_check, contents=_contents, texts=_texts)
