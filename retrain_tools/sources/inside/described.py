"""The layers of a Keras file, as its description and the names of its arrays tell them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.sources.contents import TensorInfo
from retrain_tools.sources.inside.part import Part, parts_by_scope, size_of

_DEEPEST = 20  # models in models
_WRAPPED = ("layer", "forward_layer", "backward_layer")
# How a `.keras` file names the folder of a model's layers, of Keras 3 and of 2.12.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


def described_model(config: Mapping[str, Any], arrays: Sequence[TensorInfo], is_zip: bool) -> Part:
    """Return the model of a Keras file with its layers.

    Args:
        config: the description of the model.
        arrays: those of its weights, by the names that the file has for them.
        is_zip: whether it is a `.keras` file, which names arrays by the classes of their layers,
            and not by the layers' names as `.h5` does.
    """
    if is_zip:
        return _part(config, _zipped(arrays), 0)
    prefix = "model_weights/"
    named = [a._replace(name=a.name.removeprefix(prefix)) for a in arrays]
    kept = [array for array, own in zip(named, arrays, strict=True) if array.name != own.name]
    return _part(config, _Named(kept, 0), 0)


class _Named:
    """The arrays of an `.h5` file: each outermost layer has a group, and names follow in it."""

    def __init__(self, arrays: Sequence[TensorInfo], depth: int) -> None:
        self.arrays, self._depth = arrays, depth

    def of(self, layer: Mapping[str, Any]) -> _Named:
        name = _name(layer)

        def is_in(array: TensorInfo) -> bool:
            parts = array.name.split("/")[:-1]
            return name in parts if self._depth else parts[0] == name

        return _Named([a for a in self.arrays if is_in(a)], self._depth + 1)


class _Zipped:
    """The arrays of a `.keras` file below a folder: `layers/conv2d_1` is the second Conv2D."""

    def __init__(self, arrays: Sequence[TensorInfo]) -> None:
        self.arrays = arrays
        self._count: dict[str, int] = {}

    def of(self, layer: Mapping[str, Any]) -> _Zipped:
        folder = _snake(str(layer.get("class_name")))
        number = self._count[folder] = self._count.get(folder, -1) + 1
        numbered = f"{folder}_{number}" if number else folder
        return _Zipped(_below(self.arrays, [f"{c}/{numbered}/" for c in _CONTAINERS]))


def _zipped(arrays: Sequence[TensorInfo]) -> _Zipped:
    return _Zipped(_below(arrays, [""]))


def _below(arrays: Sequence[TensorInfo], prefixes: Sequence[str]) -> list[TensorInfo]:
    return [
        array._replace(name=array.name.removeprefix(prefix))
        for array in arrays
        for prefix in prefixes
        if array.name.startswith(prefix)
    ]


def _snake(name: str) -> str:
    """Write a class's name as Keras writes it in a file: `Conv2D` is `conv2d`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _part(item: Mapping[str, Any], arrays: _Named | _Zipped, depth: int) -> Part:
    """Return a described layer with the layers in it."""
    inner = item.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    kind = str(item.get("class_name"))
    handle = inner.get("handle") if isinstance(inner, dict) else None
    if isinstance(handle, str):  # as hub.KerasLayer has one
        kind = f"{kind} of {handle}"
    parts: list[Part] = []
    if depth < _DEEPEST and isinstance(layers, list):
        for layer in layers:
            if isinstance(layer, dict):
                parts.append(_part(layer, arrays.of(layer), depth + 1))
    elif depth < _DEEPEST and isinstance(inner, dict):
        wrapped = [inner[key] for key in _WRAPPED if isinstance(inner.get(key), dict)]
        # The arrays of a wrapper are those of what it wraps: they are told once, for the wrapper.
        parts = [_part(layer, type(arrays)([], 1) if isinstance(arrays, _Named) else _zipped([]),
                       depth + 1) for layer in wrapped]  # fmt: skip
    if not parts and isinstance(handle, str):
        parts = list(
            parts_by_scope([(_below_layer(a.name, _name(item)), a) for a in arrays.arrays])
        )
    return Part(_name(item), kind, size_of(arrays.arrays), (), tuple(parts))


def _below_layer(array: str, layer: str) -> str:
    """Return an array's name without that of its group."""
    return array.removeprefix(f"{layer}/").removeprefix(f"{layer}/").removesuffix(":0")


def _name(item: Mapping[str, Any]) -> str:
    inner = item.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    return str(name or item.get("name") or item.get("class_name"))
