"""The Inception Score by its definition, split by split."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from retrain_tools.errors import InputError
from retrain_tools.metrics import moments
from retrain_tools.metrics.definitions import Splits
from retrain_tools.metrics.inception_score import inception_score

from .vectors import like_features

FEATURES = like_features(103, 24, 0)
WEIGHTS = np.random.default_rng(1).normal(size=(24, 11)).astype(np.float32)


def by_definition(parts: list[np.ndarray]) -> tuple[float, float]:
    scores = []
    for part in parts:
        p = softmax(part.astype(np.float64) @ WEIGHTS, axis=1)
        scores.append(np.exp((p * (np.log(p) - np.log(p.mean(axis=0)))).sum(axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(moments, "_BLOCK_BYTES", 8 * 24 * 17)


def test_ten_splits_in_order_are_improved_gans() -> None:
    parts = [FEATURES[i * 103 // 10 : (i + 1) * 103 // 10] for i in range(10)]
    found = inception_score(FEATURES, WEIGHTS, Splits(parts=10))
    assert found[:2] == pytest.approx(by_definition(parts), rel=1e-12)
    assert len(found.of_splits) == 10


def test_the_last_chunk_of_the_adm_evaluator_is_short() -> None:
    parts = [FEATURES[:40], FEATURES[40:80], FEATURES[80:]]
    found = inception_score(FEATURES, WEIGHTS, Splits(chunk=40))
    assert found[:2] == pytest.approx(by_definition(parts), rel=1e-12)


def test_shuffled_splits_are_those_of_the_shuffled_images() -> None:
    shuffled = FEATURES[np.random.RandomState(2020).permutation(103)]
    parts = [shuffled[i * 103 // 10 : (i + 1) * 103 // 10] for i in range(10)]
    found = inception_score(FEATURES, WEIGHTS, Splits(parts=10), seed=2020)
    assert found[:2] == pytest.approx(by_definition(parts), rel=1e-12)


def test_sure_classes_do_not_become_nan() -> None:
    sure = 1e5 * np.eye(24, dtype=np.float32)
    found = inception_score(sure, np.eye(24, dtype=np.float32), Splits(parts=2))
    assert found.mean == pytest.approx(12)


def test_one_image_over_and_over_scores_one() -> None:
    found = inception_score(np.repeat(FEATURES[:1], 20, axis=0), WEIGHTS, Splits(parts=10))
    assert found[:2] == pytest.approx((1, 0), abs=1e-12)


def test_what_cannot_be_scored_is_named() -> None:
    with pytest.raises(InputError) as error:
        inception_score(FEATURES, WEIGHTS[:5], Splits(parts=10))
    assert str(error.value) == "The graph's classifier takes 5 features, and there are 24."
    with pytest.raises(InputError) as error:
        inception_score(FEATURES[:9], WEIGHTS, Splits(parts=10))
    said = "An Inception Score of 10 splits takes as many images; there are 9."
    assert str(error.value) == said
