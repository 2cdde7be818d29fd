"""Random weights for the stand-in graph, with batch norm statistics that fit real pictures.

Nothing is trained. But a random network whose every channel is brought to mean 0 and variance 1 on
pictures keeps what tells them apart, layer after layer, so a linear head on its features learns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.quiet_tensorflow import tf

VARIANCE_EPSILON = 0.001
"""The `variance_epsilon` of every batch norm in inception-2015-12-05."""

_BETA_SPREAD = 0.1
_SOFTMAX_SPREAD = 0.01

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class ConvWeights:
    """The constants of one convolution and its batch norm.

    Attributes:
        kernel: float32 [kernel height, kernel width, channels in, channels out].
        beta: float32 [channels out], what is added after normalising.
        gamma: float32 [channels out], all 1 (the graph has scale_after_normalization=False).
        moving_mean: float32 [channels out], of the convolution's output on the pictures.
        moving_variance: float32 [channels out], likewise.
    """

    kernel: Floats
    beta: Floats
    gamma: Floats
    moving_mean: Floats
    moving_variance: Floats


def draw_conv(
    rng: np.random.Generator,
    images: Any,
    kernel_size: Sequence[int],
    channels: int,
    stride: int,
    padding: str,
) -> tuple[ConvWeights, Any]:
    """Draw a convolution, fit its batch norm to what comes out, and return that, rectified.

    The kernel is He-normal: variance 2 / fan-in (He et al. 2015, "Delving Deep into Rectifiers").

    Args:
        rng: the source of every random number.
        images: eager float32 tensor [batch, height, width, channels in].
        kernel_size: height and width of the kernel.
        channels: channels out.
        stride: of both directions, in pixels.
        padding: "SAME" or "VALID".

    Returns:
        The constants, and the eager float32 tensor [batch, height, width, channels] that the
        convolution, batch norm and Relu make of `images`.
    """
    height, width = kernel_size
    fan_in = height * width * images.shape[-1]
    kernel = rng.standard_normal((height, width, images.shape[-1], channels), np.float32)
    kernel *= np.float32(np.sqrt(2 / fan_in))
    beta = rng.standard_normal(channels, np.float32) * np.float32(_BETA_SPREAD)
    output = tf.nn.conv2d(images, kernel, stride, padding)
    # NumPy sums in one fixed order whatever the number of threads: same seed, same bytes.
    values = output.numpy().reshape(-1, channels)
    mean, variance = values.mean(axis=0), values.var(axis=0)
    normalised = (output - mean) * (1 / np.sqrt(variance + np.float32(VARIANCE_EPSILON))) + beta
    weights = ConvWeights(kernel, beta, np.ones(channels, np.float32), mean, variance)
    return weights, tf.nn.relu(normalised)


def draw_softmax(rng: np.random.Generator, features: int, classes: int) -> tuple[Floats, Floats]:
    """Draw the ImageNet head: small random weights [features, classes], biases [classes] of 0.

    The classes mean nothing.
    """
    weights = rng.standard_normal((features, classes), np.float32) * np.float32(_SOFTMAX_SPREAD)
    return weights, np.zeros(classes, np.float32)
