"""Precision, recall, density and coverage: which images lie in the neighbourhoods of others.

The neighbourhood of an image is the ball that reaches to its k-th nearest image of the same set,
itself not counted. No matrix of all distances is held: those of a block are used and forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.metrics.distances import Points, blocks_of, squared_distances
from retrain_tools.metrics.moments import Floats

Result = TypeVar("Result")

_MOST_THREADS = 8  # each holds a block, and the vectors of it: some 40 MB


class PrecisionRecall(NamedTuple):
    """Shares of images: of samples in a ball of the reference, of the reference in one of samples.

    Attributes:
        precision, recall: the shares.
        realistic: bool [samples], of each sample whether it is in a ball.
        covered: bool [reference], the same of each reference image.
    """

    precision: float
    recall: float
    realistic: npt.NDArray[np.bool_]
    covered: npt.NDArray[np.bool_]


class DensityCoverage(NamedTuple):
    """How densely samples lie in the balls of the reference, and how many balls hold one.

    Attributes:
        density: the mean over samples of (balls that hold it) / k.
        coverage: the share of reference images whose ball holds a sample.
        of_samples: float64 [samples], of each sample its density.
        nearest: intp [samples], the nearest reference image of each sample.
        distances: float64 [samples], how far that is.
        within_reference: float64 [reference], how far the nearest other reference image is.
    """

    density: float
    coverage: float
    of_samples: Floats
    nearest: npt.NDArray[np.intp]
    distances: Floats
    within_reference: Floats


def precision_recall(
    reference: Points, samples: Points, neighbours: int = 3, half: bool = False
) -> PrecisionRecall:
    """Return the improved precision and recall of Kynkäänniemi et al. 2019.

    An image is in a ball where its squared distance is at most the squared radius; in float64,
    distances that are apart by no more than rounding are the same.

    Args:
        reference: real images.
        samples: those to judge.
        neighbours: k.
        half: round distances to float16, see `squared_distances`.

    Raises:
        InputError: a set has no k-th neighbour.

    Example:
        >>> from retrain_tools.metrics.distances import points
        >>> line = points(np.arange(8.0)[:, np.newaxis])
        >>> far = points(np.array([[1.5], [1.6], [90.0], [91.0]]))
        >>> precision_recall(line, far, neighbours=1)[:2]
        (0.5, 0.0)
    """
    slack = 0.0 if half else max(reference.rounding, samples.rounding)
    reaches = squared_radii(reference, [neighbours], half)[:, 0] + slack
    own_reaches = squared_radii(samples, [neighbours], half)[:, 0] + slack

    def within(some: slice) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        realistic = np.zeros(some.stop - some.start, bool)
        covered = np.zeros(len(reference), bool)
        for others in blocks_of(reference):
            apart = squared_distances(samples, some, reference, others, half)
            realistic |= (apart <= reaches[np.newaxis, others]).any(axis=1)
            covered[others] |= (apart <= own_reaches[some, np.newaxis]).any(axis=0)
        return realistic, covered

    parts = _in_threads(within, blocks_of(samples))
    realistic = np.concatenate([part for part, _ in parts])
    covered = np.logical_or.reduce([part for _, part in parts])
    return PrecisionRecall(float(realistic.mean()), float(covered.mean()), realistic, covered)


def density_coverage(reference: Points, samples: Points, neighbours: int = 5) -> DensityCoverage:
    """Return the density and coverage of Naeem et al. 2020.

    A sample is in a ball where it is nearer than the radius, by more than rounding.

    Args:
        reference: real images.
        samples: those to judge.
        neighbours: k.

    Raises:
        InputError: the reference has no k-th neighbour.
    """
    radii = squared_radii(reference, [1, neighbours])
    reaches = radii[:, 1] - max(reference.rounding, samples.rounding)

    def within(some: slice) -> tuple[Floats, npt.NDArray[np.intp], Floats, npt.NDArray[np.bool_]]:
        count = some.stop - some.start
        balls, nearest = np.zeros(count), np.zeros(count, np.intp)
        least, hold = np.full(count, np.inf), np.zeros(len(reference), bool)
        for others in blocks_of(reference):
            apart = squared_distances(samples, some, reference, others)
            inside = apart < reaches[np.newaxis, others]
            balls += inside.sum(axis=1)
            hold[others] |= inside.any(axis=0)
            own = apart.argmin(axis=1)
            here = apart[np.arange(count), own]
            nearer = here < least
            least[nearer], nearest[nearer] = here[nearer], own[nearer] + others.start
        return balls / neighbours, nearest, np.sqrt(least), hold

    parts = _in_threads(within, blocks_of(samples))
    densities, nearest, distances = (np.concatenate([part[i] for part in parts]) for i in range(3))
    hold = np.logical_or.reduce([part[3] for part in parts])
    return DensityCoverage(
        float(densities.mean()),
        float(hold.mean()),
        densities,
        nearest.astype(np.intp),
        distances,
        np.sqrt(radii[:, 0]),
    )


def squared_radii(these: Points, neighbours: list[int], half: bool = False) -> Floats:
    """Return the squared distances of each vector to some of its nearest others, [N, len(ks)].

    Raises:
        InputError: there are too few vectors.
    """
    most = max(neighbours)
    if len(these) <= most:
        raise InputError(
            f"Neighbourhoods of {most} images take at least {most + 1} images of a set; there "
            f"{'is' if len(these) == 1 else 'are'} {len(these)}."
        )

    def nearest(some: slice) -> Floats:
        best = np.empty((some.stop - some.start, 0))
        for others in blocks_of(these):
            apart = squared_distances(these, some, these, others, half)
            kept = min(most + 1, apart.shape[1])
            best = np.concatenate([best, np.partition(apart, kept - 1, axis=1)[:, :kept]], axis=1)
        best.sort(axis=1)
        return best[:, neighbours]  # the nearest of all is the vector itself

    return np.concatenate(_in_threads(nearest, blocks_of(these)))


def _in_threads(work: Callable[[slice], Result], parts: Iterable[slice]) -> list[Result]:
    """Work on blocks side by side: NumPy's own threads are off in scripts, see command_line."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as workers:
        return list(workers.map(work, parts))
