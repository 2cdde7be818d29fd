"""The arrays in a Keras HDF5 file, listed and read without Keras."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.sources.contents import StoredVariable

_ATTRIBUTES = ("keras_version", "layer_names", "model_config")  # of the root; others are not read


def list_arrays(path: Path, where: str) -> tuple[list[StoredVariable], dict[str, Any]]:
    """Return the arrays of an HDF5 file in the file's order, and what Keras says of them.

    Raises:
        InputError: the file is damaged, or takes its data from other files of this computer.
    """
    found: list[StoredVariable] = []

    h5py = _h5py()

    def visit(name: str | bytes, item: Any) -> None:
        if isinstance(name, bytes):
            raise ValueError(f"the name {name!r} is no text")
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise InputError(
                    f"{where}: the array {name!r} is not in it but in other files of this "
                    "computer, which a model has no business to read."
                )
            found.append(StoredVariable(name, _dtype(item.dtype), tuple(item.shape or ())))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)  # links to elsewhere are not followed
            there = [key for key in _ATTRIBUTES if key in file.attrs]
            return found, {key: file.attrs[key] for key in there}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(where, error) from error


def read_array(path: Path, name: str, where: str) -> npt.NDArray[Any]:
    """Read one array.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with _h5py().File(path, "r") as file:
            return np.asarray(file[name][()])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(where, error) from error


def _h5py() -> ModuleType:
    """Import h5py, which comes with TensorFlow and has no types; most files need neither."""
    return importlib.import_module("h5py")


def _dtype(dtype: np.dtype[Any]) -> str:
    return "string" if dtype.kind in "OSU" else dtype.name


def _damaged(where: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0].rstrip(".")
    return InputError(f"{where} is damaged or cut off: {reason}; download or copy it again.")
