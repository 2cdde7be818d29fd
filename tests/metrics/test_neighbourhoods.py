"""Precision, recall, density and coverage in blocks against all distances, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.metrics import distances as distances_room
from retrain_tools.metrics.distances import points
from retrain_tools.metrics.neighbourhoods import density_coverage, precision_recall, squared_radii

from .vectors import distances, like_features

REAL, FAKE = like_features(70, 16, 0), like_features(50, 16, 1, 0.1)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(distances_room, "BLOCK", 13)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    return np.sort(distances(x, x), axis=1)[:, k]


def test_precision_and_recall_are_shares_inside_balls() -> None:
    apart = distances(FAKE, REAL)
    found = precision_recall(points(REAL), points(FAKE))
    assert found.realistic.tolist() == (apart <= radii(REAL, 3)).any(axis=1).tolist()
    assert found.covered.tolist() == (radii(FAKE, 3) >= apart.T).any(axis=1).tolist()
    assert found[:2] == (found.realistic.mean(), found.covered.mean())
    assert 0 < found.precision < 1


def test_density_and_coverage_are_prdcs() -> None:
    apart = distances(REAL, FAKE)
    reach = radii(REAL, 5)
    found = density_coverage(points(REAL), points(FAKE))
    np.testing.assert_allclose(found.of_samples, (apart < reach[:, None]).sum(axis=0) / 5)
    assert found.density == pytest.approx((apart < reach[:, None]).sum(axis=0).mean() / 5)
    assert found.coverage == pytest.approx((apart.min(axis=1) < reach).mean())
    assert found.nearest.tolist() == apart.argmin(axis=0).tolist()
    np.testing.assert_allclose(found.distances, apart.min(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.within_reference, radii(REAL, 1), rtol=1e-9)


def test_radii_do_not_count_the_image_itself() -> None:
    found = squared_radii(points(REAL), [1, 3, 5])
    expected = np.sort(distances(REAL, REAL), axis=1)[:, [1, 3, 5]]
    np.testing.assert_allclose(np.sqrt(found), expected, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 40), st.integers(1, 6), st.integers(0, 10_000), st.booleans())
def test_a_set_against_itself_has_precision_and_recall_of_one(count, depth, seed, half) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, depth))[rng.integers(0, count, count)].astype(np.float32)
    these = points(x)  # with images that are there several times
    assert precision_recall(these, these, 3, half)[:2] == (1.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 9))
def test_ties_are_inside_for_kynkaanniemi_and_outside_for_prdc(seed, count) -> None:
    rng = np.random.default_rng(seed)
    real, fake = (rng.integers(0, 3, (count + 3, 2)).astype(float) for _ in range(2))
    offset = rng.normal(0, 100, 2)  # so that distances are rounded
    shifted = points(real + offset), points(fake + offset)
    apart = distances(fake, real)
    reach, own = radii(real, 3), radii(fake, 3)
    found = precision_recall(*shifted)
    assert found.realistic.tolist() == (apart <= reach).any(axis=1).tolist()
    assert found.covered.tolist() == (own >= apart.T).any(axis=1).tolist()
    counts = density_coverage(*shifted, neighbours=3).of_samples * 3
    assert np.rint(counts).tolist() == (apart < reach).sum(axis=1).tolist()


def test_identical_images_are_at_distance_zero_whatever_their_size() -> None:
    x = np.random.default_rng(0).normal(1e4, 1, (30, 7)).astype(np.float32)
    assert not squared_radii(points(np.repeat(x, 4, axis=0)), [3]).any()


def test_half_distances_are_rounded_and_those_that_overflow_are_not() -> None:
    whole = distances_room.squared_distances(
        points(REAL), slice(0, 9), points(FAKE), slice(0, 9), half=True
    )
    assert (whole == whole.astype(np.float16)).all()
    np.testing.assert_allclose(whole, distances(REAL[:9], FAKE[:9]) ** 2, rtol=0.01, atol=0.02)
    large = 100 * REAL
    assert ((large**2).sum(axis=1) > 65504).any()
    found = distances_room.squared_distances(
        points(large), slice(0, 70), points(FAKE), slice(0, 9), half=True
    )
    np.testing.assert_allclose(found, distances(large, FAKE[:9]) ** 2, rtol=1e-5)


def test_too_few_images_are_named() -> None:
    with pytest.raises(InputError) as error:
        precision_recall(points(REAL), points(FAKE[:3]))
    said = "Neighbourhoods of 3 images take at least 4 images of a set; there are 3."
    assert str(error.value) == said
