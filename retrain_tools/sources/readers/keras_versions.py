"""Descriptions of models by older versions of Keras, in the words of Keras 3."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrain_tools.sources.readers.hdf5 import h5py

# Layers by the names of TensorFlow 1, where a new behaviour got a new class for a while.
_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}
# What older versions wrote though it says nothing: the layers never had more than this value.
_MEANINGLESS: Mapping[str, Mapping[str, Any]] = {
    "DepthwiseConv2D": {"groups": 1},
    "Conv2DTranspose": {"groups": 1},
    "SeparableConv2D": {"groups": 1},
    "BatchNormalization": {"renorm": False, "virtual_batch_size": None, "fused": None},
    "InputLayer": {"ragged": False},
}


def modernised(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a model's description that Keras 3 understands.

    Initializers lose their `dtype`: the values that they would make are read from the file.
    """
    slashed: dict[str, str] = {}
    new = _modernised(config, slashed)
    return dict(_renamed(new, slashed)) if slashed else dict(new)


def _modernised(value: Any, slashed: dict[str, str]) -> Any:
    """Translate a part of a description; layers whose names have a slash go into `slashed`."""
    if isinstance(value, list):
        return [_modernised(item, slashed) for item in value]
    if not isinstance(value, dict):
        return value
    new: dict[str, Any] = {key: _modernised(item, slashed) for key, item in value.items()}
    kind, inner = new.get("class_name"), new.get("config")
    if kind == "Sequential":
        inner = _sequential(inner)
        new["config"] = inner
    if not isinstance(kind, str) or not isinstance(inner, dict):
        return new
    new["class_name"] = kind = _CLASSES.get(kind, kind)
    for key, meaningless in _MEANINGLESS.get(kind, {}).items():
        if key in inner and inner[key] == meaningless:
            del inner[key]
    for key, initializer in inner.items():
        made_with = initializer.get("config") if isinstance(initializer, dict) else None
        if key.endswith("_initializer") and isinstance(made_with, dict):
            made_with.pop("dtype", None)
    axis = inner.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        inner["axis"] = axis[0]
    name = inner.get("name")
    if isinstance(name, str) and "/" in name:  # allowed until Keras 3
        slashed[name] = name.replace("/", "_")
    return new


def _sequential(inner: Any) -> Any:
    """Give a Sequential the form of later versions: a name, and an input layer of its own."""
    if isinstance(inner, list):  # before Keras 2.2.3
        inner = {"name": "sequential", "layers": inner}
    layers: Any = inner.get("layers") if isinstance(inner, dict) else None
    first: Any = layers[0] if isinstance(layers, list) and layers else None
    given: Any = first.get("config") if isinstance(first, dict) else None
    if isinstance(given, dict) and first.get("class_name") != "InputLayer":
        shape = given.pop("batch_input_shape", None)
        if shape is not None:
            name = f"{given.get('name')}_input".replace("/", "_")
            made = {"batch_shape": shape, "dtype": "float32", "name": name}
            inner = {**inner, "layers": [{"class_name": "InputLayer", "config": made}, *layers]}
    return inner


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Replace names wherever they stand: layers name the layers that they take from."""
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


def copy_with_config(path: Path, target: Path, config: Mapping[str, Any]) -> None:
    """Copy a model's file, with another description of the model in it.

    Args:
        path: a `.keras` or an HDF5 file.
        target: the copy; its ending says which of the two it is.
        config: the description.
    """
    text = json.dumps(config)
    if target.suffix != ".keras":
        shutil.copyfile(path, target)
        with h5py().File(target, "r+") as file:
            file.attrs["model_config"] = text
        return
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            if info.filename == "config.json":
                new.writestr("config.json", text)
            elif not info.is_dir():
                with old.open(info) as source, new.open(info.filename, "w") as copy:
                    shutil.copyfileobj(source, copy)
