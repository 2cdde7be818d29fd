"""What was done to features after the network: pooled, normalised, standardised, stored in short.

Most of it is seen from the features alone: rows of length one, columns of mean 0 and deviation 1,
values that float16 holds exactly. So it takes no search.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.explanation import Cause
from retrain_tools.explaining.network_variants import rounded_to

Floats = npt.NDArray[np.float32]

_UNIT = 2e-3  # how far lengths may be from one: float16 keeps them to 1e-3
_MOST_COLUMNS = 0.95
_FEWEST_ROWS = 8  # fewer show no columns of mean 0

_WORDS = {
    ("normalised", "l2"): "rows divided by their length (L2-normalised)",
    ("normalised", "standardised"): "columns standardised (mean 0, deviation 1 over the set)",
    ("normalised", "standardised_sample"): (
        "columns standardised (mean 0, deviation 1 over the set, n - 1)"
    ),
    ("normalised", "centred"): "the mean of each column subtracted",
    ("stored_as", "float16"): "features stored as float16",
    ("stored_as", "bfloat16"): "features stored as bfloat16",
}
POOLED = {  # what each pooling makes of one image's shape
    "none": lambda shape: shape,
    "avg": lambda shape: shape[-1:] if len(shape) == 3 else None,
    "max": lambda shape: shape[-1:] if len(shape) == 3 else None,
    "flatten": lambda shape: (int(np.prod(shape)),) if len(shape) == 3 else None,
    "flatten_chw": lambda shape: (int(np.prod(shape)),) if len(shape) == 3 else None,
    "transposed": lambda shape: (shape[2], *shape[:2]) if len(shape) == 3 else None,
}


def pooled(values: npt.NDArray[Any], pooling: str) -> npt.NDArray[Any]:
    """Pool features [N, h, w, c] in one of the ways of `pipeline.WORDS`; `none` keeps them."""
    match pooling:
        case "none":
            return values
        case "avg":
            return values.mean((1, 2))
        case "max":
            return values.max((1, 2))
        case "flatten":
            return values.reshape(len(values), -1)
        case "flatten_chw":
            return values.transpose(0, 3, 1, 2).reshape(len(values), -1)
        case _:
            return values.transpose(0, 3, 1, 2)


def poolings_to(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[str]:
    """Return the poolings that make one image's features of a shape to those of another."""
    return [name for name, made in POOLED.items() if made(shape) == wanted]


def flat(values: npt.NDArray[Any]) -> Floats:
    """Return features as float32 [N, depth]."""
    return np.ascontiguousarray(values, np.float32).reshape(len(values), -1)


def squeezed(values: npt.NDArray[Any]) -> Floats:
    """Return features without dimensions of one: [N, 1, 1, depth] becomes [N, depth]."""
    array = np.asarray(values, np.float32)
    kept = [side for side in array.shape[1:] if side != 1]
    return array.reshape(len(array), *(kept or [1]))


@dataclasses.dataclass(frozen=True)
class Finish:
    """What one side's features went through and the other's did not.

    Attributes:
        normalised: `none`, `l2`, `standardised`, `standardised_sample` or `centred`.
        stored_as: `float32`, `float16` or `bfloat16`.
        factor: what they were multiplied by.
    """

    normalised: str = "none"
    stored_as: str = "float32"
    factor: float = 1.0

    def apply(self, values: Floats, of_all: bool = True) -> Floats:
        """Do the same to features [N, depth].

        With `of_all` false, the rows are only some of the set, so that means and deviations are
        not the set's: then columns are standardised over these rows, as `comparable` does it.
        """
        values = self._scaled(values)
        if self.stored_as != "float32" and (of_all or not self.needs_many_rows):
            values = rounded_to(values, self.stored_as)
        return values

    def _scaled(self, values: Floats) -> Floats:
        values = values * np.float32(self.factor)
        match self.normalised:
            case "l2":
                lengths = np.linalg.norm(values, axis=1, keepdims=True)
                return np.asarray(values / np.where(lengths == 0, 1, lengths), np.float32)
            case "standardised":
                return _standardised(values, 0)
            case "standardised_sample":
                return _standardised(values, 1)
            case "centred":
                return values - values.mean(0)
            case _:
                return values

    def comparable(self, other: Floats) -> Floats:
        """Return some rows of the other side's features as `apply(…, of_all=False)` gives them."""
        match self.normalised:
            case "standardised" | "standardised_sample":
                return _standardised(other, int(self.normalised.endswith("sample")))
            case "centred":
                return other - other.mean(0)
            case _:
                return other

    @property
    def needs_many_rows(self) -> bool:
        """Whether columns are compared that have a mean of their own."""
        return self.normalised not in ("none", "l2")

    def causes(self) -> tuple[Cause, ...]:
        """Return what was done, in words."""
        found = []
        for slot in ("normalised", "stored_as"):
            value = getattr(self, slot)
            if value not in ("none", "float32"):
                found.append(Cause(slot, value, _WORDS[slot, value]))
        if self.factor != 1:
            found.append(
                Cause("factor", f"{self.factor:.6g}", f"features multiplied by {self.factor:.6g}")
            )
        return tuple(found)


def seen_finish(mine: Floats, other: Floats) -> Finish:
    """Return what `other` [N, depth] shows to have gone through, and `mine` does not."""
    normalised = _normalisation(other)
    if normalised == _normalisation(mine):
        normalised = "none"
    stored = _stored(other)
    return Finish(normalised, "float32" if stored == _stored(mine) else stored)


def _normalisation(values: Floats) -> str:
    if values.shape[1] > 1:
        lengths = np.linalg.norm(values, axis=1)
        if np.abs(lengths - 1).max() < _UNIT:
            return "l2"
    if len(values) < _FEWEST_ROWS:
        return "none"
    wide = values.astype(np.float64)
    moves = wide.std(0) > 1e-6 * max(float(np.abs(wide).max()), 1e-30)
    if moves.mean() < 0.2:
        return "none"
    means, wide = wide.mean(0)[moves], wide[:, moves]
    if np.mean(np.abs(means) < _UNIT * wide.std(0)) < _MOST_COLUMNS:
        return "none"
    by_deviations = {
        "standardised": wide.std(0),
        "standardised_sample": wide.std(0, ddof=1),
    }
    off = {name: float(np.abs(stds - 1).mean()) for name, stds in by_deviations.items()}
    name = min(off, key=lambda key: off[key])
    return name if off[name] < _UNIT else "centred"


def _stored(values: Floats) -> str:
    if not np.isfinite(values).all():
        return "float32"
    # bfloat16 first: values of usual size that it holds, float16 holds as well.
    for low in ("bfloat16", "float16"):
        with np.errstate(over="ignore"):
            if np.array_equal(rounded_to(values, low), values):
                return low
    return "float32"


def _standardised(values: Floats, ddof: int) -> Floats:
    deviations = values.std(0, ddof=ddof, dtype=np.float64)
    means = values.mean(0, dtype=np.float64)
    steady = deviations <= 1e-6 * max(float(np.abs(values).max()), 1e-30)
    return ((values - means) / np.where(steady, 1.0, deviations)).astype(np.float32)


def best_factor(values: Floats, other: Floats) -> float:
    """Return the number by which `values` come nearest to `other`: the middle of their ratios."""
    large = np.abs(values) > np.abs(values).mean()
    if not large.any():
        return 1.0
    return float(np.median(other[large].astype(np.float64) / values[large]))


def difference(values: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return the mean absolute difference."""
    return float(np.abs(values.astype(np.float64) - other).mean())


def spread_of(values: npt.NDArray[Any]) -> float:
    """Return the mean absolute deviation of features [N, ...] from each one's mean."""
    return float(np.abs(values - values.mean(0, dtype=np.float64)).mean())
