"""The decimals of many values at once: those of `str`, to the character."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.features.decimals import shortest_decimals

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
usual = st.floats(-10, 10, width=32)
short = st.builds(
    lambda m, e: float(np.float32(m * 10.0**-e)), st.integers(0, 99999), st.integers(0, 7)
)


def one_by_one(values) -> str:
    return ",".join(str(value) for value in values)


@given(st.lists(st.one_of(usual, short, finite), max_size=30))
@settings(max_examples=500)
def test_every_value_is_written_as_str_writes_it(numbers):
    """Among many usual ones, too, as few others do not decide how all are written."""
    values = np.array(numbers, np.float32)
    assert shortest_decimals(values) == one_by_one(values)
    many = np.concatenate([values, np.linspace(0.3, 0.9, 20 * len(values) + 20, dtype=np.float32)])
    assert shortest_decimals(many) == one_by_one(many)


@pytest.mark.parametrize(("low", "high"), [(9e-5, 1.1e-4), (0.05, 0.2), (0.9, 1.1), (8000, 8300)])
def test_every_value_of_some_ranges_is_written_as_str_writes_it(low, high):
    first, last = np.array([low, high], np.float32).view(np.uint32)
    values = np.arange(first, last, max(1, (last - first) // 40_000), dtype=np.uint32)
    values = np.concatenate([values.view(np.float32), -values.view(np.float32)])
    assert shortest_decimals(values) == one_by_one(values)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([0.0, -0.0, 1.0, -1.0, 0.5], "0.0,-0.0,1.0,-1.0,0.5"),
        ([0.1, 1234.5, -0.00012345678, 2.31043e-05], "0.1,1234.5,-0.00012345678,2.31043e-05"),
        ([8191.9995, 8192.0, 9999.5, 3e38], "8191.9995,8192.0,9999.5,3e+38"),
    ],
)
def test_the_corners(numbers, text):
    assert shortest_decimals(np.array(numbers, np.float32)) == text
    padded = np.array([0.25] * 100 + numbers, np.float32)
    assert shortest_decimals(padded).removeprefix("0.25" + ",0.25" * 99).lstrip(",") == text
