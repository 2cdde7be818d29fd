"""From a tensor of any rank to one vector per image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument

POOLINGS = ("avg", "max", "flatten", "none")


def pool(values: npt.NDArray[np.float32], pooling: str) -> npt.NDArray[np.float32]:
    """Turn a batch of any rank into one vector per image.

    Args:
        values: float32 [N, ...]. Rank 2 is taken as it is, [N] as [N, 1].
        pooling: `avg` or `max` over all but the first and last dimension, or `flatten`.

    Returns:
        float32 [N, depth].

    Raises:
        InputError: `none` for a tensor that is not [N, depth].
    """
    if values.ndim <= 2 or pooling == "flatten":
        return values.reshape(len(values), -1)
    if pooling == "none":
        shape = ", ".join(str(size) for size in values.shape[1:])
        raise InputError(
            f"The tensor has [{shape}] values per image, not a vector: "
            f"choose {argument('pooling')}=avg, max or flatten."
        )
    between = tuple(range(1, values.ndim - 1))
    return values.mean(between) if pooling == "avg" else values.max(between)
