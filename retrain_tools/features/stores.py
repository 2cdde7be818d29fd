"""Files of features: npz, npy, Parquet, HDF5 and pickle, written and read a piece at a time."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools import files
from retrain_tools.errors import InputError
from retrain_tools.extras import import_extra

Rows = npt.NDArray[np.float32]

IMAGES = "images"
"""The name, beside those of the tensors, under which npz, Parquet and HDF5 keep the paths."""

DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading a store that is not as it was written may raise."""

_PIECE_BYTES = 16 << 20


class Column(NamedTuple):
    """One tensor of a store: its name there, and the shape of its values for one image."""

    name: str
    shape: tuple[int, ...]


class Table(NamedTuple):
    """What is to be written: `rows(column, start, stop)` gives float32 [stop - start, *shape]."""

    images: Sequence[str]
    columns: Sequence[Column]
    rows: Callable[[int, int, int], Rows]

    def pieces(self, column: int) -> Iterator[Rows]:
        """Yield one column's rows in order, a few megabytes at a time."""
        for start, stop in _steps(len(self.images), [self.columns[column]]):
            yield self.rows(column, start, stop)


class Format(NamedTuple):
    """How one kind of file is written and read; `read` is None for what we never read."""

    write: Callable[[Path, Table], None]
    read: Callable[[Path, Sequence[Column], int], Iterator[list[Rows]]] | None


def store_format(path: str) -> Format:
    """Return the format that the end of a file name stands for.

    Raises:
        InputError: it stands for none, or for one whose package is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(
            f"--output={path}: the end of the name chooses the kind of file: {', '.join(_FORMATS)}."
        )
    if suffix == ".parquet":
        import_extra("pyarrow.parquet", "parquet", f"--output={path}")
    if suffix in (".h5", ".hdf5"):
        import_extra("h5py", "hdf5", f"--output={path}")
    return _FORMATS[suffix]


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse tensors whose names would meet in the store.

    Raises:
        InputError: they would; the message says which.
    """
    suffix = path.suffix.lower()
    # Of npy and pkl, the paths are elsewhere.
    places: dict[str, str] = {} if suffix in (".npy", ".pkl") else {IMAGES: IMAGES}
    for name in names:
        place = _safe(name) if suffix == ".npy" else name
        if place in places:
            other = repr(places[place]) if place != IMAGES else "the list of the images"
            raise InputError(f"{name!r} would have the same name in {path} as {other}.")
        places[place] = name
    if suffix in (".h5", ".hdf5"):
        for name in names:
            if name.startswith(f"{IMAGES}/"):
                raise InputError(
                    f"{name!r} cannot be in {path}, where the list of the images is called "
                    f"{IMAGES!r}; choose another kind of file."
                )
        for name, other in itertools.permutations(names, 2):
            if other.startswith(f"{name}/"):
                raise InputError(
                    f"{name!r} cannot be beside {other!r} in {path}, where it would be a group; "
                    f"add :0, or choose another kind of file."
                )


def check_paths(path: Path, images: Iterable[str]) -> None:
    """Refuse images whose paths the store cannot hold.

    Raises:
        InputError: a path has a line break in it, and the store has a path a line.
    """
    if path.suffix.lower() != ".npy":
        return
    for image in images:
        if "\n" in image or "\r" in image:
            raise InputError(
                f"{image!r} has a line break in it, and {path.with_suffix('.images.txt')} is a "
                "path a line; choose another kind of file for --output."
            )


def written_files(path: Path, columns: Sequence[Column]) -> list[Path]:
    """Return the files that a store of these columns consists of."""
    if path.suffix.lower() != ".npy":
        return [path]
    return [*_npy_paths(path, columns), path.with_suffix(".images.txt")]


def _steps(count: int, columns: Sequence[Column]) -> Iterator[tuple[int, int]]:
    row_bytes = sum(4 * int(np.prod(column.shape)) for column in columns)
    step = max(1, _PIECE_BYTES // max(1, row_bytes))
    return ((start, min(start + step, count)) for start in range(0, count, step))


def _write_array(file: Any, column: Column, count: int, pieces: Iterable[Rows]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *column.shape)}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in pieces:
        file.write(piece.astype("<f4", copy=False).tobytes())


def _write_paths(file: Any, images: Sequence[str]) -> None:
    text = np.dtype(f"<U{max(map(len, images), default=1)}")
    header = {"descr": text.str, "fortran_order": False, "shape": (len(images),)}
    np.lib.format.write_array_header_1_0(file, header)
    step = max(1, _PIECE_BYTES // text.itemsize)
    for start in range(0, len(images), step):
        file.write(np.array(images[start : start + step], text).tobytes())


def _read_arrays(
    opened: Sequence[Any], columns: Sequence[Column], count: int
) -> Iterator[list[Rows]]:
    for file, column in zip(opened, columns, strict=True):
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != (count, *column.shape) or dtype != np.float32:
            raise ValueError(f"{column.name} has shape {shape}")
    for start, stop in _steps(count, columns):
        yield [
            np.frombuffer(file.read((stop - start) * 4 * int(np.prod(shape))), "<f4").reshape(
                stop - start, *shape
            )
            for file, (_, shape) in zip(opened, columns, strict=True)
        ]


def _write_npz(path: Path, table: Table) -> None:
    with files.replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(f"{IMAGES}.npy", "w", force_zip64=True) as member:
            _write_paths(member, table.images)
        for index, column in enumerate(table.columns):
            with archive.open(f"{column.name}.npy", "w", force_zip64=True) as member:
                _write_array(member, column, len(table.images), table.pieces(index))


def _read_npz(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as stack:
        names = (f"{column.name}.npy" for column in columns)
        opened = [stack.enter_context(archive.open(name)) for name in names]
        yield from _read_arrays(opened, columns, count)


def _npy_paths(path: Path, columns: Sequence[Column]) -> list[Path]:
    if len(columns) == 1:
        return [path]
    return [path.with_suffix(f".{_safe(column.name)}.npy") for column in columns]


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _write_npy(path: Path, table: Table) -> None:
    for index, place in enumerate(_npy_paths(path, table.columns)):
        with files.replacing(place) as file:
            _write_array(file, table.columns[index], len(table.images), table.pieces(index))
    listing = "".join(f"{image}\n" for image in table.images)
    files.write_text(path.with_suffix(".images.txt"), listing)


def _read_npy(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(place.open("rb")) for place in _npy_paths(path, columns)]
        yield from _read_arrays(opened, columns, count)


def _write_parquet(path: Path, table: Table) -> None:
    arrow, parquet = _arrow()
    fields = [arrow.field(IMAGES, arrow.string())]
    for name, shape in table.columns:
        kind = arrow.list_(arrow.float32(), int(np.prod(shape)))
        text = ",".join(map(str, shape))
        fields.append(arrow.field(name, kind, metadata={"shape": text}))
    schema = arrow.schema(fields)
    with files.replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for start, stop in _steps(len(table.images), table.columns):
            arrays = [arrow.array([_as_utf8(image) for image in table.images[start:stop]])]
            for index, field in enumerate(fields[1:]):
                flat = arrow.array(table.rows(index, start, stop).reshape(-1))
                arrays.append(arrow.FixedSizeListArray.from_arrays(flat, field.type.list_size))
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _read_parquet(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    _, parquet = _arrow()
    found = 0
    with parquet.ParquetFile(path) as file:
        step = next(_steps(count, columns), (0, 1))[1]
        for batch in file.iter_batches(step, columns=[name for name, _ in columns]):
            found += batch.num_rows
            yield [
                batch.column(name).flatten().to_numpy().reshape(batch.num_rows, *shape)
                for name, shape in columns
            ]
    if found != count:
        raise ValueError(f"{found} rows")


def _arrow() -> tuple[Any, Any]:
    arrow = import_extra("pyarrow", "parquet", "A Parquet file")
    return arrow, import_extra("pyarrow.parquet", "parquet", "A Parquet file")


def _as_utf8(path: str) -> str:
    """Spell out the bytes of a file name that are no UTF-8, which Arrow and HDF5 do not take."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _write_hdf5(path: Path, table: Table) -> None:
    h5py = import_extra("h5py", "hdf5", "An HDF5 file")
    count = len(table.images)
    with (
        files.replacing(path) as file,
        os.fdopen(os.dup(file.fileno()), "r+b") as both,  # HDF5 reads what it has written, too
        h5py.File(both, "w") as store,
    ):
        images = [_as_utf8(image) for image in table.images]
        store.create_dataset(IMAGES, data=images, dtype=h5py.string_dtype())
        for index, (name, shape) in enumerate(table.columns):
            data = store.create_dataset(name, (count, *shape), np.float32)
            for start, stop in _steps(count, [table.columns[index]]):
                data[start:stop] = table.rows(index, start, stop)


def _read_hdf5(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    h5py = import_extra("h5py", "hdf5", "An HDF5 file")
    with h5py.File(path, "r") as store:
        data = [store[name] for name, _ in columns]
        if any(d.shape != (count, *c.shape) for d, c in zip(data, columns, strict=True)):
            raise ValueError("a dataset of another shape")
        for start, stop in _steps(count, columns):
            yield [np.asarray(one[start:stop], np.float32) for one in data]


class _Features:
    """A dict {image: feature} that is pickled without ever being one; several tensors: a dict."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (), None, None, self._items()

    def _items(self) -> Iterator[tuple[str, Any]]:
        table = self._table
        names = [column.name for column in table.columns]
        for start, stop in _steps(len(table.images), table.columns):
            rows = [table.rows(index, start, stop) for index in range(len(names))]
            for row, image in enumerate(table.images[start:stop]):
                values = [some[row, ...] for some in rows]  # the dots: an array, also of no axis
                yield (
                    image,
                    values[0] if len(values) == 1 else dict(zip(names, values, strict=True)),
                )


def _portable(array: Rows) -> tuple[Any, ...]:
    """Pickle an array by names that every NumPy has; its own way names modules of NumPy 2."""
    return np.ndarray, (array.shape, "<f4", bytearray(array.astype("<f4").tobytes()))


def _write_pickle(path: Path, table: Table) -> None:
    with files.replacing(path) as file:
        pickler = pickle.Pickler(file, protocol=4)
        pickler.fast = True  # else it remembers, and keeps, all that it has written
        pickler.dispatch_table = {np.ndarray: _portable}
        pickler.dump(_Features(table))


_FORMATS: dict[str, Format] = {
    ".npz": Format(_write_npz, _read_npz),
    ".npy": Format(_write_npy, _read_npy),
    ".parquet": Format(_write_parquet, _read_parquet),
    ".h5": Format(_write_hdf5, _read_hdf5),
    ".hdf5": Format(_write_hdf5, _read_hdf5),
    ".pkl": Format(_write_pickle, None),
}
