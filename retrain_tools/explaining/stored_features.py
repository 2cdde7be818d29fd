"""What explains a difference by the features alone, without running anything."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.explanation import Cause
from retrain_tools.explaining.finishing import (
    Finish,
    best_factor,
    difference,
    flat,
    pooled,
    poolings_to,
    seen_finish,
)
from retrain_tools.explaining.pipeline import WORDS

Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Stored:
    """One way to make one side's features of the other's.

    Attributes:
        causes: what is done to them; empty where they are only compared.
        error: the mean absolute difference that is left.
        is_swapped: whether it is the other side's features that it is done to.
    """

    causes: tuple[Cause, ...]
    error: float
    is_swapped: bool = False


def stored_ways(mine: Floats, other: Floats) -> list[Stored]:
    """Return how features may come of each other, the nearest first, the simplest of equals.

    Args:
        mine: float32 [N, ...].
        other: float32 [N, ...] of the same images.
    """
    found = []
    for is_swapped in (False, True):
        source, wanted = (other, mine) if is_swapped else (mine, other)
        for pooling in poolings_to(source.shape[1:], wanted.shape[1:]):
            values, target = flat(pooled(source, pooling)), flat(wanted)
            poolings = () if pooling == "none" else (_pooling_cause(pooling),)
            for finish in _finishes(values, target):
                with np.errstate(all="ignore"):
                    error = difference(finish.apply(values), target)
                if np.isfinite(error):
                    found.append(Stored((*poolings, *finish.causes()), error, is_swapped))
    return sorted(found, key=lambda way: (way.error, len(way.causes), way.is_swapped))


def _pooling_cause(pooling: str) -> Cause:
    return Cause("pooling", pooling, WORDS["pooling"][pooling])


def _finishes(values: Floats, target: Floats) -> list[Finish]:
    seen = seen_finish(values, target)
    found = [Finish(), seen]
    if seen.normalised == "none":
        found.append(dataclasses.replace(seen, factor=best_factor(values, target)))
    return list(dict.fromkeys(found))
