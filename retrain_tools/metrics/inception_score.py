"""The Inception Score, from features and the weights of the classifier behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.metrics.definitions import Splits
from retrain_tools.metrics.moments import Floats, Rows, blocks


class InceptionScore(NamedTuple):
    """The score: the mean over the splits, their population standard deviation, and each one."""

    mean: float
    std: float
    of_splits: list[float]


def inception_score(
    features: Rows, weights: npt.NDArray[Any], splits: Splits, seed: int | None = None
) -> InceptionScore:
    """Return exp(mean over x of KL(p(y|x) || p(y))) of each split, and their mean.

    p(y|x) is softmax(x W) without a bias, as improved-gan computed it: the graph's own `softmax:0`
    adds one. KL's mean over x is taken apart into the mean of sum p log p and the sum of q log q of
    the mean q, which is the same, so that vectors are read once and in any number.

    Args:
        features: numbers [N, depth].
        weights: [depth, classes].
        splits: into how many parts the images fall, or of how many images each.
        seed: shuffles them first, with NumPy's RandomState; None takes them in their order.

    Raises:
        InputError: the weights are of another number of features, or there are fewer images than
            parts.

    Example:
        >>> sure = 100 * np.eye(4)
        >>> round(inception_score(sure, np.eye(4), Splits(parts=1)).mean, 6)
        4.0
    """
    count, depth = features.shape
    if len(weights) != depth:
        raise InputError(
            f"The graph's classifier takes {len(weights)} features, and there are {depth}."
        )
    if count < splits.least:
        raise InputError(
            f"An Inception Score of {splits.least} splits takes as many images; there "
            f"{'is' if count == 1 else 'are'} {count}."
        )
    kernel = np.asarray(weights, np.float64)
    of_row = splits.of_rows(count, seed)
    number = int(of_row.max()) + 1
    classes = kernel.shape[1]
    sums, inner, counts = np.zeros((number, classes)), np.zeros(number), np.zeros(number)
    for start, block in blocks(features):
        p, log_p = _softmax(block @ kernel)
        of_block = of_row[start : start + len(block)]
        entropies = np.einsum("ij,ij->i", p, log_p)
        for split in np.unique(of_block):
            own = of_block == split
            sums[split] += p[own].sum(axis=0)
            inner[split] += entropies[own].sum()
            counts[split] += own.sum()
    q = sums / counts[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        outer = np.where(q > 0, q * np.log(q), 0).sum(axis=1)
    scores = np.exp(inner / counts - outer)
    return InceptionScore(float(scores.mean()), float(scores.std()), scores.tolist())


def _softmax(logits: Floats) -> tuple[Floats, Floats]:
    """Return p and its logarithm, which is finite where p is 0."""
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.exp(log_p), log_p
