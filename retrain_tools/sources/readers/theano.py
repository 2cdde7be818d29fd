"""Arrays of a network that ran on Theano, as they have to be on TensorFlow.

Theano convolves, TensorFlow correlates: kernels are turned by 180 degrees. And Theano's images were
(channels, height, width), so that a layer after a flattened one has its rows in that order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrain_tools.sources.contents import Array

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
