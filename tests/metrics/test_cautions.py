"""Every caution in its words, where it belongs, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.metrics.cautions import Sides, cautions
from retrain_tools.metrics.definitions import SCORES, find_definition
from retrain_tools.metrics.distances import points
from retrain_tools.metrics.image_facts import NO_FACTS, ImageFacts
from retrain_tools.metrics.image_sets import ImageSet
from retrain_tools.metrics.network import FEATURES

from .vectors import like_features

RULES = find_definition("original")
PNG_64 = ImageFacts({"PNG": 30}, {(64, 64): 30})


def told(
    facts=(PNG_64, PNG_64), rows=None, scores=("precision",), size: tuple[int, int] | None = None
) -> list[str]:
    rows = rows or (like_features(1200, 8, 0), like_features(1300, 8, 1))
    sets = [
        ImageSet(name, "images", {FEATURES: one}, facts=fact)
        for name, one, fact in zip(("real", "fake"), rows, facts, strict=True)
    ]
    looked_at = points(rows[0]), points(rows[1])
    return cautions(Sides(sets[0], sets[1], looked_at), list(scores), RULES, size)


def test_two_plain_sets_need_no_caution() -> None:
    assert told(scores=SCORES, size=(299, 299)) == []


def test_fewer_images_than_features() -> None:
    rows = like_features(8, 8, 0), like_features(1300, 8, 1)
    assert told(rows=rows, scores=("fid",)) == [
        "REFERENCE has 8 images, fewer than the 8 features: a covariance is singular, and FID is "
        "biased upwards. Compare only sets of the same number; TTUR's authors recommend 10,000 or "
        "more, and papers take 50,000."
    ]
    assert told(rows=(rows[0], rows[0] + 1), scores=("sfid",))[0].startswith(
        "REFERENCE has 8 images and SAMPLES has 8 images, fewer than the 8 features: "
    )
    assert told(rows=rows) == []


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        ({"JPEG": 3}, {"PNG": 3}, "REFERENCE is JPEG, and SAMPLES PNG: "),
        ({"PNG": 3}, {"JPEG": 2, "BMP": 1}, "REFERENCE is PNG, and SAMPLES BMP and JPEG: "),
        ({"JPEG": 3}, {"WEBP": 3}, "REFERENCE is JPEG, and SAMPLES WEBP: "),
        ({"PNG": 3}, {"BMP": 3}, ""),
        ({"JPEG": 3, "PNG": 1}, {"PNG": 4, "JPEG": 1}, ""),
        ({"JPEG": 3}, {"pixels": 3}, ""),
        ({"JPEG": 3}, {}, ""),
    ],
)
def test_kinds_of_files(real, fake, said) -> None:
    found = told(facts=[ImageFacts(kinds, {(64, 64): 3}) for kinds in (real, fake)])
    assert [one[: len(said)] for one in found] == ([said] if said else [])
    if said:
        assert found[0].endswith(
            "compression alone moves FID. Save both in the same way, without loss where you can."
        )


def test_sizes_that_were_resized_before() -> None:
    own = ImageFacts({"PNG": 3}, {(299, 299): 3})
    [said] = told(facts=(own, own), size=(299, 299))[:1]
    assert said.startswith("All images of REFERENCE are 299×299, the network's own size: ")
    assert len(told(facts=(own, own), size=(299, 299))) == 2
    assert told(facts=(own, own)) == []
    many = ImageFacts({"PNG": 3}, {(10, 20): 1, (30, 20): 2})
    assert told(facts=(many, PNG_64)) == [
        "REFERENCE has images of 2 sizes, 10×20 to 30×20, and SAMPLES images of 64×64: where one "
        "of them was resized before, it is resized twice and the other once, which alone moves "
        "FID. Papers bring the reference to the samples' size first."
    ]
    assert told(facts=(many, NO_FACTS)) == []


def test_sets_that_share_images() -> None:
    rows = like_features(1200, 8, 0), like_features(1300, 8, 1)
    rows[1][7], rows[1][9] = rows[0][3], rows[1][11]
    assert told(rows=rows) == [
        "1 image of SAMPLES is in REFERENCE as well: scores are better than those of new images.",
        "1 image of SAMPLES repeats another of it.",
    ]
    assert told(rows=(rows[0], rows[0])) == [
        "1,200 images of SAMPLES are in REFERENCE as well: scores are better than those of new "
        "images."
    ]


def test_too_few_images_for_the_subsets_of_kid() -> None:
    small, large = like_features(50, 8, 0), like_features(1300, 8, 1)
    assert told(rows=(small, large), scores=("kid",)) == [
        "KID takes subsets of 1,000 images, and a set has 50: they have 50, as with clean-fid; "
        "their spread says little."
    ]
    assert told(rows=(small, small + 1), scores=("kid",)) == [
        "KID takes subsets of 1,000 images, and a set has 50: there is one subset, all of both, "
        "and so no spread."
    ]


def test_a_set_without_rows_is_no_obstacle() -> None:
    one = ImageSet("statistics", "statistics")
    rules = find_definition("adm")
    assert cautions(Sides(one, one, (None, None)), ["fid"], rules, (299, 299)) == []
    assert one.count is None
    assert np.prod(PNG_64.size or ()) == 64 * 64
