"""Mean and covariance of feature vectors, a block at a time, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.array_files import StoredArray
from retrain_tools.errors import InputError

Floats = npt.NDArray[np.float64]

Rows = npt.NDArray[Any] | StoredArray
"""Feature vectors, numbers [N, depth], in memory or on disk."""

_BLOCK_BYTES = 16 << 20  # of float64: that few, so that memory does not grow with the number


@dataclasses.dataclass(frozen=True)
class Moments:
    """What the Fréchet distance takes of a set.

    Attributes:
        mean: float64 [depth].
        covariance: float64 [depth, depth], of the sample: divided by N - 1, as `numpy.cov`.
        count: how many vectors they are of; None where a file does not say.
    """

    mean: Floats
    covariance: Floats
    count: int | None = None


def blocks(rows: Rows) -> Iterator[tuple[int, Floats]]:
    """Yield all rows in order, a few megabytes at a time, and the number of the first of each.

    They are float64 [n, depth], copies; of a StoredArray only these are in memory.
    """
    count, depth = rows.shape
    step = max(1, _BLOCK_BYTES // (8 * max(1, depth)))
    for start in range(0, count, step):
        yield start, np.array(rows[start : start + step], np.float64)


def moments(rows: Rows) -> Moments:
    """Return the moments of feature vectors, in memory that does not depend on their number.

    Raises:
        InputError: there are fewer than two, of which there is no covariance.

    Example:
        >>> found = moments(np.array([[0.0, 1.0], [2.0, 1.0]]))
        >>> found.mean.tolist(), found.covariance.tolist()
        ([1.0, 1.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    count, depth = rows.shape
    if count < 2:
        raise InputError(f"A covariance takes at least two images; there is {count}.")
    total = Moments(np.zeros(depth), np.zeros((depth, depth)), 0)
    for _, block in blocks(rows):
        total = merged(total, _of_block(block))
    return total


def _of_block(block: Floats) -> Moments:
    mean = block.mean(axis=0)
    block -= mean
    return Moments(mean, block.T @ block / max(1, len(block) - 1), len(block))


def merged(a: Moments, b: Moments) -> Moments:
    """Return the moments of two sets together (Chan, Golub and LeVeque 1979).

    No sum of squares is taken of values that are not centred, so nothing cancels out.

    Raises:
        InputError: how many vectors they are of is not known of one of them.
    """
    if a.count is None or b.count is None:
        raise InputError("Statistics that do not say of how many images they are cannot be merged.")
    count = a.count + b.count
    if not count:
        return a
    apart = b.mean - a.mean
    scatter = max(0, a.count - 1) * a.covariance
    scatter += max(0, b.count - 1) * b.covariance
    scatter += np.outer(apart, apart) * (a.count * b.count / count)
    return Moments(a.mean + apart * (b.count / count), scatter / max(1, count - 1), count)
