"""Small networks of TensorFlow's own ops, for exports; run untouched for comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.tiny_graphs import own, write
from tests.opening import load_graph

SIZE = 8
RESULT = "result:0"


def values(*shape: int, seed: int = 0, low: float = -1, high: float = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def network(folder: Path, build: Callable[[Any], Any], channels: int = 3) -> FrozenGraph:
    """The graph from `input` to `result` that `build` makes, frozen and opened."""
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, channels], "input")
        tf.identity(build(pixels), name="result")
    return load_graph(write(own(graph.as_graph_def()), folder / "toy.pb"))
