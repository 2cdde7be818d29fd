"""What people have to know of two sets before they believe a score, in sentences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from retrain_tools.metrics.definitions import Definition
from retrain_tools.metrics.distances import Points
from retrain_tools.metrics.image_facts import PIXELS, UNKNOWN, ImageFacts
from retrain_tools.metrics.image_sets import ImageSet
from retrain_tools.metrics.network import FEATURES
from retrain_tools.text_tables import counted

_LOSSY = ("JPEG", "WEBP", "GIF")
RECOMMENDED = 10_000
"""Images of a set, at least: TTUR's advice; papers take 50,000."""


class Sides(NamedTuple):
    """The two sets, and what was worked out of their vectors."""

    reference: ImageSet
    samples: ImageSet
    points: tuple[Points | None, Points | None]


def cautions(
    sides: Sides, scores: list[str], definition: Definition, size: tuple[int, int] | None
) -> list[str]:
    """Return the cautions about scores of two sets.

    Args:
        sides: the sets.
        scores: which are computed.
        definition: how.
        size: (height, width) that the graph resizes to; None where it was not opened.
    """
    both = (sides.reference, sides.samples)
    said = [*_about_numbers(both, scores), *_about_kinds(both), *_about_sizes(both, size)]
    said += _about_shared(sides)
    counts = [one.count for one in both if FEATURES in one.rows and one.count is not None]
    if "kid" in scores and counts and min(counts) < definition.kid_size:
        whole = len(set(counts)) == 1
        said.append(
            f"KID takes subsets of {definition.kid_size:,} images, and a set has {min(counts):,}: "
            + (
                "there is one subset, all of both, and so no spread."
                if whole
                else f"they have {min(counts):,}, as with clean-fid; their spread says little."
            )
        )
    return said


def _about_numbers(both: tuple[ImageSet, ImageSet], scores: list[str]) -> list[str]:
    if "fid" not in scores and "sfid" not in scores:
        return []
    few, least = [], 0
    for name, one in zip(("REFERENCE", "SAMPLES"), both, strict=True):
        rows, known = one.rows.get(FEATURES), one.moments.get(FEATURES)
        depth = len(known.mean) if known else rows.shape[1] if rows is not None else 0
        if one.count is not None and one.count <= depth:
            few.append(f"{name} has {counted(one.count, 'image')}")
            least = depth
    if not few:
        return []
    return [
        f"{' and '.join(few)}, fewer than the {least:,} features: a covariance is singular, and "
        "FID is biased upwards. Compare only sets of the same number; TTUR's authors recommend "
        f"{RECOMMENDED:,} or more, and papers take 50,000."
    ]


def _about_kinds(both: tuple[ImageSet, ImageSet]) -> list[str]:
    kinds = [set(one.facts.kinds) - {UNKNOWN, PIXELS} for one in both]
    losses = [{kind if kind in _LOSSY else "" for kind in some} for some in kinds]
    if not all(kinds) or losses[0] == losses[1]:
        return []
    named = [" and ".join(sorted(some)) for some in kinds]
    return [
        f"REFERENCE is {named[0]}, and SAMPLES {named[1]}: compression alone moves FID. Save both "
        "in the same way, without loss where you can."
    ]


def _about_sizes(both: tuple[ImageSet, ImageSet], size: tuple[int, int] | None) -> list[str]:
    said = []
    facts = [one.facts for one in both]
    for name, one in zip(("REFERENCE", "SAMPLES"), facts, strict=True):
        if size is not None and one.size == size:
            said.append(
                f"All images of {name} are {_words(size)}, the network's own size: they were "
                "resized before, by nobody knows what, and the graph's own resizing does nothing. "
                "Numbers of papers are of images as they were made."
            )
    if all(one.sizes for one in facts) and set(facts[0].sizes) != set(facts[1].sizes):
        said.append(
            f"REFERENCE has {_sizes(facts[0])}, and SAMPLES {_sizes(facts[1])}: where one of them "
            "was resized before, it is resized twice and the other once, which alone moves FID. "
            "Papers bring the reference to the samples' size first."
        )
    return said


def _sizes(facts: ImageFacts) -> str:
    return f"images of {facts.size_words()}"


def _words(size: tuple[int, int]) -> str:
    return "×".join(map(str, size))


def _about_shared(sides: Sides) -> list[str]:
    reference, samples = sides.points
    said = []
    if reference is not None and samples is not None:
        shared = int(np.isin(samples.ids, reference.ids).sum())
        if shared:
            said.append(
                f"{counted(shared, 'image')} of SAMPLES {'is' if shared == 1 else 'are'} in "
                "REFERENCE as well: scores are better than those of new images."
            )
    for name, these in zip(("REFERENCE", "SAMPLES"), sides.points, strict=True):
        if these is not None and (twice := len(these) - len(np.unique(these.ids))):
            others = "repeats another" if twice == 1 else "repeat others"
            said.append(f"{counted(twice, 'image')} of {name} {others} of it.")
    return said
