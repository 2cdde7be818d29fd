"""Each score of two opened sets by its definition, and why one cannot be had."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.metrics.definitions import Definition
from retrain_tools.metrics.distances import Points
from retrain_tools.metrics.frechet import are_few, frechet_distance, frechet_distance_of_samples
from retrain_tools.metrics.image_sets import ImageSet
from retrain_tools.metrics.inception_score import inception_score
from retrain_tools.metrics.kernel_distance import kernel_distance
from retrain_tools.metrics.moments import Moments, moments
from retrain_tools.metrics.neighbourhoods import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    precision_recall,
)
from retrain_tools.metrics.network import FEATURES, SPATIAL
from retrain_tools.text_tables import counted


@dataclasses.dataclass(frozen=True)
class Score:
    """One number, and how it came about.

    Attributes:
        value: the score.
        std: over its splits or subsets; None for a score that has none.
        how: the convention, in words.
        source: whose it is.
        seed: of what is random in it; None where nothing is.
    """

    value: float
    std: float | None
    how: str
    source: str
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return its fields, for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Two sets, and what is worked out of them once for several scores.

    Attributes:
        reference, samples: the sets.
        rules: the conventions.
        weights: of the classifier, [depth, classes]; None without a graph that has one.
        seed: of KID's subsets.
        reference_points, sample_points: the features of each set, looked at.
        known: what has been worked out; it grows.
    """

    reference: ImageSet
    samples: ImageSet | None
    rules: Definition
    weights: npt.NDArray[Any] | None
    seed: int
    reference_points: Points | None
    sample_points: Points | None
    known: dict[Any, Any]

    def moments(self, side: int, tensor: str) -> Moments:
        """Return the moments of the reference (0) or the samples (1): as given, or worked out."""
        one = self.samples if side else self.reference
        assert one is not None  # noqa: S101  (for mypy)
        if tensor in one.moments:
            return one.moments[tensor]
        if (side, tensor) not in self.known:
            self.known[side, tensor] = moments(one.rows[tensor])
        return self.known[side, tensor]

    def shares(self) -> PrecisionRecall:
        """Return precision and recall."""
        if "shares" not in self.known:
            self.known["shares"] = precision_recall(
                *self._both_points(), self.rules.neighbours, self.rules.half_distances
            )
        return self.known["shares"]

    def neighbours(self) -> DensityCoverage:
        """Return density and coverage, and what is known of each sample."""
        if "neighbours" not in self.known:
            self.known["neighbours"] = density_coverage(
                *self._both_points(), self.rules.density_neighbours
            )
        return self.known["neighbours"]

    def _both_points(self) -> tuple[Points, Points]:
        assert self.reference_points is not None  # noqa: S101  (see `impossible`)
        assert self.sample_points is not None  # noqa: S101
        return self.reference_points, self.sample_points


def impossible(measured: Measured, score: str) -> str:
    """Return why a score cannot be had of two sets; '' where it can."""
    assert measured.samples is not None  # noqa: S101  (for mypy)
    sides = {"REFERENCE": measured.reference, "SAMPLES": measured.samples}
    if score in ("fid", "sfid"):
        tensor = FEATURES if score == "fid" else SPATIAL
        what = "features" if score == "fid" else "values of mixed_6/conv"
        for name, one in sides.items():
            if tensor not in one.rows and tensor not in one.moments:
                return f"{name} ({one.kind}) has no {what}"
            if tensor not in one.moments and len(one.rows[tensor]) < 2:
                return f"{name} has one image, and a covariance takes two"
        return ""
    judged = ("SAMPLES",) if score == "is" else tuple(sides)
    for name in judged:
        if FEATURES not in sides[name].rows:
            return f"{name} ({sides[name].kind}) has no features of single images"
    if score == "is":
        return _no_inception_score(measured)
    least = {"kid": 2, "density": measured.rules.density_neighbours + 1}
    least["coverage"] = least["density"]
    needed = least.get(score, measured.rules.neighbours + 1)
    for name in ("REFERENCE",) if score in ("density", "coverage") else judged:
        if (count := len(sides[name].rows[FEATURES])) < needed:
            return f"{name} has {counted(count, 'image')}, and it takes {needed}"
    return ""


def _no_inception_score(measured: Measured) -> str:
    assert measured.samples is not None  # noqa: S101  (for mypy)
    count, depth = measured.samples.rows[FEATURES].shape
    if measured.weights is None:
        return "it takes a graph with softmax/logits/MatMul, whose weights it multiplies with"
    if len(measured.weights) != depth:
        return f"the graph's classifier takes {len(measured.weights)} features, SAMPLES has {depth}"
    if count < measured.rules.splits.least:
        return f"SAMPLES has {counted(count, 'image')}, and it takes {measured.rules.splits.least}"
    return ""


def computed(measured: Measured, score: str) -> Score:
    """Compute a score that is not `impossible`."""
    rules = measured.rules
    how, source = rules.words(score), rules.sources[score]
    samples = measured.samples
    assert samples is not None  # noqa: S101  (for mypy)
    match score:
        case "fid" | "sfid":
            value = _frechet(measured, FEATURES if score == "fid" else SPATIAL)
            return Score(value, None, how, source)
        case "is":
            assert measured.weights is not None  # noqa: S101  (see `impossible`)
            vectors = samples.rows[FEATURES]
            found = inception_score(vectors, measured.weights, rules.splits, rules.shuffle_seed)
            std = found.std if len(found.of_splits) > 1 else None
            return Score(found.mean, std, how, source, rules.shuffle_seed)
        case "kid":
            seed = measured.seed if rules.kid_seed is None else rules.kid_seed
            legacy = rules.kid_legacy_drawing
            drawing = np.random.RandomState(seed) if legacy else np.random.default_rng(seed)
            both = measured.reference.rows[FEATURES], samples.rows[FEATURES]
            kid = kernel_distance(*both, rules.kid_subsets, rules.kid_size, drawing)
            how = f"{counted(kid.subsets, 'subset')} of {kid.size:,}; {how}"
            return Score(kid.mean, kid.std if kid.subsets > 1 else None, how, source, seed)
        case "precision" | "recall":
            return Score(getattr(measured.shares(), score), None, how, source)
        case _:
            return Score(getattr(measured.neighbours(), score), None, how, source)


def _frechet(measured: Measured, tensor: str) -> float:
    """Return the distance: by samples where both sets are there as samples, and few."""
    sides = (measured.reference, measured.samples)
    rows = [one.rows[tensor] for one in sides if one is not None and tensor not in one.moments]
    if len(rows) == 2 and are_few(*rows):
        return frechet_distance_of_samples(*rows)
    return frechet_distance(measured.moments(0, tensor), measured.moments(1, tensor))
