"""From what was tried to a verdict in one sentence, no surer than its evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.explanation import Cause, Explanation
from retrain_tools.explaining.similarity import as_vectors, cka

Floats = npt.NDArray[np.float32]

MOST_LEFT = 0.01  # of the difference, in an explanation
MOST_LEFT_OF_PART = 0.5  # in one that is called partial
WHAT_ELSE = "A preprocessing that is not among the hypotheses would look the same."
_ALIKE = 0.995  # channels' correlation: so little may come of precision, or of another library
_MUCH_ALIKE = 0.4  # linear CKA
_MUCH_REMOVED = 0.3  # of the difference: then there is a cause, of which a part is not known
_RELATED = 0.1  # linear CKA, without bias, above which two feature sets see the same in images


@dataclasses.dataclass(frozen=True)
class Likeness:
    """How two sets of features of the same images are related, whatever the error is.

    Attributes:
        cka: linear CKA without bias: 1 for the same up to rotation and scale, 0 for unrelated.
        correlation: the mean of the channels' correlations; nan where depths differ.
    """

    cka: float
    correlation: float


def likeness(mine: Floats, other: Floats) -> Likeness:
    """Return how two sets of features, [N, ...] each, are related."""
    one, two = (as_vectors(values).astype(np.float64) for values in (mine, other))
    correlation = float("nan")
    if one.shape == two.shape and len(one) > 2:
        a, b = one - one.mean(0), two - two.mean(0)
        norms = np.sqrt((a * a).sum(0) * (b * b).sum(0))
        moves = norms > 0
        if moves.any():
            correlation = float(((a * b).sum(0)[moves] / norms[moves]).mean())
    found = cka(one.astype(np.float32), two.astype(np.float32))
    return Likeness(float("nan") if found is None else found, correlation)


def agreement(before: float, names: tuple[str, str]) -> Explanation:
    """Return the verdict on features that are the same but for rounding."""
    sentence = f"{names[1]} agrees with {names[0]}: mean error {number(before)}"
    return Explanation("agree", (), before, before, sentence)


def number(value: float) -> str:
    """Return a number as sentences have it: two significant digits."""
    return f"{value:.2g}"


def in_words(causes: Sequence[Cause]) -> str:
    """Return causes as one phrase: `a`, `a and b`, `a, b and c`."""
    *first, last = [cause.words for cause in causes]
    return f"{', '.join(first)} and {last}" if first else last


def of_causes(
    causes: tuple[Cause, ...], before: float, after: float, base: float, names: tuple[str, str]
) -> Explanation | None:
    """Return the verdict where causes explain all or much of a difference; else None.

    Args:
        causes: what was found.
        before: the mean absolute difference over all images; nan where shapes differ.
        after: what is left of it with the causes.
        base: what `after` is compared with: the difference before, or less.
        names: what is run, and what is explained.
    """
    if not causes or not after < MOST_LEFT_OF_PART * base:
        return None
    was = "another shape" if np.isnan(before) else number(before)
    evidence = f"mean error {number(after)}, before {was}"
    if after < MOST_LEFT * base:
        sentence = f"{names[1]} is {names[0]} with {in_words(causes)}: {evidence}"
        return Explanation("explained", causes, before, after, sentence)
    share = 1 - after / base
    sentence = (
        f"{names[1]} is in part {names[0]} with {in_words(causes)}, which removes {share:.0%} of "
        f"the difference: {evidence}"
    )
    return Explanation("partial", causes, before, after, sentence)


def unexplained(
    like: Likeness, before: float, ways: int, removed: float, names: tuple[str, str]
) -> Explanation:
    """Return the verdict where nothing explains a difference: other weights, or not known.

    Args:
        like: how the two are related.
        before: the mean absolute difference; nan where shapes differ.
        ways: how many other ways of running one side were tried; 0 where it could not be run.
        removed: how much of the difference the best of them removes, 0 to 1.
        names: what is run, and what is explained.
    """
    evidence = []
    if not np.isnan(like.correlation):
        evidence.append(f"the channels correlate by {like.correlation:.2f} on average")
    if not np.isnan(like.cka):
        evidence.append(f"CKA {like.cka:.2f}")
    was = f"mean error {number(before)}" if not np.isnan(before) else "another shape"
    nearer = f"removes more than {removed:.0%} of the difference" if removed > 0 else "comes nearer"
    if like.correlation > _ALIKE:
        evidence.insert(0, "they differ by little, as by low precision or another library")
    elif ways and like.cka >= _RELATED and removed < _MUCH_REMOVED:
        found = ", ".join([*evidence, f"and of {ways} other ways to run {names[0]} none {nearer}"])
        # Of features that are little alike, the preprocessing may be another as well.
        same = "the same preprocessing, " if like.cka >= _MUCH_ALIKE else ""
        sentence = f"{names[1]} looks like {same}different weights: {found} ({was})"
        return Explanation("different_weights", (), before, before, sentence)
    evidence.append(
        f"and of {ways} other ways to run {names[0]} none {nearer}"
        if ways
        else "and nothing could be run"
    )
    found = ", ".join(evidence).removeprefix("and ")
    sentence = f"It is not known why {names[1]} differs from {names[0]}: {found} ({was})"
    return Explanation("unknown", (), before, before, sentence)
