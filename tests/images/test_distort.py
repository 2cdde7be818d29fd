"""Distortions: retrain.py's formulas, recomputed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.images.distort import Distortions, Draw, crop_and_light, draw

wishes = st.builds(
    Distortions, st.booleans(), st.integers(0, 200), st.integers(0, 200), st.integers(0, 100)
)
sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))
seeds = st.integers(0, 2**32)


def test_nothing_wanted_changes_nothing():
    wanted = Distortions()
    assert not wanted.any
    image = np.random.default_rng(0).uniform(0, 255, (5, 7, 3)).astype(np.float32)
    for seed in range(20):
        numbers = draw(np.random.default_rng(seed), wanted, (5, 7))
        assert numbers == Draw((5, 7), (0, 0), False, 1.0)
        np.testing.assert_array_equal(crop_and_light(image, numbers, (5, 7)), image)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Distortions)])
def test_any_one_wish_counts(field):
    assert Distortions(**{field: 1}).any


@pytest.mark.parametrize("field", ["random_crop", "random_scale", "random_brightness"])
def test_a_negative_percentage_is_refused(field):
    with pytest.raises(InputError, match=rf"^{field} is a percentage and cannot be negative\."):
        Distortions(**{field: -1})


@given(wishes, sizes, seeds)
def test_draws_stay_within_the_formulas(wanted, size, seed):
    numbers = draw(np.random.default_rng(seed), wanted, size)
    margin = 1 + wanted.random_crop / 100
    for axis in (0, 1):
        most = int(margin * (1 + wanted.random_scale / 100) * size[axis])
        assert int(margin * size[axis]) <= numbers.precrop[axis] <= most
        assert 0 <= numbers.offset[axis] <= numbers.precrop[axis] - size[axis]
    assert abs(numbers.brightness - 1) <= wanted.random_brightness / 100
    assert wanted.flip_left_right or not numbers.flip


@given(wishes, sizes, seeds)
def test_one_scale_serves_height_and_width(wanted, size, seed):
    """The resize keeps the proportions of the crop: one factor, cut to whole pixels."""
    height, width = draw(np.random.default_rng(seed), wanted, size).precrop
    low = max(height / size[0], width / size[1])
    high = min((height + 1) / size[0], (width + 1) / size[1])
    assert low < high


def test_every_crop_comes_up_flips_are_half_and_brightness_is_centred():
    rng = np.random.default_rng(1)
    wanted = Distortions(True, random_crop=50, random_brightness=30)
    draws = [draw(rng, wanted, (4, 4)) for _ in range(4000)]
    assert {d.precrop for d in draws} == {(6, 6)}
    assert {d.offset for d in draws} == {(t, left) for t in range(3) for left in range(3)}
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([d.brightness for d in draws]) == pytest.approx(1.0, abs=0.01)


def test_a_seed_fixes_the_draw():
    wanted = Distortions(True, 10, 20, 30)
    first, second = (draw(np.random.default_rng(7), wanted, (9, 9)) for _ in range(2))
    assert first == second


@given(wishes, st.tuples(st.integers(1, 12), st.integers(1, 12)), seeds)
def test_cropping_and_lighting_pixel_by_pixel(wanted, size, seed):
    rng = np.random.default_rng(seed)
    numbers = draw(rng, wanted, size)
    resized = rng.uniform(0, 255, (*numbers.precrop, 3)).astype(np.float32)
    result = crop_and_light(resized, numbers, size)
    assert result.shape == (*size, 3)
    assert result.dtype == np.float32
    top, left = numbers.offset
    for y in range(size[0]):
        for x in range(size[1]):
            column = size[1] - 1 - x if numbers.flip else x
            expected = resized[top + y, left + column] * np.float32(numbers.brightness)
            np.testing.assert_array_equal(result[y, x], expected)


def test_bright_pixels_are_not_clipped():
    white = np.full((2, 2, 3), 255, np.float32)
    assert crop_and_light(white, Draw((2, 2), (0, 0), False, 1.5), (2, 2)).max() == 382.5
