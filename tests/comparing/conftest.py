"""Small graphs, photos, and their features as they are stored."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.features.fetch import FetchOptions, fetch_tensors, named_tensor
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.images.folders import find_images
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny
from tests.opening import load_graph

TENSORS = ("conv/relu:0", "pool/_reshape:0")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with graph.pb, other.pb (other kernels from `conv_1` on), photos and features."""
    folder = tmp_path_factory.mktemp("compared")
    graph = tiny.write_2015_graph(folder / "graph.pb")
    _write_changed(graph, folder / "other.pb")
    for number in range(12):
        path = folder / "photos" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = tiny.photo(20 + 3 * number, 50 - 2 * number, seed=number)
        path.write_bytes(tiny.encoded(image, "JPEG"))
    with _inside(folder):
        frozen = load_graph("graph.pb")
        images = find_images("photos")
        paths, labels = [i.path for i in images], {i.path: i.folder for i in images}
        for output, names in (("both.npz", TENSORS), ("pool.npz", TENSORS[1:])):
            tensors = {name: named_tensor(frozen, name) for name in names}
            fetch_tensors(frozen, tensors, paths, FetchOptions(output), labels)
        fill_cache(frozen, images, CacheOptions("bottlenecks"))
        with np.load("pool.npz") as arrays:
            np.save("bare.npy", arrays[TENSORS[1]])
    return folder


def _write_changed(graph: Path, path: Path) -> None:
    graph_def = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    by_name = {node.name: node for node in graph_def.node}
    kernel = by_name[by_name["conv_1"].input[1]]
    value = tf.make_ndarray(kernel.attr["value"].tensor)
    kernel.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.roll(value, 1, axis=-1)))
    path.write_bytes(graph_def.SerializeToString())


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place
