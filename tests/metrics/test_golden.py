"""The numbers of the ADM evaluator, run unmodified on the near-real graph, end to end.

Its recipe of two sets is in golden/fid. The near-real graph is run once on each of 512 images: a
minute of a core.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.metrics.image_sets import Fetching

SHARED = Path(__file__).resolve().parents[3] / "shared"
RECORDED = SHARED / "golden/fid/evaluator_numbers.json"
GRAPH = SHARED / "data/inception-2015-12-05/near_real_graph_def.pb"


def blocks(seed: int, count: int, low: int, high: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (count, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)


def noise(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), np.uint8)


@pytest.mark.skipif(
    not (RECORDED.exists() and GRAPH.exists()), reason=f"no {RECORDED} or no {GRAPH}"
)
def test_the_recorded_numbers_of_the_adm_evaluator(tmp_path) -> None:
    golden = json.loads(RECORDED.read_text())
    sets = {
        "a": [blocks(1, 128, 0, 256), noise(2, 64), blocks(3, 64, 64, 192)],
        "b": [blocks(4, 128, 32, 224), noise(5, 32), blocks(6, 96, 0, 128)],
    }
    for name, parts in sets.items():
        images = np.concatenate(parts)
        recipe = golden["recipe"]["sha256_of_tobytes"][name]
        assert hashlib.sha256(images.tobytes()).hexdigest() == recipe
        np.savez(tmp_path / f"{name}.npz", images)
    original, adm = (
        rt.evaluate_images(
            tmp_path / "a.npz",
            tmp_path / "b.npz",
            graph=GRAPH,
            definition=definition,
            fetching=Fetching(str(tmp_path / "features")),
        )
        for definition in ("original", "adm")
    )
    assert adm.samples is not None
    assert adm.samples.outcome is not None
    assert adm.samples.outcome.computed == 0
    recorded, exact = (
        golden["values"],
        golden["from_the_same_features_in_float64_not_by_the_evaluator"],
    )
    found = {name: score.value for name, score in adm.scores.items()}
    for name, other in (
        ("fid", golden["fid_exact_from_samples"]),
        ("sfid", exact["sfid_exact_from_samples"]),
    ):
        assert found[name] == pytest.approx(recorded[name], abs=1e-3)
        assert found[name] == pytest.approx(other, abs=1e-3)
    assert found["is"] == pytest.approx(recorded["inception_score_sample_b"], abs=1e-4)
    for name in ("precision", "recall"):
        assert found[name] == pytest.approx(recorded[name], abs=2 / 256)
    shares = [original.scores[name].value for name in ("precision", "recall")]
    assert shares == exact["precision_recall_float64"]
    assert found["kid"] == pytest.approx(exact["kid_unbiased_all_256_one_subset"], abs=1e-6)
    for name in ("density", "coverage"):
        assert found[name] == exact["prdc_k5_strict_less"][name]
