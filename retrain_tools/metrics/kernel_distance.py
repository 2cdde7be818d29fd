"""KID: the unbiased squared maximum mean discrepancy, with a cubic kernel, over random subsets."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.metrics.moments import Floats, Rows

_DEGREE, _OFFSET = 3, 1.0  # Bińkowski et al. 2018: (x.y / d + 1)³


class Drawing(Protocol):
    """NumPy's Generator or RandomState."""

    def choice(self, a: int, size: int, replace: bool) -> npt.NDArray[Any]:
        """Draw numbers below `a`."""


class KernelDistance(NamedTuple):
    """KID: the mean over the subsets, their population standard deviation, and their size."""

    mean: float
    std: float
    subsets: int
    size: int


def kernel_distance(
    reference: Rows, samples: Rows, subsets: int, size: int, drawing: Drawing
) -> KernelDistance:
    """Return the mean discrepancy of random subsets of two sets.

    A subset is drawn without replacement, first that of the samples, then that of the reference, as
    MMD-GAN and torch-fidelity do. It has as many images as the smaller set where that has fewer
    than `size`, as with clean-fid. Where a subset is both sets whole, all would be the same: then
    there is one.

    Args:
        reference: numbers [N, depth].
        samples: numbers [M, depth].
        subsets: how many.
        size: of each.
        drawing: NumPy's Generator or RandomState.

    Raises:
        InputError: a set has fewer than two images.
    """
    size = min(size, len(reference), len(samples))
    if len(reference) == len(samples) == size:
        subsets = 1
    found = np.empty(subsets)
    for number in range(subsets):
        own = _drawn(samples, size, drawing)
        found[number] = squared_discrepancy(_drawn(reference, size, drawing), own)
    return KernelDistance(float(found.mean()), float(found.std()), subsets, size)


def squared_discrepancy(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Return the unbiased estimate of MMD² of numbers [N, depth] and [M, depth]; it may be below 0.

    Raises:
        InputError: there are fewer than two vectors of a set, or they have not one depth.

    Example:
        >>> x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])
        >>> squared_discrepancy(x, y)  # 1 + 8 - 2 * (1 + 27) / 2
        -19.0
    """
    if min(len(x), len(y)) < 2:
        raise InputError("A kernel distance takes at least two images of each set.")
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"The features are not of one network: {x.shape[1]} of one set, {y.shape[1]} of the "
            "other."
        )
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return _between_others(a) + _between_others(b) - 2 * float(_kernel(a, b).mean())


def _drawn(rows: Rows, size: int, drawing: Drawing) -> Floats:
    return np.asarray(rows[drawing.choice(len(rows), size, replace=False)], np.float64)


def _kernel(a: Floats, b: Floats) -> Floats:
    return (a @ b.T / a.shape[1] + _OFFSET) ** _DEGREE


def _between_others(a: Floats) -> float:
    """Return the mean kernel of vectors that are not the same one."""
    values = _kernel(a, a)
    return float((values.sum() - np.trace(values)) / (len(a) * (len(a) - 1)))
