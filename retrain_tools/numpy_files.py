"""NumPy's files, whoever wrote them: no pickle is read, and no more memory taken than they have.

`numpy.load` reads the header of an array as Python reads a text, and raises what that raises; and
it makes room for what a header claims before it looks whether the file has it.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_PIECE = 1 << 22
_LARGEST = (1 << 63) - 1  # NumPy's sizes are of 64 bits
_HEADERS: dict[tuple[int, int], Callable[[Any], tuple[Any, bool, Any]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, whether it is in Fortran's order, and the type of an open .npy file.

    Raises:
        ValueError: it is damaged, or of a version later than 2.0.
        OSError: it cannot be read.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"a header of version {version}")
    try:
        shape, is_fortran, dtype = _HEADERS[version](file)
    except OSError:
        raise
    except Exception as error:  # of Python's tokens, of its syntax, of NumPy's types
        raise ValueError("its header is damaged") from error
    if any(type(size) is not int or not 0 <= size <= _LARGEST for size in shape):
        raise ValueError(f"a header of shape {shape!s:.100}")
    return shape, is_fortran, dtype


def read_array(file: IO[bytes], size: int) -> Array:
    """Return the array of an open .npy file of `size` bytes, whatever its type.

    Raises:
        ValueError: it is of Python objects, damaged or cut off.
        OSError: it cannot be read.
    """
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which only a pickle could store")
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise ValueError(f"cut off: {size:,} bytes for {needed:,} bytes of values")
    data = bytearray(needed)  # an array of bytes could not be changed
    for start in range(0, needed, _PIECE):
        piece = file.read(min(_PIECE, needed - start))
        data[start : start + len(piece)] = piece
        if len(piece) < min(_PIECE, needed - start):
            there = start + len(piece)
            raise ValueError(f"cut off: {there:,} of {needed:,} bytes of values")
    if not needed:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file that `numpy.savez` wrote, which packs nothing.

    Raises:
        ValueError: it is damaged or cut off, or unpacks to more than it has bytes.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(one.file_size for one in members) > path.stat().st_size:
                raise ValueError("it claims to hold more than it has bytes")
            found = {}
            for one in members:
                with archive.open(one) as member:
                    found[one.filename.removesuffix(".npy")] = read_array(member, one.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        raise ValueError(f"a damaged archive ({error})") from error
    return found
