"""The arrays in a Keras HDF5 file, listed and read without Keras."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.sources.contents import TensorInfo

# What an array may take that the file has not: zeros of a network take no room in it.
_ALWAYS_ALLOWED, _MOST_TIMES = 1 << 29, 100

# Of the root; others are not read.
_ATTRIBUTES = ("backend", "keras_version", "model_config")
# Of groups, with the endings of those that are cut into pieces: `layer_names0` and so on.
_OF_GROUPS = re.compile(
    r"(backend|keras_version|name|nb_layers)|(layer_names|weight_names)(\d{0,5})"
)


def list_arrays(path: Path, where: str) -> tuple[list[TensorInfo], dict[str, Any]]:
    """Return the arrays of an HDF5 file in the file's order, and what Keras says of them.

    Raises:
        InputError: the file is damaged, or takes its data from other files of this computer.
    """
    found: list[TensorInfo] = []
    dataset = h5py().Dataset

    def visit(name: str | bytes, item: Any) -> None:
        if isinstance(name, bytes):
            raise ValueError(f"the name {name!r} is no text")
        if isinstance(item, dataset):
            if item.external or item.is_virtual:
                raise InputError(
                    f"{where}: the array {name!r} is not in it but in other files of this "
                    "computer, which a model has no business to read."
                )
            dtype = "string" if item.dtype.kind in "OSU" else item.dtype.name
            found.append(TensorInfo(name, dtype, tuple(item.shape or ())))

    with opened(path, where) as file:
        file.visititems(visit)  # links to elsewhere are not followed
        there = [key for key in _ATTRIBUTES if key in file.attrs]
        return found, {key: file.attrs[key] for key in there}


def read_array(path: Path, name: str, where: str) -> npt.NDArray[Any]:
    """Read one array.

    Raises:
        InputError: the file is damaged, or claims to hold far more than it has bytes.
    """
    with opened(path, where) as file:
        item, size = file[name], path.stat().st_size
        needed = (item.size or 0) * item.dtype.itemsize
        if needed > max(_ALWAYS_ALLOWED, _MOST_TIMES * size):
            raise ValueError(f"its {size:,} bytes claim to hold {needed:,} bytes of {name!r}")
        return np.asarray(item[()])


def read_attributes(path: Path, where: str) -> dict[str, dict[str, Any]]:
    """Return what Keras says of the groups of an HDF5 file, by their paths; the root has none.

    Names of layers and weights, which Keras cuts into pieces of 64 kB, are whole again.

    Raises:
        InputError: the file is damaged.
    """
    found: dict[str, dict[str, Any]] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py().Dataset):
            found[name] = _attributes(item.attrs)

    with opened(path, where) as file:
        visit("", file)
        file.visititems(visit)  # links to elsewhere are not followed
    return found


def text_of(value: Any) -> str:
    """Return an attribute as text, whichever way the file holds it."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _attributes(held: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pieces: dict[str, dict[int, list[str]]] = {}
    for key in held:
        match = _OF_GROUPS.fullmatch(key)
        if match and match[1]:
            found[key] = held[key]
        elif match:
            names = [text_of(name) for name in np.ravel(held[key])]
            pieces.setdefault(match[2], {})[int(match[3] or -1)] = names
    for key, parts in pieces.items():
        found[key] = [name for number in sorted(parts) for name in parts[number]]
    return found


def h5py() -> ModuleType:
    """Import h5py, which comes with TensorFlow and has no types; most files need neither."""
    return importlib.import_module("h5py")


# What a file is read by first, in a process of its own: all but the arrays; and of these those that
# are in pieces, whose index may be damaged too.
_WALK = """
import sys, h5py
def visit(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset) and item.shape and item.chunks and item.nbytes < 1 << 28:
        item[()]
with h5py.File(sys.argv[1], "r") as file:
    visit("", file)
    file.visititems(visit)
"""
_MOST_SECONDS = 20.0


def what_ends(path: Path) -> str | None:
    """Say how the HDF5 library would end this process at a damaged file; None where it would not.

    The file is read in another process, once.
    """
    found = path.stat()
    return _outcome(str(path), found.st_size, found.st_mtime_ns)


@functools.cache
def _outcome(path: str, *stamp: int) -> str | None:  # noqa: ARG001 - one that changed is another
    """Return what the HDF5 library does with a damaged file, beside saying so; None for nothing.

    It may crash, or read without end: no exception of Python's, and Ctrl-C does not stop it.
    """
    command = [sys.executable, "-c", _WALK, path]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MOST_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"reading it takes more than {_MOST_SECONDS:g} s"
    return "reading it crashes the HDF5 library" if done.returncode < 0 else None


@contextlib.contextmanager
def opened(path: Path, where: str, is_tried: bool = False) -> Iterator[Any]:
    """Open a file for reading; whatever goes wrong meanwhile is an InputError.

    A file is read in another process first, once, unless it `is_tried` already.
    """
    if not is_tried and path.is_file():
        reason = what_ends(path)
        if reason is not None:
            raise InputError(f"{where} is damaged: {reason}; download or copy it again.")
    try:
        with h5py().File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"{where} is damaged or cut off: {reason}; download or copy it again."
        ) from error
