"""The Fréchet distance of two Gaussians: FID, without the square root of a matrix.

|m1 - m2|² + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2) (Dowson and Landau 1982; Heusel et al. 2017). The
last trace is the sum of the square roots of the eigenvalues of C1 C2, which are real and not
negative. With C1 = A A' they are those of A' C2 A, which is symmetric; with C1 = X'X and C2 = Y'Y
they are the squares of the singular values of X Y'. Neither can turn complex, however few images
there are.
"""

from __future__ import annotations

import numpy as np

from retrain_tools.errors import InputError
from retrain_tools.metrics.moments import Floats, Moments, Rows, moments


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return the distance of two sets by their moments.

    The factor is of the set of fewer images. Where these are no more than the features, or nobody
    knows how many, it has no more columns than its covariance has eigenvalues above rounding: the
    others would give the square roots of their rounding errors.

    Raises:
        InputError: they are not of as many features, or not of finite numbers.

    Example:
        >>> one = Moments(np.zeros(2), np.diag([1.0, 4.0]))
        >>> frechet_distance(one, Moments(np.array([3.0, 0.0]), np.diag([4.0, 4.0])))
        10.0
    """
    _check(a.mean, b.mean)
    if not all(np.isfinite(part).all() for one in (a, b) for part in (one.mean, one.covariance)):
        raise InputError("There are statistics that are not finite numbers.")
    few, many = sorted((a, b), key=lambda one: np.inf if one.count is None else one.count)
    root = _factor(few)
    product = root.T @ many.covariance @ root
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0))
    return _distance(
        a.mean - b.mean, float(np.trace(a.covariance)), float(np.trace(b.covariance)), roots
    )


def frechet_distance_of_samples(a: Rows, b: Rows) -> float:
    """Return the distance of two small sets from their vectors themselves, without covariances.

    It is exact for any number of images, and takes time with the third power of it. Both sets are
    read into memory.

    Raises:
        InputError: a set has fewer than two vectors, or they are not of as many features.

    Example:
        >>> few = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 7.0]])
        >>> abs(frechet_distance_of_samples(few, few[::-1])) < 1e-12
        True
        >>> round(frechet_distance_of_samples(few, few + 3), 12)
        18.0
    """
    (x, mean_a), (y, mean_b) = _centred(a), _centred(b)
    _check(mean_a, mean_b)
    roots: Floats = np.linalg.svd(x @ y.T, compute_uv=False).astype(np.float64)
    return _distance(mean_a - mean_b, float(np.vdot(x, x)), float(np.vdot(y, y)), roots)


def frechet_distance_between(a: Rows, b: Rows) -> float:
    """Return the distance of two sets of vectors in the way that is exact for their numbers.

    Raises:
        InputError: see `frechet_distance`.
    """
    if are_few(a, b):
        return frechet_distance_of_samples(a, b)
    return frechet_distance(moments(a), moments(b))


def are_few(a: Rows, b: Rows) -> bool:
    """Tell whether both sets have fewer vectors than features: then the samples' way is best."""
    return max(len(a), len(b)) < min(a.shape[1], b.shape[1])


def _centred(rows: Rows) -> tuple[Floats, Floats]:
    """Return X with X'X the covariance, float64 [N, depth], and the mean."""
    if len(rows) < 2:
        raise InputError(f"A covariance takes at least two images; there is {len(rows)}.")
    values = np.array(rows[:], np.float64)
    mean = values.mean(axis=0)
    values -= mean
    values /= np.sqrt(len(values) - 1)
    return values, mean


def _factor(known: Moments) -> Floats:
    """Return A, float64 [depth, rank], with A A' the covariance."""
    covariance, depth = known.covariance, len(known.mean)
    if known.count is not None and known.count > depth:
        try:
            return np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        except np.linalg.LinAlgError:  # a feature that never changes, say
            pass
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    real = values > values[-1] * depth * np.finfo(np.float64).eps
    factor: Floats = vectors[:, real] * np.sqrt(values[real])
    return factor


def _distance(apart: Floats, trace_a: float, trace_b: float, roots: Floats) -> float:
    return float(apart @ apart + trace_a + trace_b - 2 * roots.sum())


def _check(mean_a: Floats, mean_b: Floats) -> None:
    if len(mean_a) != len(mean_b):
        raise InputError(
            f"The features are not of one network: {len(mean_a)} of one set, {len(mean_b)} of the "
            "other."
        )
