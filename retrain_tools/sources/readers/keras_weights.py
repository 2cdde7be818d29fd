"""Weights out of any file that Keras ever wrote, put into a network that this Keras built."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.leftovers import scratch_folder
from retrain_tools.sources.contents import Array
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.keras_fit import CLASSES, Fit, find_fits
from retrain_tools.sources.readers.keras_library import reason_of
from retrain_tools.sources.readers.keras_weights_file import (
    LayerWeights,
    WeightsFile,
    read_weights,
    reading,
    shapes_text,
    todays_name,
)
from retrain_tools.sources.readers.theano import (
    TURNED,
    channels_last,
    rows_as_channels_last,
    turn,
)
from retrain_tools.text_tables import counted

__all__ = ["LayerWeights", "WeightsFile", "load_weights", "network_arguments", "read_weights"]

log = logging.getLogger(__name__)

# Batch norms of Keras 0.x held standard deviations and divided by them plus this, their default.
_OLD_EPSILON = 1e-6


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
        _tell_left_out(weights, _load_by_keras(model, weights, layers))
        return weights
    pairs = _pairs(weights, layers)
    for layer, held in pairs:
        _check_shapes(weights, layer, held)
    with reading(weights) as value:
        read = [[value(path) for path, _ in held.arrays] for _, held in pairs]
    for (layer, _), arrays in zip(pairs, read, strict=True):
        made = _converted(weights, layer, arrays)
        for variable, array in zip(_variables(layer), made, strict=True):
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


def network_arguments(
    place: str | Path | Place, application: str, include_top: bool
) -> Mapping[str, Any]:
    """Return what a network of keras.applications has to be called with for weights to fit.

    What does not fit anyway is refused before Keras is started.

    Args:
        place: the file of weights.
        application: the network's name.
        include_top: whether it is to have its classifier.

    Returns:
        such as `{"alpha": 0.25}`, mostly nothing.

    Raises:
        InputError: the file is damaged, of another network, or without the top.

    Example:
        >>> network_arguments("mobilenet_2_5_224_tf.h5", "MobileNet", include_top=True)
        {'alpha': 0.25}
    """
    weights = read_weights(place)
    found = (fit for fit in weights.fits if fit.application == application)
    arguments = next((fit.arguments for fit in found), {})
    top = "whole" if include_top else "none"
    _check_fit(weights, Fit(application, arguments, top, CLASSES, 0))
    return arguments


def _check_network(weights: WeightsFile, layers: Sequence[Any]) -> None:
    """Raise InputError where the file is of another network than the model, or lacks the top."""
    sought = find_fits([_shapes(layer) for layer in layers])
    if sought:
        _check_fit(weights, sought[0])


def _check_fit(weights: WeightsFile, wanted: Fit) -> None:
    if not weights.fits:
        return
    place = weights.place
    held = next((fit for fit in weights.fits if fit.name == wanted.name), weights.fits[0])
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


def _pairs(weights: WeightsFile, layers: Sequence[Any]) -> list[tuple[Any, LayerWeights]]:
    """Return each layer of a model with what the file has for it.

    Raises:
        InputError: the file has too few layers, or more that are not of a top.
    """
    held = weights.layers
    for named in (
        {layer.name: layer for layer in held},
        {todays_name(layer.name): layer for layer in held},
    ):
        if len(named) == len(held) and {layer.name for layer in layers} <= named.keys():
            return [(layer, named[layer.name]) for layer in layers]
    if len(held) < len(layers):
        names = ", ".join(layer.name for layer in layers[len(held) :][:3])
        raise InputError(
            f"{weights.place} has weights for {counted(len(held), 'layer')}, and the network has "
            f"{len(layers)}: none for {names}, by their order."
        )
    if len(held) > len(layers) and not _ends_with_a_top(weights, layers):
        _refuse_more(weights, held[len(layers) :], layers)
    return list(zip(layers, held[: len(layers)], strict=True))


def _ends_with_a_top(weights: WeightsFile, layers: Sequence[Any]) -> bool:
    """Tell whether all that a file has more than a model is the top of its network."""
    return bool(weights.fits) and weights.fits[0].body == len(layers)


def _refuse_more(weights: WeightsFile, more: Sequence[LayerWeights], layers: Sequence[Any]) -> None:
    names = ", ".join(layer.name for layer in more[:3])
    raise InputError(
        f"{weights.place} has weights for {counted(len(weights.layers), 'layer')}, and the network "
        f"has only {len(layers)}; left over, by their order: {names}."
    )


def _check_shapes(weights: WeightsFile, layer: Any, held: LayerWeights) -> None:
    """Raise InputError where a layer has other arrays than the model; none of them is read yet."""
    is_transposed = type(layer).__name__.endswith("Transpose")
    wanted = _shapes(layer)
    found = weights.shapes_of(held, is_transposed)
    if found == wanted:
        return
    differing = (pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1])
    first = next(differing, None)
    differs = (
        f"{counted(len(found), 'array')}, not {len(wanted)}"
        if first is None
        else f"the shape {list(first[0])}, not {list(first[1])}"
    )
    raise InputError(
        f"{weights.place} does not fit: {held.name}, for the network's layer {layer.name}, has "
        f"{differs}."
    )


def _converted(weights: WeightsFile, layer: Any, arrays: list[Array]) -> list[Array]:
    """Return a layer's arrays as TensorFlow has them."""
    kind = type(layer).__name__
    if weights.has_channels_first_kernels:
        is_transposed = kind.endswith("Transpose")
        arrays = [
            channels_last(a, is_transposed=is_transposed) if a.ndim == 4 else a for a in arrays
        ]
    if weights.has_turned_kernels and kind in TURNED:
        arrays = [turn(a) if a.ndim > 2 else a for a in arrays]
    if weights.writer == "params" and kind == "BatchNormalization" and len(arrays) == 4:
        arrays[3] = (arrays[3] + _OLD_EPSILON) ** 2 - layer.epsilon
    if weights.has_channels_first and (shape := flattened_shape(layer)) is not None:
        length = shape[0] * shape[1] * shape[2]
        rows = arrays[:1] if kind == "Dense" else arrays
        arrays[: len(rows)] = [
            rows_as_channels_last(a, shape) if a.shape[:1] == (length,) else a for a in rows
        ]
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


def _load_by_keras(model: Any, weights: WeightsFile, layers: Sequence[Any]) -> list[LayerWeights]:
    """Let Keras load a file of its own format, which names layers by class and number.

    Returns:
        what it loaded.
    """
    wanted = Counter(_sorted(_shapes(layer)) for layer in layers)
    used: list[LayerWeights] = []
    more: list[LayerWeights] = []
    for held, shapes in zip(weights.layers, map(_sorted, weights.shapes), strict=True):
        (used if wanted[shapes] else more).append(held)
        wanted[shapes] -= 1
    lacking = next((layer for layer in layers if wanted[_sorted(_shapes(layer))] > 0), None)
    if lacking is not None:
        raise InputError(
            f"{weights.place} does not fit: it has no other layer with arrays of "
            f"{shapes_text(_shapes(lacking))}, as the network's layer {lacking.name} has."
        )
    if more and not _ends_with_a_top(weights, layers):
        _refuse_more(weights, more, layers)
    with scratch_folder() as folder:
        path = weights.place.path
        if not path.name.endswith((".weights.h5", ".keras")):  # Keras goes by the ending
            path = folder / "it.weights.h5"
            shutil.copyfile(weights.place.path, path)
        try:
            model.load_weights(str(path))
        except Exception as error:  # Keras raises whatever its layers happen to
            raise InputError(f"{weights.place} does not fit: {reason_of(error)}.") from error
    return used


def _sorted(shapes: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    return tuple(sorted(shapes))


def _tell_left_out(weights: WeightsFile, used: Sequence[LayerWeights]) -> None:
    left = [layer.name for layer in weights.layers if layer not in used]
    if left:
        log.info("%s: the layers of its top are left out: %s", weights.place, ", ".join(left))
