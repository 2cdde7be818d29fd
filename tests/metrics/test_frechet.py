"""The Fréchet distance against closed forms, SciPy's matrix square root, and its own two ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.metrics import frechet
from retrain_tools.metrics.frechet import (
    frechet_distance,
    frechet_distance_between,
    frechet_distance_of_samples,
)
from retrain_tools.metrics.moments import Moments, moments

from .vectors import frechet_by_scipy, like_features

DEPTH = 96
FEW, OTHER_FEW = like_features(40, DEPTH, 1), like_features(60, DEPTH, 2, 0.05)
MANY, OTHER_MANY = like_features(700, DEPTH, 3), like_features(500, DEPTH, 4, 0.05)


def by_moments(x: np.ndarray, y: np.ndarray) -> float:
    return frechet_distance(moments(x), moments(y))


def test_the_distance_of_many_vectors_is_that_of_scipys_square_root() -> None:
    exact = frechet_by_scipy(MANY, OTHER_MANY)
    assert by_moments(MANY, OTHER_MANY) == pytest.approx(exact, rel=1e-9)
    assert frechet_distance_of_samples(MANY, OTHER_MANY) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("x", [FEW, MANY])
@pytest.mark.parametrize("y", [OTHER_FEW, OTHER_MANY])
def test_moments_and_samples_give_one_distance(x, y) -> None:
    assert by_moments(x, y) == pytest.approx(frechet_distance_of_samples(x, y), abs=1e-6)


def test_statistics_of_an_unknown_number_of_few_images_are_exact_too() -> None:
    unknown = [Moments(m.mean, m.covariance) for m in (moments(FEW), moments(OTHER_FEW))]
    exact = frechet_distance_of_samples(FEW, OTHER_FEW)
    assert frechet_distance(*unknown) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("x", [FEW, MANY])
def test_a_set_against_itself_is_at_distance_zero(x) -> None:
    assert abs(by_moments(x, x)) < 1e-6
    assert abs(frechet_distance_of_samples(x, x)) < 1e-6
    assert abs(frechet_distance_between(x, x)) < 1e-6


@pytest.mark.parametrize(("x", "y"), [(FEW, OTHER_FEW), (FEW, MANY), (MANY, OTHER_MANY)])
def test_the_distance_is_symmetric_and_grows_by_the_square_of_a_translation(x, y) -> None:
    found = frechet_distance_between(x, y)
    assert frechet_distance_between(y, x) == pytest.approx(found, rel=1e-9)
    offset = np.random.default_rng(5).normal(size=DEPTH)
    apart = x.astype(np.float64).mean(axis=0) - y.astype(np.float64).mean(axis=0)
    gained = offset @ offset + 2 * apart @ offset
    assert frechet_distance_between(x + offset, y) == pytest.approx(found + gained, abs=1e-6)
    assert frechet_distance_between(x + offset, x) == pytest.approx(offset @ offset, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_gaussians_with_one_set_of_axes_have_a_closed_form(depth, seed) -> None:
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(depth, depth)))[0]
    spreads = rng.uniform(0, 3, size=(2, depth)) * (rng.random((2, depth)) > 0.2)
    means = rng.normal(size=(2, depth))
    a, b = (Moments(m, axes * s**2 @ axes.T) for m, s in zip(means, spreads, strict=True))
    exact = ((means[0] - means[1]) ** 2).sum() + ((spreads[0] - spreads[1]) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(exact, abs=1e-5)


def test_only_two_small_sets_are_compared_by_their_samples(monkeypatch) -> None:
    used = []
    monkeypatch.setattr(frechet, "frechet_distance", lambda *_: used.append("moments") or 0.0)
    for x, y in ((FEW, OTHER_FEW), (FEW, MANY), (MANY, FEW), (MANY, OTHER_MANY)):
        used.append("samples")
        frechet_distance_between(x, y)
    assert used == ["samples", *("samples", "moments") * 3]


def test_a_feature_that_never_changes_is_no_obstacle() -> None:
    x, y = MANY.copy(), OTHER_MANY.copy()
    x[:, 7] = y[:, 7] = 0
    assert by_moments(x, y) == pytest.approx(frechet_distance_of_samples(x, y), abs=1e-6)


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as error:
        function(*arguments)
    return str(error.value)


def test_what_cannot_be_compared_is_named() -> None:
    other = "The features are not of one network: 96 of one set, 8 of the other."
    assert refusal(by_moments, MANY, np.eye(9, 8)) == other
    assert refusal(frechet_distance_of_samples, FEW, np.eye(5, 8)) == other
    one = "A covariance takes at least two images; there is 1."
    assert refusal(frechet_distance_of_samples, FEW, FEW[:1]) == one
    broken = Moments(np.zeros(2), np.array([[1, np.nan], [0, 1]]))
    said = refusal(frechet_distance, broken, broken)
    assert said == "There are statistics that are not finite numbers."
