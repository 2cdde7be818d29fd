"""From a checkpoint's variables to the graph's constants; batch norm goes into the kernels.

Every constant has a recipe, a function of all the variables, so that the architecture can be laid
out (names, shapes, nodes) before there is a checkpoint, and weights are touched once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Variables = Mapping[str, Array]
Recipe = Callable[[Variables], Array]
"""Makes one constant, float32, from a checkpoint's variables."""


@dataclasses.dataclass(frozen=True)
class Norm:
    """A family's batch norm, with its moving statistics: (x - mean) / sqrt(variance + ε) · γ + β.

    Attributes:
        epsilon: ε.
        gamma: whether there is a γ; slim's `scale=False` leaves it out.
    """

    epsilon: float
    gamma: bool

    def variables(self) -> tuple[str, ...]:
        """Return the last parts of the names of its variables, each of shape [channels]."""
        gamma = ("gamma",) if self.gamma else ()
        return ("beta", *gamma, "moving_mean", "moving_variance")

    def factor(self, variables: Variables, scope: str) -> Array:
        """Return what the input is multiplied by: float64 [channels]."""
        variance = _float64(variables[f"{scope}/moving_variance"])
        gamma = _float64(variables[f"{scope}/gamma"]) if self.gamma else 1.0
        return gamma / np.sqrt(variance + self.epsilon)

    def offset(self, variables: Variables, scope: str) -> Array:
        """Return what is then added: float64 [channels]."""
        mean = _float64(variables[f"{scope}/moving_mean"])
        return _float64(variables[f"{scope}/beta"]) - mean * self.factor(variables, scope)


def scaled(name: str, factor: float) -> Recipe:
    """Return the recipe for a variable times a number; times 1 it takes no copy of it."""
    if factor == 1:
        return lambda variables: _float32(variables[name])
    return lambda variables: _float32(_float64(variables[name]) * factor)


def folded_kernel(name: str, norm: Norm, scope: str, axis: int) -> Recipe:
    """Return the recipe for a kernel with the factor of its batch norm.

    Args:
        name: the kernel's variable, of four dimensions.
        norm: the batch norm after the convolution.
        scope: of the batch norm's variables.
        axis: the kernel's dimension of output channels: 3, or 2 for a depthwise kernel.
    """
    along = tuple(-1 if dimension == axis else 1 for dimension in range(4))

    def recipe(variables: Variables) -> Array:
        factor = norm.factor(variables, scope).reshape(along)
        return _float32(_float64(variables[name]) * factor)

    return recipe


def norm_factor(norm: Norm, scope: str) -> Recipe:
    """Return the recipe for the factor of a batch norm."""
    return lambda variables: _float32(norm.factor(variables, scope))


def norm_offset(norm: Norm, scope: str) -> Recipe:
    """Return the recipe for the offset of a batch norm: the bias after a folded kernel."""
    return lambda variables: _float32(norm.offset(variables, scope))


def joined_separable(depthwise: str, pointwise: str) -> Recipe:
    """Return the recipe for the one kernel that a separable convolution without a norm amounts to.

    Args:
        depthwise: variable of shape [height, width, inputs, multiplier].
        pointwise: variable of shape [1, 1, inputs · multiplier, outputs].
    """

    def recipe(variables: Variables) -> Array:
        first, second = _float64(variables[depthwise]), _float64(variables[pointwise])
        inputs, multiplier = first.shape[2:]
        second = second.reshape(inputs, multiplier, -1)
        return _float32(np.einsum("hwim,imo->hwio", first, second))

    return recipe


def _float64(array: Array) -> Array:
    return np.asarray(array, np.float64)


def _float32(array: Array) -> Array:
    return np.asarray(array, np.float32)
