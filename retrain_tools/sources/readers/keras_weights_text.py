"""What is told of a file of Keras weights: its layers, its ordering, the network that it fits."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from retrain_tools.sources.readers.keras_fit import CLASSES, find_nearest
from retrain_tools.sources.readers.keras_weights_file import (
    WeightsFile,
    name_hints,
    old_resnet_names,
    shapes_text,
)

_MOST = 3  # layers that are named of those that differ


def weights_details(weights: WeightsFile) -> dict[str, str]:
    """Return what a file holds: label and text, the attributes by the names that Keras gave them.

    Example:
        >>> weights_details(read_weights("vgg16_weights_th_dim_ordering_th_kernels.h5"))["fits"]
        'VGG16 and nothing else'
    """
    names = weights.layer_names
    attributes = {
        "keras_version": weights.keras_version,
        "backend": weights.backend,
        "layer_names": f"{len(names)}: {', '.join(names)}" if names else None,
        "nb_layers": None if weights.nb_layers is None else str(weights.nb_layers),
    }
    told = {f"attribute {name}": text for name, text in attributes.items() if text is not None}
    layers = ", ".join(map(str, weights.layers))
    told["layers"] = f"{len(weights.layers)} with weights: {layers}"
    told["ordering"] = _ordering(weights)
    if (top := _top(weights)) is not None:
        told["top"] = top
    told["fits"] = _fits(weights)
    if (command := use_command(weights)) is not None:
        told["to use it"] = command
    return told


def use_command(weights: WeightsFile) -> str | None:
    """Return the command that uses weights in the network they are of; None where none is known."""
    if not weights.fits:
        return None
    application = weights.fits[0].application
    path = shlex.quote(str(weights.place))
    return (
        f"python -m retrain_tools.bottlenecks --graph=keras:{application} --weights={path} "
        "--image_dir=FOLDER"
    )


def _ordering(weights: WeightsFile) -> str:
    if weights.ordering == "tf":
        return "tf: kernels of (height, width, in, out)"
    told = []
    if weights.has_channels_first_kernels:
        told.append("kernels of (out, in, height, width)")
    if weights.has_turned_kernels:
        by = "the attribute backend" if weights.backend else "the file's name"
        if weights.backend is None and "th_kernels" not in name_hints(weights.place.named):
            by = "the kernels' shapes"
        told.append(f"turned by 180 degrees, as Theano had them (by {by})")
    if weights.has_channels_first:
        told.append("images of (channels, height, width)")
    return f"th: {', '.join(told)}; converted where they are used"


def _top(weights: WeightsFile) -> str | None:
    """Say whether the classifier is there; None where the network is not known."""
    if not weights.fits:
        return None
    fit = weights.fits[0]
    if fit.top == "none":
        return "none: notop weights, without the classifier"
    if fit.top == "whole":
        return f"the network's own, for {fit.classes} classes"
    return f"another than the network's: {', '.join(map(str, weights.layers[fit.body :]))}"


def _fits(weights: WeightsFile) -> str:
    fits = weights.fits
    if not fits:
        return _nothing(weights)
    told = " or ".join(map(str, fits))
    if fits[0].top == "whole" and fits[0].classes == CLASSES:
        told += " and nothing else" if len(fits) == 1 else ""
    if old_resnet_names(weights.layers):
        told += (
            "; named as in the ResNet50 of older Keras, which had a batch-norm epsilon of 0.001 "
            "where today's has 1.001e-05, so its features were a little other ones"
        )
    return told


def _nothing(weights: WeightsFile) -> str:
    nearest = find_nearest(weights.shapes)
    if nearest is None:
        return "no network of keras.applications"
    differences = []
    if nearest.lacking:
        differences.append(f"that has {_some(list(map(shapes_text, nearest.lacking)))}")
    if nearest.extra:
        extra = [str(weights.layers[number]) for number in nearest.extra]
        differences.append(f"the file has {_some(extra)}")
    return (
        f"no network of keras.applications; the nearest is {nearest.name}, but "
        f"{', and '.join(differences)}"
    )


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST
    return ", ".join(texts[:_MOST]) + (f" and {more} more" if more > 0 else "")
