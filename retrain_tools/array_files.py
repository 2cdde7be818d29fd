"""An array in a `.npy` file or an `.npz` archive, of which rows are read as they are needed."""

from __future__ import annotations

import contextlib
import math
import shutil
import struct
import tempfile
import threading
import zipfile
import zlib
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.numpy_files import read_header

DAMAGE = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What an array raises that is not as it was written."""

_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip archive: the lengths of what follows it


class StoredArray:
    """An array in a file; what is asked for of its rows is read anew every time.

    A member of an archive that is compressed is unpacked to a temporary file when it is first
    read. Safe to use from several threads.

    Attributes:
        path: the file.
        shape: of the array.
        dtype: of its values.
        start: where these begin, in the file or in its member unpacked.
    """

    def __init__(
        self, path: Path, start: int, shape: tuple[int, ...], dtype: np.dtype[Any], member: str = ""
    ) -> None:
        """Take note of where the values start; `member` is one that has to be unpacked first."""
        self.path, self.shape, self.dtype = path, shape, dtype
        self.start, self._member = start, member
        self._unpacked: Any = None
        self._lock = threading.Lock()
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def reshaped(self) -> StoredArray:
        """Return it with one vector per row, [N, depth]."""
        depth = math.prod(self.shape[1:])
        return StoredArray(self.path, self.start, (len(self), depth), self.dtype, self._member)

    def __getitem__(self, rows: int | slice | npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return rows: one, those of a slice without step, or those of a list of numbers."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step != 1:
                raise ValueError("rows are read one after the other")
            with self._open() as file:
                return self._read(file, first, max(0, last - first))
        if isinstance(rows, np.ndarray):
            found = np.empty((len(rows), *self.shape[1:]), self.dtype)
            with self._open() as file:
                for place in np.argsort(rows, kind="stable"):
                    found[place] = self._read(file, int(rows[place]), 1)[0]
            return found
        with self._open() as file:
            return self._read(file, range(len(self))[rows], 1)[0]

    def _read(self, file: FileIO, first: int, count: int) -> npt.NDArray[Any]:
        file.seek(self.start + first * self._row_bytes)
        data = bytearray(count * self._row_bytes)
        left = memoryview(data)
        while left and (got := file.readinto(left)):  # one call gives 2 GB at most
            left = left[got:]
        if left:
            raise EOFError(f"{self.path} is cut off")
        return np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    def _open(self) -> FileIO:
        if not self._member:
            return self.path.open("rb", buffering=0)
        with self._lock:
            if self._unpacked is None:
                self._unpacked = _unpacked(self.path, self._member)
        return Path(self._unpacked.name).open("rb", buffering=0)


def _unpacked(path: Path, member: str) -> Any:
    """Unpack a member of an archive; the file goes with the object that is returned."""
    with contextlib.ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(path))
        info = archive.getinfo(member)
        file = tempfile.NamedTemporaryFile(prefix="retrain_tools.", suffix=".npy")  # noqa: SIM115
        free = shutil.disk_usage(file.name).free
        if info.file_size > free:
            raise ValueError(
                f"its array takes {info.file_size:,} bytes unpacked, and {free:,} are free in "
                f"{Path(file.name).parent}"
            )
        shutil.copyfileobj(stack.enter_context(archive.open(info)), file, 1 << 20)
        file.flush()
    return file


def open_npy(path: Path) -> StoredArray:
    """Open the array of a `.npy` file.

    Raises:
        ValueError: it is not in the order of C, of Python objects, or cut off. Or another DAMAGE.
    """
    with path.open("rb") as file:
        shape, is_plain, dtype = _header(file)
        if not is_plain:
            raise ValueError("it is in Fortran's order, or of Python objects")
        return _checked(StoredArray(path, file.tell(), shape, dtype), path.stat().st_size)


def open_npz(path: Path) -> dict[str, StoredArray]:
    """Open the arrays of an `.npz` archive, by their names; none of them is read.

    Those in Fortran's order, or of Python objects, are left out.

    Raises:
        ValueError: an array is cut off. Or another DAMAGE.
    """
    found = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                continue
            with archive.open(info) as member:
                shape, is_plain, dtype = _header(member)
                start, end, packed = member.tell(), info.file_size, info.filename
            if not is_plain:
                continue
            if info.compress_type == zipfile.ZIP_STORED:
                file.seek(info.header_offset)
                lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
                before = info.header_offset + _LOCAL_HEADER.size + sum(lengths)
                start, end, packed = before + start, before + end, ""
            found[name] = _checked(StoredArray(path, start, shape, dtype, packed), end)
    return found


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    shape, is_fortran, dtype = read_header(file)
    return shape, not dtype.hasobject and (not is_fortran or len(shape) < 2), dtype


def _checked(array: StoredArray, end: int) -> StoredArray:
    needed = math.prod(array.shape) * array.dtype.itemsize
    if array.start + needed > end:
        raise ValueError(f"cut off: {needed:,} bytes of values are not all there")
    return array
