"""How far values of a fast way of computing are from those of the exact way, in a few figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far the values of the same images are apart that were computed in two ways.

    Attributes:
        ways: the two, for people, as `bfloat16 against float32`; the second one is exact.
        images: how many were computed in both ways, the first of a job.
        mean, worst: absolute difference over all values, in the units of the values.
        standard_deviation: of all exact values.
        correlation: Pearson's, of the two vectors of an image, averaged over the images; None where
            all vectors of a way are constant.
        nearest_agreement: see the function of this name.
    """

    ways: str
    images: int
    mean: float
    worst: float
    standard_deviation: float
    correlation: float | None
    nearest_agreement: float | None

    def line(self) -> str:
        """One line for people: differences are in standard deviations of the exact values."""
        unit, name = self.standard_deviation, " standard deviations"
        if unit == 0:  # of values that are all the same
            unit, name = 1.0, ""
        images = f"first {self.images} images" if self.images > 1 else "first image"
        said = [f"mean difference {self.mean / unit:.2g}{name}", f"worst {self.worst / unit:.2g}"]
        if self.correlation is not None:
            said.append(f"correlation {self.correlation:.6g}")
        if self.nearest_agreement is not None:
            said.append(f"nearest neighbour the same for {100 * self.nearest_agreement:.0f} %")
        return f"{self.ways} on the {images}: {', '.join(said)}"


def difference(exact: Array, fast: Array, ways: str) -> Difference:
    """Compare values of the same images, in the same order, that were computed in two ways.

    Args:
        exact: float32 [N, ...], finite, of at least one image.
        fast: float32 of the same shape.
        ways: see `Difference`.
    """
    exact, fast = exact.reshape(len(exact), -1), fast.reshape(len(fast), -1)
    apart = np.abs(fast - exact)
    pairs = zip(exact, fast, strict=True)
    correlations = [one for one in (_correlation(*pair) for pair in pairs) if one is not None]
    return Difference(
        ways,
        len(exact),
        mean=float(apart.mean(dtype=np.float64)),
        worst=float(apart.max()),
        standard_deviation=float(exact.std(dtype=np.float64)),
        correlation=float(np.mean(correlations)) if correlations else None,
        nearest_agreement=nearest_agreement(exact, fast),
    )


def of_more_images(old: Difference | None, new: Difference) -> Difference:
    """Return the one to remember: of more images, or else the new one."""
    return old if old is not None and old.images > new.images else new


def nearest_agreement(a: Array, b: Array) -> float | None:
    """Return the share of images whose nearest other image is the same on both sides.

    Nearest is by Euclidean distance of the vectors; of several, the first.

    Args:
        a: float32 [N, depth].
        b: float32 [N, any depth].

    Returns:
        0 to 1; None for fewer than three images, where there is no choice.
    """
    if len(a) < 3:
        return None
    return float((_nearest(a) == _nearest(b)).mean())


def _nearest(values: Array) -> npt.NDArray[np.intp]:
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    squares = (centred**2).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * centred @ centred.T
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


def _correlation(a: Array, b: Array) -> float | None:
    """Return Pearson's correlation of two vectors; None where one is constant."""
    left, right = (one - one.mean(dtype=np.float64) for one in (a, b))
    both = float(np.sqrt((left @ left) * (right @ right)))
    return float(np.clip(left @ right / both, -1, 1)) if both > 0 else None
