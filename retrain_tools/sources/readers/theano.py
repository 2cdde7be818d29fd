"""Arrays of a network that ran on Theano, as they have to be on TensorFlow.

Theano convolves, TensorFlow correlates: kernels are turned by 180 degrees. And Theano's images were
(channels, height, width), so that a layer after a flattened one has its rows in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain_tools.sources.contents import Array
from retrain_tools.sources.readers.keras_config import name_of, objects

# Layers of Keras whose kernel Theano turned. Keras 2 turned those of depthwise convolutions itself
# before it gave them to Theano, so they are stored as TensorFlow has them; the second kernel of a
# separable one is of 1x1.
TURNED = (
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "ConvLSTM2D",
)
# Those whose outputs were compared with Theano's: see tools/record_theano_files.py.
_COMPARED = ("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D")
_PADDED = (*_COMPARED, "MaxPooling2D", "AveragePooling2D")
_OTHER_KERNELS = "has kernels in an order that is known of two-dimensional convolutions only"
_OTHER_PADDING = (
    "pads images on other sides than on TensorFlow (padding 'same' with strides, even kernels or "
    "pooling)"
)


def what_differs(config: Mapping[str, Any], where: str) -> str | None:
    """Say which layer of a model of Keras 2 computes on Theano what it cannot here; None if none.

    Args:
        config: the description of the model.
        where: the file, for messages.
    """
    for item in objects(config, where):
        kind, held = str(item.get("class_name")), item.get("config")
        held = held if isinstance(held, dict) else {}
        if "conv" in kind.lower() and kind not in _COMPARED:
            return f"its layer{name_of(item)} ({kind}) {_OTHER_KERNELS}"
        if kind in _PADDED and held.get("padding") == "same" and not _pads_alike(kind, held):
            return f"its layer{name_of(item)} ({kind}) {_OTHER_PADDING}"
    return None


def _pads_alike(kind: str, held: Mapping[str, Any]) -> bool:
    """Tell whether a layer of padding `same` pads as much on every side, which both libraries do.

    Theano pads by half of the kernel on either side, TensorFlow by no more than the strides need.
    """
    is_plain = kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
    strides, kernel = held.get("strides") or [1], held.get("kernel_size") or [2]
    if not (isinstance(strides, list) and isinstance(kernel, list)):
        return False
    return (
        is_plain and all(s == 1 for s in strides) and all(k in (1, 3, 5, 7, 9, 11) for k in kernel)
    )


def turn_kernels(model: Any) -> None:
    """Turn the kernels of a model of Keras 2 that ran on Theano, in place and at any depth."""
    for layer in model.submodules:
        if type(layer).__name__ in TURNED:
            kernel, *others = layer.get_weights()
            layer.set_weights([turn(kernel), *others])


def turn(kernel: Array) -> Array:
    """Turn a kernel [..., in, out] by 180 degrees: along all axes but the last two."""
    return np.flip(kernel, tuple(range(kernel.ndim - 2)))


def channels_last(kernel: Array, *, is_transposed: bool = False) -> Array:
    """Return a kernel [out, in, height, width] of Keras 1 as [height, width, in, out].

    Args:
        kernel: of four dimensions.
        is_transposed: of a transposed convolution, whose kernel Keras 2 and 3 store as
            [height, width, out, in].
    """
    return np.transpose(kernel, (2, 3, 0, 1) if is_transposed else (2, 3, 1, 0))


def rows_as_channels_last(rows: Array, shape: Sequence[int]) -> Array:
    """Return rows that are in the order of flattened channels-first images as channels-last has it.

    Args:
        rows: [height * width * channels, ...], as a dense layer after a flattened one has them.
        shape: (height, width, channels) of what was flattened.
    """
    height, width, channels = shape
    apart = rows.reshape(channels, height, width, *rows.shape[1:])
    return np.moveaxis(apart, 0, 2).reshape(rows.shape)
