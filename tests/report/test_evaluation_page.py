"""The page of an evaluation: complete in itself, and no name in it becomes markup."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import retrain_tools as rt
from retrain_tools.report.evaluation_page import evaluation_page
from tests.metrics.vectors import like_features
from tests.report.test_comparison_page import HOSTILE, Parts

REAL, FAKE = like_features(40, 8, 0), like_features(30, 8, 1, 0.2)


def page_of(tmp_path, names: list[str]) -> Parts:
    np.savez(tmp_path / "fake.npz", features=FAKE, images=names)
    np.savez(tmp_path / "real.npz", features=REAL, images=[f"real {row}.jpg" for row in range(40)])
    return Parts(evaluation_page(rt.evaluate_images(tmp_path / "real.npz", tmp_path / "fake.npz")))


def test_scores_definitions_and_nearest_images_are_there(tmp_path) -> None:
    page = page_of(tmp_path, [f"fake {row}.jpg" for row in range(30)])
    text = " ".join(" ".join(page.text).split())
    found = rt.evaluate_images(REAL, FAKE)
    assert found.neighbours is not None
    for score in found.scores.values():
        assert score.how in text
        assert score.source in text
    apart = np.linalg.norm(FAKE[:, None].astype(float) - REAL[None], axis=-1)
    nearest = int(apart.min(axis=1).argmin())
    pairs = f"fake {nearest}.jpg : density"
    assert pairs in text
    assert f"to real {apart[nearest].argmin()}.jpg" in text
    worst = text.partition("The worst samples, by density")[2].split("fake ")[1]
    assert found.neighbours.of_samples[int(worst.split(".")[0])] == min(found.neighbours.of_samples)
    [histogram] = page.images()
    assert histogram.width > 800
    assert text.count("not on disk") == 2 * 3 * 6


def test_no_name_becomes_markup(tmp_path) -> None:
    page = page_of(tmp_path, [f"{HOSTILE}{row}.jpg" for row in range(30)])
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]
    assert any(HOSTILE in text for text in page.text)
