"""In numbers: how two arrays of features of the same images differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.similarity import Probe, as_vectors, cka, probe
from retrain_tools.features.faithfulness import nearest_agreement

Array = npt.NDArray[np.float32]
Figures = npt.NDArray[np.float64]

DEFAULT_TOLERANCE = 1e-4
"""Of the standard deviation of A: by so much any value may differ where two sides agree."""

_PIECE_VALUES = 2 << 20
_MOST_ROWS = 2000  # for what is computed of all pairs of images


@dataclasses.dataclass(frozen=True, eq=False)
class Differences:
    """How the features of one pair of tensors differ, on the images that both sides have.

    Attributes:
        tensor_a, tensor_b: the names of the tensors on either side.
        shape_a, shape_b: of the values of one image.
        compared: what was done to make them comparable, for people; '' where nothing was.
        images: how many.
        tolerance: how far apart values may be where they agree, in units of the features.
        mean, largest: absolute difference over all values; None where values cannot be compared.
        spread_a, spread_b: the standard deviation of all values of a side.
        correlation: Pearson's, over all values; None where a side is constant.
        mean_cosine, least_cosine: over the images, of the two vectors of one; None as above.
        by_image: float64 [N], mean absolute difference of each image.
        largest_by_image: float64 [N], the largest one of each.
        cosine_by_image: float64 [N], NaN for a vector of zeros.
        by_channel: float64 [C], mean absolute difference of each channel, over images and places.
        correlation_by_channel: float64 [C], NaN for a constant channel.
        nearest_agreement: the share of images whose nearest other image is the same on both sides;
            None for fewer than three images.
        cka: linear CKA, debiased; None for fewer than four images.
        probe: what a linear classifier makes of both; None without labels.
        sampled: on how many images the last three were computed.
    """

    tensor_a: str
    tensor_b: str
    shape_a: tuple[int, ...]
    shape_b: tuple[int, ...]
    compared: str
    images: int
    tolerance: float
    mean: float | None
    largest: float | None
    spread_a: float
    spread_b: float
    correlation: float | None
    mean_cosine: float | None
    least_cosine: float | None
    by_image: Figures
    largest_by_image: Figures
    cosine_by_image: Figures
    by_channel: Figures
    correlation_by_channel: Figures
    nearest_agreement: float | None
    cka: float | None
    probe: Probe | None
    sampled: int

    @property
    def agrees(self) -> bool:
        """Whether they have one shape and no value differs by more than the tolerance."""
        same = self.shape_a == self.shape_b
        return same and self.largest is not None and self.largest <= self.tolerance

    def worst_images(self, count: int) -> list[int]:
        """Return the rows with the largest mean difference, worst first."""
        return [int(row) for row in np.argsort(-self.by_image, kind="stable")[:count]]

    def worst_channels(self, count: int) -> list[int]:
        """Return the channels with the largest mean difference, worst first."""
        return [int(one) for one in np.argsort(-self.by_channel, kind="stable")[:count]]


def differences(
    a: Array,
    b: Array,
    tensors: tuple[str, str] = ("A", "B"),
    labels: Sequence[str] = (),
    tolerance: float = DEFAULT_TOLERANCE,
) -> Differences:
    """Compare features of the same images in the same order.

    Where the shapes of one image differ, what can be compared is: maps with as many values as the
    vectors are flattened, maps with as many channels averaged over their places; else values are
    not compared, only what needs no common depth (nearest images, CKA, a probe).

    Args:
        a: float32 [N, ...].
        b: float32 [N, ...].
        tensors: their names.
        labels: of the N images, '' for one without; empty for no probe.
        tolerance: see `DEFAULT_TOLERANCE`.
    """
    kept = _spread_rows(len(a))
    vectors = as_vectors(a[kept]), as_vectors(b[kept])
    compared, left, right = comparable(a, b)
    spread_a = _spread(a)
    return Differences(
        *tensors,
        *(a.shape[1:], b.shape[1:]),
        compared=compared,
        images=len(a),
        tolerance=tolerance * spread_a,
        spread_a=spread_a,
        spread_b=_spread(b),
        nearest_agreement=nearest_agreement(*vectors),
        cka=cka(*vectors),
        probe=probe(*vectors, [labels[row] for row in kept] if labels else []),
        sampled=len(kept),
        **(_NOT_COMPARED if left is None or right is None else _of_values(left, right)),
    )


_NOTHING = np.zeros(0)
_NOT_COMPARED: dict[str, Any] = {
    **dict.fromkeys(("mean", "largest", "correlation", "mean_cosine", "least_cosine")),
    **dict.fromkeys(("by_image", "largest_by_image", "cosine_by_image"), _NOTHING),
    **dict.fromkeys(("by_channel", "correlation_by_channel"), _NOTHING),
}


def _of_values(a: Array, b: Array) -> dict[str, Any]:
    """Return what is computed value by value, of arrays of one shape; a few images at a time."""
    count = len(a)
    by_image, largest, cosines = (np.zeros(count) for _ in range(3))
    by_channel = np.zeros(a.shape[-1])
    for rows in _pieces(a):
        difference = np.abs(a[rows].astype(np.float64) - b[rows])
        flat = difference.reshape(len(difference), -1)
        by_image[rows], largest[rows] = flat.mean(axis=1), flat.max(axis=1)
        by_channel += difference.reshape(-1, a.shape[-1]).sum(axis=0)
        cosines[rows] = _cosines(a[rows].reshape(flat.shape), b[rows].reshape(flat.shape))
    known = cosines[np.isfinite(cosines)]
    [correlation] = _correlations(a.reshape(-1, 1), b.reshape(-1, 1))
    return {
        "mean": float(by_image.mean()),
        "largest": float(np.max(largest)),
        "correlation": None if np.isnan(correlation) else float(correlation),
        "mean_cosine": float(known.mean()) if len(known) else None,
        "least_cosine": float(np.min(known)) if len(known) else None,
        "by_image": by_image,
        "largest_by_image": largest,
        "cosine_by_image": cosines,
        "by_channel": by_channel / (a.size / a.shape[-1]),
        "correlation_by_channel": _correlations(
            a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        ),
    }


def _pieces(values: Array) -> Iterator[slice]:
    """Yield the rows of an array in pieces of a few megabytes: maps of many images are large."""
    step = max(1, _PIECE_VALUES // max(1, values[0].size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def comparable(a: Array, b: Array) -> tuple[str, Array | None, Array | None]:
    """Return both sides in one shape [N, ..., channels], and what was done for it, for people.

    They are None where no shape is common. A value per image is a vector of one.
    """
    a, b = (one.reshape(len(one), 1) if one.ndim == 1 else one for one in (a, b))
    if a.shape == b.shape:
        return "", a, b
    sizes = [int(np.prod(one.shape[1:])) for one in (a, b)]
    if sizes[0] == sizes[1]:
        return "both flattened", a.reshape(len(a), -1), b.reshape(len(b), -1)
    if a.shape[-1] == b.shape[-1]:
        done = [
            f"{name} averaged over its {'×'.join(map(str, one.shape[1:-1]))} places"
            for name, one in (("A", a), ("B", b))
            if one.ndim > 2
        ]
        return " and ".join(done), as_vectors(a), as_vectors(b)
    return "values cannot be compared: the depths differ", None, None


def _spread(values: Array) -> float:
    return float(values.std(dtype=np.float64))


def _spread_rows(count: int) -> npt.NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_ROWS)).round().astype(np.intp))


def _correlations(a: Array, b: Array) -> Figures:
    """Return Pearson's correlation of each column; NaN for a constant one."""
    means = a.mean(axis=0, dtype=np.float64), b.mean(axis=0, dtype=np.float64)
    products, squares_a, squares_b = (np.zeros(a.shape[1]) for _ in range(3))
    for rows in _pieces(a):
        left, right = a[rows] - means[0], b[rows] - means[1]
        products += (left * right).sum(axis=0)
        squares_a += (left**2).sum(axis=0)
        squares_b += (right**2).sum(axis=0)
    both = np.sqrt(squares_a * squares_b)
    found = np.full(both.shape, np.nan)
    np.divide(products, both, out=found, where=both > 0)
    return np.clip(found, -1, 1)


def _cosines(a: Array, b: Array) -> Figures:
    left, right = a.astype(np.float64), b.astype(np.float64)
    both = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found = np.full(len(a), np.nan)
    np.divide((left * right).sum(axis=1), both, out=found, where=both > 0)
    return np.clip(found, -1, 1)
