"""The two matrix products of a training step, in pieces that OpenBLAS multiplies as they lie.

It copies the matrices of a product into its own order first, which for a head of a few classes
takes as long as multiplying. On CPUs with AVX-512 it leaves that out up to 1e6 multiplications
(its `interface/gemm.c` and `kernel/x86_64/sgemm_small_kernel_permit_skylakex.c`): in pieces of that
size both products take half the time, and on other CPUs about as long as whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

_NOT_COPIED = 1_000_000  # multiplications
# Smaller pieces are calls that cost more than the copying.
_LEAST_ROWS, _LEAST_COLUMNS = 16, 128


def product(left: Matrix, right: Matrix) -> Matrix:
    """Return left [N, K] times right [K, M]: float32 [N, M], a few rows at a time."""
    pieces = _pieces(len(left), right.size, _LEAST_ROWS)
    if len(pieces) == 1:
        return left @ right
    result = np.empty((len(left), right.shape[1]), np.float32)
    for piece in pieces:
        np.matmul(left[piece], right, out=result[piece])
    return result


def product_of_transposed(left: Matrix, right: Matrix) -> Matrix:
    """Return left [N, M], transposed, times right [N, K]: float32 [M, K], by columns of `right`."""
    pieces = _pieces(right.shape[1], left.size, _LEAST_COLUMNS)
    if len(pieces) == 1:
        return left.T @ right
    result = np.empty((left.shape[1], right.shape[1]), np.float32)
    for piece in pieces:
        np.matmul(left.T, right[:, piece], out=result[:, piece])
    return result


def _pieces(count: int, each: int, least: int) -> list[slice]:
    """Return `count` in equal pieces of at least `least`, where one takes `each` multiplications.

    It is one piece where they cannot be made small enough.
    """
    most = _NOT_COPIED // max(each, 1)
    if count <= most or min(most, count) < least:
        return [slice(0, count)]
    size = -(-count // -(-count // most))
    return [slice(start, start + size) for start in range(0, count, size)]
