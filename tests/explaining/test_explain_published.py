"""The published bottlenecks of the orchids: the graph's preprocessing, two other kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrain_tools.explaining.explain import explain
from retrain_tools.explaining.explanation import Runnable
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.read_cache import read_bottlenecks
from tests.opening import load_graph

DATA = Path(__file__).resolve().parents[3] / "shared/data"
POOL = "pool_3/_reshape:0"


def test_the_same_preprocessing_and_different_weights() -> None:
    graph = DATA / "inception-2015-12-05/near_real_graph_def.pb"
    if not graph.exists():
        pytest.skip(f"real material is not here: {graph}")
    published = read_bottlenecks(DATA / "orchids/bottlenecks")
    rows = np.linspace(0, len(published.images) - 1, 8).astype(int)
    images = [str(DATA / "orchids/images" / published.images[row]) for row in rows]
    frozen = load_graph(graph)
    with Extractor(frozen, [POOL], None) as extractor:
        mine = np.stack([values[0] for _, values in extractor.extract(images)])
    found = explain(Runnable(frozen, POOL), mine, published.vectors[rows], images)
    assert found.verdict == "different_weights" and found.causes == ()
    assert found.sentence.startswith("B looks like the same preprocessing, different weights: ")
    # The last layer that is the same is mixed_8/join: mixed_9 differs, and so all of mixed_10.
    assert found.notes[1].startswith("All 6 parts that the features are joined of differ, so the ")
    assert found.notes[2].startswith("Which layer before that is the last that is the same")
    assert all(row.share < 0.1 for row in found.tried if row.causes)
