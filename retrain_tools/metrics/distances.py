"""Squared distances between the vectors of two sets, a block at a time."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from retrain_tools.metrics.moments import Floats, Rows, blocks

BLOCK = 1024
"""Rows and columns of a block of distances: 8 MB in float64."""

_ROUNDING = 1e-13


@dataclasses.dataclass(frozen=True)
class Points:
    """Vectors, and what is worked out of each once.

    Attributes:
        rows: numbers [N, depth].
        norms: float64 [N], squared.
        ids: int64 [N]: the same for vectors that are the same in every bit, and else another.
    """

    rows: Rows
    norms: Floats
    ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.norms)

    @property
    def rounding(self) -> float:
        """How far a squared distance of float64 may be off by rounding."""
        return _ROUNDING * float(self.norms.max(initial=0))


def points(rows: Rows) -> Points:
    """Look at vectors once, in blocks."""
    norms, ids = np.empty(len(rows)), np.empty(len(rows), np.int64)
    for start, block in blocks(rows):
        stop = start + len(block)
        norms[start:stop] = np.einsum("ij,ij->i", block, block)
        ids[start:stop] = [_id(row) for row in block]
    return Points(rows, norms, ids)


def _id(row: Floats) -> int:
    digest = hashlib.blake2b(row.tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def blocks_of(these: Points) -> Iterator[slice]:
    """Yield the places of blocks of vectors."""
    for start in range(0, len(these), BLOCK):
        yield slice(start, min(start + BLOCK, len(these)))


def squared_distances(
    a: Points, some: slice, b: Points, others: slice, half: bool = False
) -> Floats:
    """Return the squared Euclidean distances of a block, float64 [rows of a, rows of b].

    They are |u|² - 2 u·v + |v|², which is never below 0 here, and exactly 0 for vectors that are
    the same. With `half` they are as the ADM evaluator's: of vectors rounded to float16, with the
    norms, the products and the sums rounded to it, unless one overflows; then they are those of
    float32.
    """
    u, v = np.asarray(a.rows[some]), np.asarray(b.rows[others])
    if half:
        return _half(u, v)
    found = np.asarray(u, np.float64) @ np.asarray(v, np.float64).T
    found *= -2
    found += a.norms[some, np.newaxis]
    found += b.norms[np.newaxis, others]
    np.maximum(found, 0, out=found)
    found[a.ids[some, np.newaxis] == b.ids[np.newaxis, others]] = 0
    return found


def _half(u: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        a, b = (one.astype(np.float16).astype(np.float32) for one in (u, v))
        squares = [(one * one).astype(np.float16).astype(np.float32) for one in (a, b)]
        norms = [one.sum(axis=1).astype(np.float16) for one in squares]
        twice = np.float16(2) * (a @ b.T).astype(np.float16)
        found = (norms[0][:, np.newaxis] - twice) + norms[1][np.newaxis]
        if np.isfinite(found).all():
            return np.maximum(found, 0).astype(np.float64)
    a, b = (one.astype(np.float32) for one in (u, v))
    norms_32 = [np.einsum("ij,ij->i", one, one) for one in (a, b)]
    return np.maximum(norms_32[0][:, None] - 2 * (a @ b.T) + norms_32[1], 0).astype(np.float64)
