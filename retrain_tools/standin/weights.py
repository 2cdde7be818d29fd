"""Random weights for the stand-in graph, with batch norm statistics taken from images.

Nothing is trained, yet a linear head on the features has to learn. Two things see to that: batch
norm brings every channel to mean 0 and variance 1 on images, and beta then lets most values pass
the Relu as they are (a deep random network that rectifies half of them forgets the image).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.quiet_tensorflow import tf

VARIANCE_EPSILON = 0.001
"""The `variance_epsilon` of every batch norm in inception-2015-12-05."""

# The mean of beta, in standard deviations of a channel. Measured on the drawn photos at width 0.25
# (held-out accuracy of a logistic regression, three seeds): 0.81 to 0.87 with 0 everywhere, 0.97 to
# 0.98 with these. The last block has less, so that the features are 0.7 on average and not 1.5: the
# original's bottlenecks are 0.3 (photos of orchids).
BETA = 1.5
LAST_BETA = 0.5
_BETA_SPREAD = 0.1
_SOFTMAX_SPREAD = 0.01

Floats = npt.NDArray[np.float32]


def draw_conv(
    rng: np.random.Generator,
    images: Floats,
    kernel_size: Sequence[int],
    channels: int,
    stride: int,
    padding: str,
    beta_mean: float,
) -> tuple[Floats, dict[str, Floats], Floats]:
    """Draw a convolution, fit its batch norm to its output, and return that, rectified.

    The kernel is He-normal: variance 2 / fan-in (He et al. 2015, "Delving Deep into Rectifiers").

    Args:
        rng: the source of every random number.
        images: float32 [batch, height, width, channels in].
        kernel_size: height and width of the kernel.
        channels: channels out.
        stride: of both directions, in pixels.
        padding: "SAME" or "VALID".
        beta_mean: what beta is drawn around; see `BETA`.

    Returns:
        The kernel, float32 [height, width, channels in, channels]; beta, gamma (all 1: the graph
        has scale_after_normalization=False), moving_mean and moving_variance, float32 [channels],
        by these names; and what the convolution, batch norm and Relu make of `images`, float32
        [batch, height, width, channels].
    """
    height, width = kernel_size
    channels_in = images.shape[-1]
    kernel = rng.standard_normal((height, width, channels_in, channels), np.float32)
    kernel *= np.float32(np.sqrt(2 / (height * width * channels_in)))
    beta = (beta_mean + _BETA_SPREAD * rng.standard_normal(channels)).astype(np.float32)
    tensors = {"input": tf.constant(images), "filter": tf.constant(kernel)}
    strides = [1, stride, stride, 1]
    output = tf.raw_ops.Conv2D(**tensors, strides=strides, padding=padding).numpy()
    # NumPy sums in one fixed order whatever the number of threads: same seed, same bytes.
    values = output.reshape(-1, channels)
    mean, variance = values.mean(axis=0), values.var(axis=0)
    normalised = (output - mean) * (1 / np.sqrt(variance + np.float32(VARIANCE_EPSILON))) + beta
    gamma = np.ones(channels, np.float32)
    norm = {"beta": beta, "gamma": gamma, "moving_mean": mean, "moving_variance": variance}
    return kernel, norm, np.maximum(normalised, np.float32(0))


def draw_softmax(rng: np.random.Generator, features: int, classes: int) -> tuple[Floats, Floats]:
    """Draw the ImageNet head: small random weights [features, classes], biases [classes] of 0.

    The classes mean nothing.
    """
    weights = rng.standard_normal((features, classes), np.float32) * np.float32(_SOFTMAX_SPREAD)
    return weights, np.zeros(classes, np.float32)
