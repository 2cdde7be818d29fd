"""A summary of the values of a constant for the page; those that are broken are named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.constants import Constant, UnreadableConstantError

BINS = 24
_FIRST_VALUES = 8
_PART = 2**18  # values summarised at a time


def summary(constant: Constant) -> dict[str, Any]:
    """Return what a page says about a constant's values, ready for JSON.

    Keys: `count`; `first`, the first values as text; and for numbers also `min`, `max`, `mean` and
    `std` of the finite values (absent if there are none), `zeros`, `nan`, `inf`, and `bins`: how
    many finite values fall into each of 24 equal parts from min to max (one part if min is max,
    absent if the span exceeds a float64).

    Raises:
        UnreadableConstantError: there are more values than elements, or complex ones.
    """
    values, count = constant.values, constant.count
    if len(values) > count:
        raise UnreadableConstantError(f"it holds {len(values)} values for {count} elements")
    if values.dtype.kind == "c":
        raise UnreadableConstantError(f"values of type {constant.dtype} are not shown")
    if values.dtype.kind == "V":  # types of ml_dtypes, such as bfloat16
        values = values.astype(np.float32)
    first = [_value_text(v) for v in values[: min(_FIRST_VALUES, count)].tolist()]
    first += first[-1:] * (min(_FIRST_VALUES, count) - len(first))
    found: dict[str, Any] = {"count": count, "first": first}
    if values.dtype == object:
        return found
    found |= {"zeros": 0, "nan": 0, "inf": 0}
    parts = _parts(values, count - len(values))
    low, high, total, mean = math.inf, -math.inf, 0, 0.0
    for part, times in parts:
        finite = _finite(part)
        found["zeros"] += times * int(part.size - np.count_nonzero(part))
        found["nan"] += times * int(np.isnan(part).sum())
        found["inf"] += times * int(np.isinf(part).sum())
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            total += times * finite.size
            with np.errstate(over="ignore"):  # huge float64 values: a mean of inf is left out
                share = times * finite.size / total
                mean += share * (float(finite.mean(dtype=np.float64)) - mean)
    if total:
        found |= {"min": low, "max": high, **_spread(parts, low, high, mean, total)}
    return found


def _parts(values: npt.NDArray[Any], repeats: int) -> list[tuple[npt.NDArray[Any], int]]:
    """Return the values in float32 or float64 arrays, each with how many times it counts.

    They are cut small so that the summary of a large constant takes no second copy of it.
    """
    wide = values.dtype.itemsize > 2 and values.dtype.kind in "iu"
    if values.dtype.kind != "f" or values.dtype.itemsize == 2:
        values = values.astype(np.float64 if wide else np.float32)
    parts = [(values[i : i + _PART], 1) for i in range(0, len(values), _PART)]
    return [*parts, (values[-1:], repeats)] if repeats else parts


def _finite(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    finite = np.isfinite(part)
    return part if finite.all() else part[finite]


def _spread(
    parts: list[tuple[npt.NDArray[Any], int]], low: float, high: float, mean: float, total: int
) -> dict[str, Any]:
    """Return `mean`, `std` and `bins` of the finite values, without those that overflow."""
    bins = np.zeros(BINS, np.int64)
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for part, times in parts:
            finite = _finite(part)
            squares += times * float(np.square(finite - np.float64(mean)).sum())
            if low < high and math.isfinite(high - low) and low + (high - low) / BINS > low:
                wide = finite.astype(np.float64)  # 24 bins between two float32 that are neighbours
                bins += times * np.histogram(wide, bins=BINS, range=(low, high))[0]
    spread = {"mean": mean, "std": math.sqrt(squares / total)}
    found: dict[str, Any] = {key: x for key, x in spread.items() if math.isfinite(x)}
    if low == high:
        found["bins"] = [total]
    elif bins.any():
        found["bins"] = bins.tolist()
    return found


def _value_text(value: Any) -> str:
    if isinstance(value, bytes):
        text = value[:60].decode("utf-8", "backslashreplace")
        return f"{text}…" if len(value) > 60 else text
    return f"{value:.6g}" if isinstance(value, float) else str(value)
