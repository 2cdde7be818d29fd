"""Where features are joined of parts, which of them differ."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.explaining.explanation import Runnable
from retrain_tools.explaining.parts import about_parts, parts_of
from retrain_tools.quiet_tensorflow import tf
from tests.opening import load_graph


@pytest.fixture(scope="module")
def runnable(tmp_path_factory: pytest.TempPathFactory) -> Runnable:
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        branches = [
            tf.nn.conv2d(pixels, rng.normal(size=(3, 3, 3, depth)), 1, "SAME", name=name)
            for name, depth in (("left", 3), ("right", 5))
        ]
        tf.reduce_mean(tf.concat(branches, 3, "join"), [1, 2], name="features")
    path = tmp_path_factory.mktemp("parts") / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return Runnable(load_graph(path), "features:0")


def test_the_part_that_differs_is_named(runnable: Runnable) -> None:
    rng = np.random.default_rng(1)
    mine = rng.normal(size=(20, 8)).astype(np.float32)
    other = mine.copy()
    other[:, 3:] += rng.normal(size=(20, 5)).astype(np.float32)
    found = parts_of(runnable, mine, other)
    assert [(part.tensor, part.channels) for part in found] == [("right:0", 5), ("left:0", 3)]
    assert found[1].left == 0 and found[1].correlation == pytest.approx(1)
    assert about_parts(found) == (
        "They differ only in what right:0 gives to the features; the rest is the same, and so is "
        "what all of it is computed from.",
    )


def test_where_all_parts_differ_what_comes_before_is_not_told(runnable: Runnable) -> None:
    rng = np.random.default_rng(1)
    mine = rng.normal(size=(20, 8)).astype(np.float32)
    other = mine + rng.normal(size=(20, 8)).astype(np.float32)
    first, second = about_parts(parts_of(runnable, mine, other))
    assert first.startswith("All 2 parts that the features are joined of differ, so the networks ")
    assert (
        second
        == "Which layer before that is the last that is the same, the features alone do not tell."
    )


def test_other_shapes_and_few_images_have_no_parts(runnable: Runnable) -> None:
    ten = np.ones((10, 8), np.float32)
    assert parts_of(runnable, ten[:4], ten[:4]) == []
    assert parts_of(runnable, ten, ten[:, :4]) == []
    other = Runnable(runnable.frozen, "left:0")
    assert parts_of(other, ten, ten) == []
