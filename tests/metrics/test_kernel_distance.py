"""KID against sums over pairs, and its behaviour on sets that are alike."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.metrics.kernel_distance import kernel_distance, squared_discrepancy

from .vectors import like_features

X, Y = like_features(30, 12, 0), like_features(40, 12, 1, 0.2)


def by_pairs(x: np.ndarray, y: np.ndarray) -> float:
    def kernel(a, b):
        return (float(a.astype(float) @ b.astype(float)) / 12 + 1) ** 3

    def others(z):
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
        return np.mean([kernel(z[i], z[j]) for i, j in pairs])

    return others(x) + others(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_the_discrepancy_is_the_sum_over_pairs() -> None:
    assert squared_discrepancy(X, Y) == pytest.approx(by_pairs(X, Y), rel=1e-12)


def test_subsets_are_drawn_samples_first_and_without_replacement() -> None:
    found = kernel_distance(X, Y, 7, 20, np.random.RandomState(2020))
    rng = np.random.RandomState(2020)
    each = []
    for _ in range(7):
        samples = Y[rng.choice(40, 20, replace=False)]
        each.append(by_pairs(X[rng.choice(30, 20, replace=False)], samples))
    assert found[:2] == pytest.approx((np.mean(each), np.std(each)), rel=1e-10)
    assert found[2:] == (7, 20)


def test_subsets_are_no_larger_than_the_smaller_set() -> None:
    rng = np.random.default_rng(0)
    assert kernel_distance(X, Y, 5, 1000, rng)[2:] == (5, 30)
    found = kernel_distance(X, Y[:30], 5, 1000, rng)
    assert found[2:] == (1, 30)  # all of both: there is only one
    assert found[:2] == (pytest.approx(by_pairs(X, Y[:30]), rel=1e-10), 0.0)


def test_two_halves_of_one_set_are_apart_by_less_than_chance() -> None:
    both = like_features(2000, 32, 5)
    found = kernel_distance(both[:1000], both[1000:], 50, 200, np.random.default_rng(0))
    assert abs(found.mean) < found.std
    moved = kernel_distance(both[:1000], both[1000:] + 0.3, 50, 200, np.random.default_rng(0))
    assert moved.mean > 3 * moved.std


def test_a_single_image_has_no_discrepancy() -> None:
    with pytest.raises(InputError) as error:
        squared_discrepancy(X[:1], Y)
    assert str(error.value) == "A kernel distance takes at least two images of each set."
    with pytest.raises(InputError) as error:
        squared_discrepancy(X, Y[:, :5])
    said = "The features are not of one network: 12 of one set, 5 of the other."
    assert str(error.value) == said
