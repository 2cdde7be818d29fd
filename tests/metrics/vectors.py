"""Feature vectors to measure, and the answers of others by the longest way."""

from __future__ import annotations

import numpy as np


def like_features(count: int, depth: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Not negative and correlated, as after a rectifier and average pooling; float32."""
    mixing = np.random.default_rng(depth).normal(size=(depth, depth)) / np.sqrt(depth)
    drawn = np.random.default_rng(seed).normal(size=(count, depth)) @ mixing
    return np.maximum(drawn + 0.3 + shift, 0).astype(np.float32)


def frechet_by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """As TTUR's fid.py computes it."""
    from scipy.linalg import sqrtm

    mean_x, mean_y = (one.astype(np.float64).mean(axis=0) for one in (x, y))
    c_x, c_y = (np.cov(one.astype(np.float64), rowvar=False) for one in (x, y))
    root = np.asarray(sqrtm(c_x @ c_y)).real
    return float(
        ((mean_x - mean_y) ** 2).sum() + np.trace(c_x) + np.trace(c_y) - 2 * np.trace(root)
    )


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """One by one, without the formula that multiplies out."""
    return np.array([[np.linalg.norm(a - b) for b in y.astype(float)] for a in x.astype(float)])
