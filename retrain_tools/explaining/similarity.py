"""Likeness of two sets of vectors of any depths: CKA, a linear probe."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Figures = npt.NDArray[np.float64]

PENALTY = 1.0
"""Of the probe's ridge regression, for each channel: see `probe`."""

_LEAST_PER_CLASS = 2


@dataclasses.dataclass(frozen=True)
class Probe:
    """Accuracies of a linear classifier, trained on half of the images and tested on the others.

    Attributes:
        a, b: trained and tested on the features of one side.
        a_on_b: trained on A's features, tested on B's; None where the depths differ.
        b_on_a: the other way round.
        images: how many were tested on.
        classes: how many labels there are.
    """

    a: float
    b: float
    a_on_b: float | None
    b_on_a: float | None
    images: int
    classes: int


def as_vectors(values: Array) -> Array:
    """Return float32 [N, channels]: maps averaged over their places."""
    if values.ndim == 1:
        return values[:, np.newaxis]
    return values if values.ndim == 2 else values.mean(axis=tuple(range(1, values.ndim - 1)))


def cka(a: Array, b: Array) -> float | None:
    """Return linear CKA (centred kernel alignment), debiased.

    It is HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) for the kernels K = A Aᵀ and L = B Bᵀ, with the
    unbiased estimator of HSIC (Song et al., 2012, JMLR 13, equation 5) in place of the biased one
    of Kornblith et al. (2019), which is near 1 for anything where there are more channels than
    images. 1 for features that are equal but for a rotation, a shift and a common scale; about 0
    for independent ones, and it may be a little below.

    Args:
        a: float32 [N, depth].
        b: float32 [N, any depth].

    Returns:
        None for fewer than four images, or where the images of a side are all the same.
    """
    if len(a) < 4:
        return None
    kernels = [_kernel(one) for one in (a, b)]
    both, alone = _hsic(*kernels), [_hsic(one, one) for one in kernels]
    if min(alone) <= 0:
        return None
    return float(both / np.sqrt(alone[0] * alone[1]))


def _kernel(values: Array) -> Figures:
    # Centring changes nothing but the rounding; nor does the scale, which cancels.
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    found = centred @ centred.T
    np.fill_diagonal(found, 0)
    return found / (np.abs(found).max() or 1)


def _hsic(k: Figures, other: Figures) -> float:
    n = len(k)
    product = (k * other).sum()
    sums = k.sum(axis=0), other.sum(axis=0)
    both = sums[0].sum() * sums[1].sum() / ((n - 1) * (n - 2))
    return float((product + both - 2 / (n - 2) * (sums[0] @ sums[1])) / (n * (n - 3)))


def probe(a: Array, b: Array, labels: Sequence[str]) -> Probe | None:
    """Train a linear classifier on each side and test it on both.

    It is ridge regression onto one-hot labels, in closed form, with a bias: channels are
    standardised by the training images of the side that trains, and the penalty is PENALTY times
    the number of channels. Every other image of a class, from the first in order, is for training,
    the rest for testing. Nothing is random.

    Args:
        a: float32 [N, depth].
        b: float32 [N, any depth].
        labels: of the N images, '' for one without.

    Returns:
        None unless two classes have two images or more; smaller classes are left out.
    """
    train, test = _split(labels)
    classes = sorted({labels[row] for row in train})
    if len(classes) < 2:
        return None
    numbers = np.array([classes.index(labels[row]) for row in (*train, *test)])
    wanted, truth = numbers[: len(train)], numbers[len(train) :]
    heads = [_head(one[train], wanted, len(classes)) for one in (a, b)]

    def accuracy(head: Head, side: Array) -> float:
        return float((head.classes(side[test]) == truth).mean())

    is_exchangeable = a.shape == b.shape
    return Probe(
        accuracy(heads[0], a),
        accuracy(heads[1], b),
        accuracy(heads[0], b) if is_exchangeable else None,
        accuracy(heads[1], a) if is_exchangeable else None,
        len(test),
        len(classes),
    )


def _split(labels: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the rows to train on and those to test on."""
    counts = collections.Counter(labels)
    seen: collections.Counter[str] = collections.Counter()
    train: list[int] = []
    test: list[int] = []
    for row, label in enumerate(labels):
        if label and counts[label] >= _LEAST_PER_CLASS:
            (test if seen[label] % 2 else train).append(row)
            seen[label] += 1
    return train, test


@dataclasses.dataclass(frozen=True)
class Head:
    """A linear classifier of standardised channels."""

    mean: Figures
    spread: Figures
    weights: Figures
    biases: Figures

    def classes(self, values: Array) -> npt.NDArray[np.intp]:
        """Return the number of the best class of each row."""
        scores = (values - self.mean) / self.spread @ self.weights + self.biases
        return scores.argmax(axis=1)


def _head(values: Array, wanted: npt.NDArray[np.intp], count: int) -> Head:
    mean, spread = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 0, spread, 1)
    inputs = (values - mean) / spread
    targets = np.eye(count)[wanted]
    biases = targets.mean(axis=0)
    # By the kernel of the images: there are fewer of them than channels, mostly.
    kernel = inputs @ inputs.T + PENALTY * inputs.shape[1] * np.eye(len(inputs))
    weights = inputs.T @ np.linalg.solve(kernel, targets - biases)
    return Head(mean, spread, weights, biases)
