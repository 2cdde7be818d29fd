"""The arrays in a Keras HDF5 file, listed and read without Keras."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.sources.contents import TensorInfo

# Of the root; others are not read.
_ATTRIBUTES = ("backend", "keras_version", "layer_names", "model_config")


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

    with _opened(path, where) as file:
        file.visititems(visit)  # links to elsewhere are not followed
        there = [key for key in _ATTRIBUTES if key in file.attrs]
        return found, {key: file.attrs[key] for key in there}


def read_array(path: Path, name: str, where: str) -> npt.NDArray[Any]:
    """Read one array.

    Raises:
        InputError: the file is damaged.
    """
    with _opened(path, where) as file:
        return np.asarray(file[name][()])


def h5py() -> ModuleType:
    """Import h5py, which comes with TensorFlow and has no types; most files need neither."""
    return importlib.import_module("h5py")


@contextlib.contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    try:
        with h5py().File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"{where} is damaged or cut off: {reason}; download or copy it again."
        ) from error
