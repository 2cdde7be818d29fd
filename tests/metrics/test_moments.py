"""Mean and covariance in blocks are those of all vectors at once."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.array_files import open_npy
from retrain_tools.errors import InputError
from retrain_tools.metrics import moments as room
from retrain_tools.metrics.moments import Moments, merged, moments

from .vectors import like_features


def test_moments_are_numpys(monkeypatch) -> None:
    monkeypatch.setattr(room, "_BLOCK_BYTES", 8 * 30 * 7)  # seven rows a block
    x = like_features(100, 30, 0)
    found = moments(x)
    assert found.count == 100
    np.testing.assert_allclose(found.mean, x.astype(float).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(x.astype(float), rowvar=False), atol=1e-15)


def test_a_large_mean_does_not_cancel_out(monkeypatch) -> None:
    monkeypatch.setattr(room, "_BLOCK_BYTES", 8 * 4 * 5)
    x = np.random.default_rng(0).normal(size=(50, 4)) + 1e8
    exact = np.cov(x - 1e8, rowvar=False)  # 1e8 is taken off without rounding that matters
    np.testing.assert_allclose(moments(x).covariance, exact, rtol=1e-6, atol=1e-7)
    by_squares = (x.T @ x) / 49 - np.outer(x.mean(0), x.mean(0)) * 50 / 49
    assert np.abs(by_squares - exact).max() > 0.1  # what is not done


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 4), st.integers(0, 1000))
def test_moments_of_two_sets_are_merged_into_those_of_both(first, second, depth, seed) -> None:
    x = np.random.default_rng(seed).normal(3, 2, size=(first + second + 2, depth))
    parts = x[: first + 1], x[first + 1 :]
    both = merged(*(room._of_block(part.copy()) for part in parts))
    assert both.count == len(x)
    np.testing.assert_allclose(both.mean, x.mean(axis=0), atol=1e-12)
    exact = np.atleast_2d(np.cov(x, rowvar=False))
    np.testing.assert_allclose(both.covariance, exact, atol=1e-12)


def test_one_vector_has_no_covariance() -> None:
    with pytest.raises(InputError) as error:
        moments(np.zeros((1, 3)))
    assert str(error.value) == "A covariance takes at least two images; there is 1."


def test_statistics_of_an_unknown_number_are_not_merged() -> None:
    with pytest.raises(InputError) as error:
        merged(Moments(np.zeros(2), np.eye(2)), Moments(np.zeros(2), np.eye(2), 5))
    assert "do not say of how many images" in str(error.value)


_PEAK = r"""
import re, sys
from pathlib import Path
from retrain_tools.array_files import open_npy
from retrain_tools.metrics.distances import points
from retrain_tools.metrics.inception_score import inception_score
from retrain_tools.metrics.definitions import Splits
from retrain_tools.metrics.moments import moments
import numpy as np
rows = open_npy(Path(sys.argv[1]))
moments(rows), inception_score(rows, np.eye(256, 50), Splits(parts=10)), points(rows)
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


def test_memory_does_not_grow_with_the_number_of_vectors_on_disk(tmp_path) -> None:
    peaks = []
    for count in (30_000, 200_000):
        path = tmp_path / f"{count}.npy"
        whole = np.lib.format.open_memmap(path, "w+", np.float32, (count, 256))
        whole[:] = np.arange(256)
        whole.flush()
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, path], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) * 1024)
        assert open_npy(path).shape == (count, 256)
    assert peaks[1] - peaks[0] < 0.2 * 170_000 * 256 * 4  # of what the vectors take
