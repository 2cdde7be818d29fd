"""Weights for a network without a weights file: the same for every process and machine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_SCALE = 1.5  # variance of a kernel times its fan-in
# Of batch norms: what is multiplied or divided by. All else of rank 1 is added or subtracted.
_FACTORS = ("gamma", "moving_variance", "variance")
_SMALL = 0.1


def seed_weights(model: Any, seed: int) -> None:
    """Give all variables of a Keras model random values, by their order in the model.

    Kernels are uniform with the variance 1.5 / fan-in: 2 would keep the variance of what goes
    through rectified layers (He et al. 2015, https://arxiv.org/abs/1502.01852), 1 that of linear
    ones, and the networks have both. Factors are 0.9 to 1.1 times what Keras starts them with,
    other vectors within 0.1 of it, so that no layer does nothing.

    Args:
        model: the model.
        seed: 0 or more; another one gives other values.
    """
    for index, variable in enumerate(model.weights):
        if variable.dtype != "float32":
            continue
        start = np.asarray(variable.numpy(), np.float32)
        noise = _uniform(start.shape, seed, index)
        if start.ndim > 1:
            is_depthwise = _is_depthwise(variable.path, model)
            fan_in = math.prod(start.shape[:2] if is_depthwise else start.shape[:-1])
            variable.assign(noise * np.float32(math.sqrt(3 * _SCALE / fan_in)))
        elif variable.path.rpartition("/")[2] in _FACTORS:
            variable.assign(start * (1 + np.float32(_SMALL) * noise))
        else:
            variable.assign(start + np.float32(_SMALL) * noise)


def _is_depthwise(path: str, model: Any) -> bool:
    scope, _, name = path.rpartition("/")
    if name != "kernel":
        return name == "depthwise_kernel"
    layer = scope.rpartition("/")[2]
    return any(type(one).__name__ == "DepthwiseConv2D" for one in model.layers if one.name == layer)


def _uniform(shape: tuple[int, ...], seed: int, index: int) -> npt.NDArray[np.float32]:
    """Return float32 from -1 to 1: PCG64's raw bits, which NumPy promises never to change."""
    count = math.prod(shape)
    raw = np.random.PCG64([seed, index]).random_raw((count + 1) // 2)
    bits = raw.astype("<u8").view("<u4")[:count]
    top = (bits >> np.uint32(8)).astype(np.float32)  # 24 bits, as many as float32 holds
    return (top * np.float32(2.0**-23) - np.float32(1)).reshape(shape)
