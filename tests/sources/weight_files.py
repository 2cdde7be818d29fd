"""Files of Keras weights as every generation of Keras wrote them, made with h5py."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt

Held = npt.NDArray[Any] | tuple[int, ...]
"""An array, or only a shape: its zeros take no room in the file."""

Layers = Sequence[tuple[str, Sequence[Held]]]
FOLDER = Path(__file__).with_name("keras_files")
IMAGE = (7, 8, 3)


def built(*layers: Any, shape: tuple[int, ...] = IMAGE) -> Any:
    """A network of these layers, which takes small images."""
    return keras.Sequential([keras.Input(shape), *layers])


def _add(group: h5py.Group, name: str, held: Held) -> None:
    if isinstance(held, tuple):
        group.create_dataset(name, held, "float32")
    else:
        group.create_dataset(name, data=np.asarray(held, "float32"))


def named_file(path: Path, layers: Layers, **attributes: str) -> Path:
    """Write what Keras 1 and 2 do: `layer_names`, and `weight_names` of each layer."""
    with h5py.File(path, "w") as file:
        file.attrs.update({key: np.bytes_(text) for key, text in attributes.items()})
        file.attrs["layer_names"] = [np.bytes_(name) for name, _ in layers]
        for name, arrays in layers:
            group = file.create_group(name)
            names = [f"{name}_{number}" for number in range(len(arrays))]
            group.attrs["weight_names"] = [np.bytes_(one) for one in names]
            for one, held in zip(names, arrays, strict=True):
                _add(group, one, held)
    return path


def numbered_file(path: Path, layers: Layers) -> Path:
    """Write what Keras 0.x did: `nb_layers`, and `param_0` of `layer_0`."""
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = len(layers)
        for number, (_, arrays) in enumerate(layers):
            group = file.create_group(f"layer_{number}")
            group.attrs["nb_params"] = len(arrays)
            for index, held in enumerate(arrays):
                _add(group, f"param_{index}", held)
    return path


def shapes_of(model: Any) -> list[tuple[str, list[Held]]]:
    """The layers of a model that hold something: names and shapes."""
    return [
        (
            layer.name,
            [tuple(w.shape) for w in layer.trainable_weights + layer.non_trainable_weights],
        )
        for layer in model.layers
        if layer.weights
    ]


def as_theano(layers: Sequence[tuple[str, Sequence[Held]]]) -> list[tuple[str, list[Held]]]:
    """The same shapes with kernels of (out, in, height, width)."""
    return [
        (name, [(s[3], s[2], *s[:2]) if len(s) == 4 else s for s in shapes])  # type: ignore[misc]
        for name, shapes in layers
    ]


def recorded_file(version: str, name: str, target: Path) -> Path:
    """Take a file of a network that tools/record_theano_files.py recorded."""
    with zipfile.ZipFile(FOLDER / f"theano-{version}.zip") as archive:
        target.write_bytes(archive.read(name))
    return target
