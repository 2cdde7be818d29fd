"""Weights out of any file that Keras ever wrote, put into a network that this Keras built."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.sources.contents import Array
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.keras_fit import Fit, find_fits
from retrain_tools.sources.readers.keras_library import reason_of
from retrain_tools.sources.readers.keras_weights_file import (
    LayerWeights,
    WeightsFile,
    read_weights,
    reading,
)
from retrain_tools.sources.readers.theano import (
    TURNED,
    channels_last,
    rows_as_channels_last,
    turn,
)

__all__ = ["LayerWeights", "WeightsFile", "load_weights", "read_weights"]

log = logging.getLogger(__name__)

# ResNet50 as Keras 1 and 2 named its layers before 2.2.5: stage, block and branch.
_OLD_RESNET = re.compile(r"(res|bn)(\d)([a-z])_branch(1|2[abc])")
_OLD_RESNET_ENDS = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}
_BRANCHES = {"1": "0", "2a": "1", "2b": "2", "2c": "3"}


def load_weights(model: Any, place: str | Path | Place) -> WeightsFile:
    """Put the weights of a file into a built Keras model, converted where Theano wrote them.

    Layers are matched by their names where file and model have the same, else by their order, as
    Keras does; the files of Keras 3's own format by Keras itself. Where the file has a top and the
    model none, the top's layers are left out, and a line of the log says so.

    Args:
        model: of Keras 3, built.
        place: the file.

    Returns:
        what the file holds.

    Raises:
        InputError: it is damaged, of another network, without a top that the model has, or with
            layers of other shapes.
    """
    weights = read_weights(place)
    layers = [layer for layer in model.layers if layer.weights]
    _check_network(weights, layers)
    if weights.writer == "vars":
        _load_by_keras(model, weights, layers)
        return weights
    pairs = _pairs(weights, layers)
    with reading(weights) as value:
        made = [
            (layer, _converted(weights, layer, [value(path) for path, _ in held.arrays], held))
            for layer, held in pairs
        ]
    for layer, arrays in made:
        for variable, array in zip(_variables(layer), arrays, strict=True):
            variable.assign(array)
        if hasattr(layer, "finalize_state"):  # what Normalization computes of its weights
            layer.finalize_state()
    _tell_left_out(weights, [held for _, held in pairs])
    return weights


def _variables(layer: Any) -> list[Any]:
    """Return a layer's weights in the order in which files have them."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _shapes(layer: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(variable.shape) for variable in _variables(layer))


def _check_network(weights: WeightsFile, layers: Sequence[Any]) -> None:
    """Raise InputError where the file is of another network, or lacks the top."""
    place = weights.place
    sought = find_fits([_shapes(layer) for layer in layers])
    if not sought or not weights.fits:
        return
    wanted, held = sought[0], _nearest(weights.fits, sought[0])
    if held.name != wanted.name:
        raise InputError(
            f"{place} holds the weights of {held.name}, not of {wanted.name}: "
            f"{argument('graph')}=keras:{held.application}"
        )
    if wanted.top != "whole":
        return
    way_out = f"leave out {argument('include_top')}, or pass the weights of the whole network."
    if held.top != "whole":
        raise InputError(f"{place} holds {held}: {way_out}")
    if held.classes != wanted.classes:
        raise InputError(
            f"{place} holds {wanted.name} for {held.classes} classes, not {wanted.classes}: "
            f"{way_out}"
        )


def _nearest(fits: Sequence[Fit], wanted: Fit) -> Fit:
    return next((fit for fit in fits if fit.name == wanted.name), fits[0])


def _pairs(weights: WeightsFile, layers: Sequence[Any]) -> list[tuple[Any, LayerWeights]]:
    """Return each layer of a model with what the file has for it.

    Raises:
        InputError: the file has too few layers, or more that are not of a top.
    """
    held = weights.layers
    for named in (
        {layer.name: layer for layer in held},
        {_todays_name(layer.name): layer for layer in held},
    ):
        if len(named) == len(held) and {layer.name for layer in layers} <= named.keys():
            return [(layer, named[layer.name]) for layer in layers]
    if len(held) < len(layers):
        names = ", ".join(layer.name for layer in layers[len(held) :][:3])
        raise InputError(
            f"{weights.place} has weights for {len(held)} layers, and the network has "
            f"{len(layers)}: none for {names}, by their order."
        )
    if len(held) > len(layers) and not (weights.fits and weights.fits[0].body == len(layers)):
        names = ", ".join(layer.name for layer in held[len(layers) :][:3])
        raise InputError(
            f"{weights.place} has weights for {len(held)} layers, and the network has only "
            f"{len(layers)}: {names} are left over, by their order."
        )
    return list(zip(layers, held[: len(layers)], strict=True))


def _todays_name(name: str) -> str:
    """Return the name that a layer of ResNet50 has today.

    Example:
        >>> _todays_name("res4f_branch2c"), _todays_name("bn2a_branch1")
        ('conv4_block6_3_conv', 'conv2_block1_0_bn')
    """
    match = _OLD_RESNET.fullmatch(name)
    if match is None:
        return _OLD_RESNET_ENDS.get(name, name)
    kind, stage, block, branch = match.groups()
    ending = "conv" if kind == "res" else "bn"
    return f"conv{stage}_block{ord(block) - ord('a') + 1}_{_BRANCHES[branch]}_{ending}"


def _converted(
    weights: WeightsFile, layer: Any, arrays: list[Array], held: LayerWeights
) -> list[Array]:
    """Return a layer's arrays as TensorFlow has them, checked against those of the model."""
    kind = type(layer).__name__
    if weights.has_channels_first_kernels:
        is_transposed = kind.endswith("Transpose")
        arrays = [
            channels_last(a, is_transposed=is_transposed) if a.ndim == 4 else a for a in arrays
        ]
    if weights.has_turned_kernels and kind in TURNED:
        arrays = [turn(a) if a.ndim > 2 else a for a in arrays]
    if weights.has_channels_first and (shape := flattened_shape(layer)) is not None:
        length = shape[0] * shape[1] * shape[2]
        rows = arrays[:1] if kind == "Dense" else arrays
        arrays[: len(rows)] = [
            rows_as_channels_last(a, shape) if a.shape[:1] == (length,) else a for a in rows
        ]
    found, wanted = tuple(a.shape for a in arrays), _shapes(layer)
    if found != wanted:
        differing = (pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1])
        first = next(differing, None)
        differs = (
            f"{len(found)} arrays, not {len(wanted)}"
            if first is None
            else f"the shape {first[0]}, not {first[1]}"
        )
        raise InputError(
            f"{weights.place} does not fit: {held.name}, for the network's layer {layer.name}, has "
            f"{differs}."
        )
    return arrays


def flattened_shape(layer: Any) -> tuple[int, int, int] | None:
    """Return the (height, width, channels) whose flattened values a layer takes, else None.

    Layers between them that leave every value in its place do not matter.
    """
    while True:
        tensor = layer.input
        source = getattr(tensor, "_keras_history", None)
        if source is None:
            return None
        before = source.operation
        kind = type(before).__name__
        if kind == "Flatten":
            shape = tuple(before.input.shape[1:])
            return shape if len(shape) == 3 else None
        if kind not in ("Dropout", "Activation", "ReLU", "BatchNormalization", "GaussianNoise"):
            return None
        layer = before


def _load_by_keras(model: Any, weights: WeightsFile, layers: Sequence[Any]) -> None:
    """Let Keras load a file of its own format, which names layers by class and number."""
    wanted, held = (
        Counter(map(_sorted, map(_shapes, layers))),
        Counter(map(_sorted, weights.shapes)),
    )
    if wanted - held:
        first = next(layer for layer in layers if not held[_sorted(_shapes(layer))])
        raise InputError(
            f"{weights.place} does not fit: it has nothing of the shapes {list(_shapes(first))}, "
            f"as the network's layer {first.name} has."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = weights.place.path
        if not path.name.endswith((".weights.h5", ".keras")):  # Keras goes by the ending
            path = Path(folder) / "it.weights.h5"
            shutil.copyfile(weights.place.path, path)
        try:
            model.load_weights(str(path))
        except Exception as error:  # Keras raises whatever its layers happen to
            raise InputError(f"{weights.place} does not fit: {reason_of(error)}.") from error


def _sorted(shapes: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    return tuple(sorted(shapes))


def _tell_left_out(weights: WeightsFile, used: Sequence[LayerWeights]) -> None:
    left = [layer.name for layer in weights.layers if layer not in used]
    if left:
        log.info("%s: the layers of its top are left out: %s", weights.place, ", ".join(left))
