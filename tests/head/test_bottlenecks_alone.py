"""Bottlenecks of which a manifest says that two graphs made them."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from retrain_tools.engine.settings import DEFAULTS
from retrain_tools.features.cache import Identity
from retrain_tools.features.fill import CacheOptions, identity_of
from retrain_tools.features.manifest import Manifest, write_manifest
from retrain_tools.features.matrix_cache import MatrixCache
from retrain_tools.features.read_cache import find_bottlenecks
from retrain_tools.head.bottlenecks_alone import read_dataset
from retrain_tools.images.folders import ImageFile

from .graphs import DEPTH


@pytest.fixture
def folder(tmp_path):
    for label in "ab":
        for number in range(5):
            path = tmp_path / label / f"{number}.jpg.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(",".join([f"{number}"] * DEPTH))
    return tmp_path


def read(frozen, folder):
    return read_dataset(
        frozen, find_bottlenecks(folder), CacheOptions(str(folder)), (20, 20, "basename")
    )


@pytest.mark.parametrize("with_graph", [True, False])
def test_a_matrix_gives_what_text_files_give(old, folder, tmp_path, with_graph):
    text, told, _ = read(old if with_graph else None, folder)
    cache = MatrixCache(tmp_path / "npy", "", DEPTH)
    for image, vector in zip(text.images, text.vectors, strict=True):
        cache.write(image, vector)
    data, outcome, _ = read(old if with_graph else None, tmp_path / "npy")
    assert data.images == text.images
    assert data.vectors.tobytes() == text.vectors.tobytes()
    assert (outcome, len(data.images)) == (told, 10)
    for split, rows in text.rows.items():
        assert [row.tolist() for row in data.rows[split]] == [row.tolist() for row in rows]


@pytest.mark.parametrize("with_graph", [True, False])
def test_a_damaged_row_of_a_matrix_is_named_and_left_out(
    old, tmp_path, with_graph, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    cache = MatrixCache(tmp_path / "npy", "", DEPTH)
    for label in "ab":
        for number in range(5):
            image = ImageFile("", f"{label}/{number}.jpg")
            cache.write(image, np.full(DEPTH, number, np.float32))
    data = bytearray(cache.path.read_bytes())
    data[-1] ^= 1  # of b/4.jpg
    cache.path.write_bytes(data)
    found, outcome, _ = read(old if with_graph else None, tmp_path / "npy")
    assert len(found.images) == outcome.reused == 9
    line = f"b/4.jpg in {cache.path} cannot be used: not the values that were written"
    assert line in caplog.messages
    for image, vector in zip(found.images, found.vectors, strict=True):
        assert vector.tolist() == [int(image.relative[2])] * DEPTH


@pytest.mark.parametrize("with_graph", [True, False])
def test_what_another_graph_computed_is_left_out(old, folder, with_graph, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    own = identity_of(old, "avg", DEFAULTS)
    other = dataclasses.replace(own, fingerprint="another")
    manifest = Manifest(own, DEPTH, "graph.pb").with_computed(own, "graph.pb", ["a/0.jpg"])
    mixed = Manifest(None, DEPTH, "other.pb").with_computed(
        other, "other.pb", ["a/1.jpg", "b/2.jpg"]
    )
    manifest = dataclasses.replace(manifest, computed=mixed.computed)
    write_manifest(folder, "", manifest)
    data, outcome, identity = read(old if with_graph else None, folder)
    assert len(data.images) == outcome.reused == 8
    assert {"a/1.jpg", "b/2.jpg"}.isdisjoint(image.relative for image in data.images)
    assert identity == (own if with_graph else None)
    assert [m for m in caplog.messages if "left out" in m] == [
        f"2 bottlenecks in {folder} were computed by another graph than the others "
        f"({folder}/manifest.json) and are left out"
    ]
    assert not [m for m in caplog.messages if "has no manifest" in m]


def test_with_the_graph_what_others_computed_is_left_out_of_an_unchecked_cache(
    old, folder, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    other = Identity("another", "pool/_reshape:0", "none", {})
    manifest = Manifest(None, DEPTH, "other.pb").with_computed(other, "other.pb", ["a/1.jpg"])
    write_manifest(folder, "", manifest)
    data, _, _ = read(old, folder)
    assert len(data.images) == 9
    assert (
        f"{folder} has no manifest that says what made its bottlenecks: whether they are this "
        "graph's can only be told by their length"
    ) in caplog.messages
