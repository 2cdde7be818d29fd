"""The figures of a fast way against the exact one, and the line that tells them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from retrain_tools.features.faithfulness import (
    Difference,
    difference,
    nearest_agreement,
    of_more_images,
)

WAYS = "bfloat16 against float32"
RNG = np.random.default_rng(0)
EXACT = RNG.normal(0.3, 0.5, (12, 7)).astype(np.float32)
FAST = (EXACT + RNG.normal(0, 0.05, EXACT.shape)).astype(np.float32)


def test_the_figures_are_those_of_their_definitions() -> None:
    found = difference(EXACT, FAST, WAYS)
    gap = np.abs(EXACT.astype(np.float64) - FAST)
    assert (found.ways, found.images) == (WAYS, 12)
    assert found.mean == pytest.approx(gap.mean(), rel=1e-6)
    assert found.worst == pytest.approx(gap.max(), rel=1e-6)
    assert found.standard_deviation == pytest.approx(np.std(EXACT.astype(np.float64)))
    each = [np.corrcoef(*pair)[0, 1] for pair in zip(EXACT, FAST, strict=True)]
    assert found.correlation == pytest.approx(np.mean(each))
    nearest = []
    for side in (EXACT, FAST):
        apart = np.linalg.norm(side[:, None].astype(np.float64) - side, axis=2)
        nearest.append(np.argsort(apart, axis=1)[:, 1])
    assert found.nearest_agreement == (nearest[0] == nearest[1]).mean()


def test_maps_are_compared_value_by_value() -> None:
    maps = difference(EXACT[:, :6].reshape(12, 2, 1, 3), FAST[:, :6].reshape(12, 2, 1, 3), WAYS)
    assert maps == difference(EXACT[:, :6], FAST[:, :6], WAYS)


def test_equal_values() -> None:
    found = difference(EXACT, EXACT, WAYS)
    assert (found.mean, found.worst, found.nearest_agreement) == (0, 0, 1)
    assert found.correlation == pytest.approx(1)


def test_constant_vectors_have_no_correlation_and_do_not_count_in_its_mean() -> None:
    exact, fast = EXACT.copy(), FAST.copy()
    exact[0] = 2
    each = [np.corrcoef(*pair)[0, 1] for pair in zip(exact[1:], fast[1:], strict=True)]
    assert difference(exact, fast, WAYS).correlation == pytest.approx(np.mean(each))
    assert difference(exact[:1], fast[:1], WAYS).correlation is None
    assert difference(EXACT[:, :1], FAST[:, :1], WAYS).correlation is None


def test_nearest_images_and_none_where_there_is_no_choice() -> None:
    a = np.array([[0.0], [1], [3], [7], [20]], np.float32)
    b = np.array([[0.0], [1], [3], [3.5], [2.9]], np.float32)
    # Of A: 1 0 1 2 3; of B: 1 0 4 2 2.
    assert nearest_agreement(a, b) == 3 / 5
    assert nearest_agreement(a, -5 * a + 2) == 1
    assert nearest_agreement(a[:2], a[:2]) is None


def test_the_line_is_in_standard_deviations_of_the_exact_values() -> None:
    found = Difference(WAYS, 32, 0.00105, 0.0215, 0.5, 0.9999812, 31 / 32)
    assert found.line() == (
        "bfloat16 against float32 on the first 32 images: mean difference 0.0021 standard "
        "deviations, worst 0.043, correlation 0.999981, nearest neighbour the same for 97 %"
    )


def test_the_line_of_one_image_and_of_values_that_are_all_the_same() -> None:
    assert Difference(WAYS, 1, 0.001, 0.02, 0.5, 0.5, None).line() == (
        "bfloat16 against float32 on the first image: mean difference 0.002 standard deviations, "
        "worst 0.04, correlation 0.5"
    )
    assert Difference(WAYS, 2, 0.001, 0.02, 0.0, None, None).line() == (
        "bfloat16 against float32 on the first 2 images: mean difference 0.001, worst 0.02"
    )


def test_it_comes_back_from_json() -> None:
    for found in (difference(EXACT, FAST, WAYS), difference(EXACT[:1, :1], FAST[:1, :1], WAYS)):
        assert Difference(**json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_the_difference_on_more_images_is_remembered_and_else_the_new_one() -> None:
    old, new = (Difference(WAYS, 5, mean, 1, 1, 1, 1) for mean in (0.1, 0.2))
    assert of_more_images(None, new) is new
    assert of_more_images(old, new) is new
    assert of_more_images(dataclasses.replace(old, images=6), new).mean == 0.1
