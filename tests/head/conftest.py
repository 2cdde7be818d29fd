"""The tiny graphs as files and opened, and a head for them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.head.training import Head
from tests.opening import load_graph

from . import graphs

# TensorFlow reads it once: `test_without_onednn` runs these files in processes of their own.
WITHOUT_ONEDNN = (
    "test_checkpoints.py", "test_fine_tuning.py", "test_fine_tuning_refused.py",
    "test_tuned_retraining.py",
)  # fmt: skip
collect_ignore = () if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" else WITHOUT_ONEDNN


@pytest.fixture(scope="session")
def save(tmp_path_factory):
    """Write a graph and open it."""

    def save(graph_def, bottleneck=None, **overrides):
        path = tmp_path_factory.mktemp("graphs") / "graph.pb"
        path.write_bytes(graph_def.SerializeToString())
        return load_graph(str(path), None, SpecOverrides(bottleneck_tensor=bottleneck, **overrides))

    return save


@pytest.fixture(scope="session")
def old(save):
    return save(graphs.graph_2015())


@pytest.fixture(scope="session")
def shaped(save):
    return save(graphs.pixel_graph([1, graphs.SIZE, graphs.SIZE, 3]))


@pytest.fixture(scope="session")
def shapeless(save):
    return save(graphs.pixel_graph(None), input_height=graphs.SIZE, input_width=graphs.SIZE)


@pytest.fixture(scope="session")
def head():
    return make_head(graphs.DEPTH)


def make_head(depth: int, classes: int = graphs.CLASSES, seed: int = 3) -> Head:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 2, (depth, classes)).astype(np.float32)
    return Head(weights, rng.normal(0, 1, classes).astype(np.float32))
