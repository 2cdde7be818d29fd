"""A small stand-in for the graph of 2015, photos of many sizes, and batches, in one folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.metrics.evaluation import Evaluation
from retrain_tools.standin.inception_2015 import make_reference_graph
from tests.features.tiny import encoded, photo

PHOTOS, BATCHED = 12, 14


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """graph.pb (pool_3 of 205 features), photos/ab/N.jpg and a batch, samples.npz."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "graph.pb").write_bytes(make_reference_graph(0.1, 0).SerializeToString())
    for number in range(PHOTOS):
        path = folder / "photos" / "ab"[number % 2] / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(photo(30 + number, 60 - number, seed=number), "JPEG"))
    pixels = [np.asarray(photo(40, 40, seed=100 + number)) for number in range(BATCHED)]
    np.savez(folder / "samples.npz", np.stack(pixels))
    return folder


@pytest.fixture(scope="session")
def found(place: Path) -> Evaluation:
    """The photos as reference, and the batch as samples."""
    with contextlib.chdir(place):
        return rt.evaluate_images("photos", "samples.npz", graph="graph.pb")


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place
