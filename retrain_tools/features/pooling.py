"""From a tensor of any rank to one vector per image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

POOLINGS = ("avg", "max", "flatten", "none")


def pool(values: npt.NDArray[np.float32], pooling: str) -> npt.NDArray[np.float32]:
    """Turn a batch of any rank into one vector per image.

    Args:
        values: float32 [N, ...]. Rank 2 is taken as it is, [N] as [N, 1].
        pooling: `avg` or `max` over all but the first and last dimension; `flatten` and `none`
            give the values one after the other, the last dimension fastest (row-major).

    Returns:
        float32 [N, depth].
    """
    if values.ndim <= 2 or pooling in ("flatten", "none"):
        return values.reshape(len(values), -1)
    between = tuple(range(1, values.ndim - 1))
    return values.mean(between) if pooling == "avg" else values.max(between)
