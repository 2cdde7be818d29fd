"""Graphs run on arrays, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.quiet_tensorflow import tf

ROWS = np.random.default_rng(0).normal(0, 1, (3, 4))
WEIGHTS = np.random.default_rng(1).normal(0, 1, (4, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as made:
        rows = v1.placeholder(tf.float32, [None, 4], "rows")
        product = tf.matmul(rows, WEIGHTS, name="product")
        scaled = tf.multiply(product, v1.placeholder(tf.float32, [], "scale"), name="scaled")
        twice = v1.placeholder_with_default(np.float32(2.0), [], "twice")
        tf.cast(scaled * twice > 0.0, tf.int64, name="signs")
        tf.strings.upper(v1.placeholder(tf.string, [None], "words"), name="loud")
    path = tmp_path_factory.mktemp("arrays") / "g.pb"
    path.write_bytes(made.as_graph_def().SerializeToString())
    return path


def test_values_are_those_of_numpy_in_their_own_types(graph: Path) -> None:
    feeds = {"rows": ROWS, "scale:0": -1}
    found = rt.run(rt.load(graph), ["scaled", "signs:0"], feeds)
    exact = -(ROWS.astype(np.float32) @ WEIGHTS)
    np.testing.assert_allclose(found["scaled"], exact, rtol=1e-5)
    np.testing.assert_array_equal(found["signs:0"], (exact > 0).astype(np.int64))
    assert found["signs:0"].dtype == np.int64


def test_what_is_left_alone_or_not_needed_is_not_asked_for(graph: Path) -> None:
    model = rt.load(graph)
    assert rt.run(model, "product", {"rows": ROWS})["product"].shape == (3, 2)
    found = rt.run(model, "signs", {"rows": ROWS, "scale": 1, "twice": -2.0})["signs"]
    np.testing.assert_array_equal(found, ROWS.astype(np.float32) @ WEIGHTS < 0)
    words = rt.run(model, "loud", {"words": ["a", "bc"]})["loud"]
    assert words.tolist() == [b"A", b"BC"]


def test_any_tensor_can_be_fed(graph: Path) -> None:
    found = rt.run(rt.load(graph), "scaled", {"product": [[1, 2]], "scale": 3.0})
    assert found["scaled"].tolist() == [[3.0, 6.0]]


def test_values_given_at_opening_are_constants(graph: Path) -> None:
    model = rt.load(graph, feed={"scale": 10})
    assert [guess.tensor.name for guess in model.summary().inputs] == [
        "rows:0",
        "twice:0",
        "words:0",
    ]
    found = rt.run(model, "scaled", {"rows": ROWS})["scaled"]
    np.testing.assert_allclose(found, 10 * (ROWS.astype(np.float32) @ WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "feeds", "message"),
    [
        (
            "scaled",
            {"rows": np.zeros((2, 5))},
            "'rows:0' of {} takes float32 [?, 4], and not what has the shape [2, 5].",
        ),
        (
            "scaled",
            {"rows": np.zeros(4)},
            "'rows:0' of {} takes float32 [?, 4], and not what has the shape [4].",
        ),
        ("scaled", {"rows": ROWS}, "'scaled:0' of {} needs 'scale:0' to be fed as well."),
        (
            ["scaled", "loud"],
            {},
            "'scaled:0', 'loud:0' of {} needs 'rows:0' and 'scale:0' and 'words:0' to be fed as "
            "well.",
        ),
        ("product", {"rows": ["a"]}, "'rows:0' of {} takes float32 [?, 4], and not <U1 a."),
    ],
)
def test_what_does_not_go_is_refused(
    graph: Path, tensors: Any, feeds: dict[str, Any], message: str
) -> None:
    with pytest.raises(rt.InputError) as error:
        rt.run(rt.load(graph), tensors, feeds)
    assert str(error.value) == message.format(graph)


def test_what_the_graph_fails_on_is_said_with_its_reason(tmp_path: Path) -> None:
    with tf.Graph().as_default() as made:
        rows = tf.compat.v1.placeholder(tf.float32, None, "rows")
        tf.raw_ops.MatMul(a=rows, b=WEIGHTS, name="product")
    path = tmp_path / "g.pb"
    path.write_bytes(made.as_graph_def().SerializeToString())
    with pytest.raises(rt.InputError, match=r"g\.pb fails on what it was fed: Matrix size-incompa"):
        rt.run(rt.load(path), "product", {"rows": np.zeros((2, 5))})
