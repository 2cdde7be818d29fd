"""Whether a tensor is a pooled vector or a map, judged by running what the graph is said to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.pooled import Pooled, find_pooling
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.view import view_of
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import own

SIZE, CHANNELS = 6, 5
Build = Callable[[Any], Any]
RNG = np.random.default_rng(0)
W = RNG.normal(size=(CHANNELS, 4)).astype(np.float32)
PIXELS = RNG.normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)


def feature_map(pixels: Any) -> Any:
    kernel = np.random.default_rng(1).normal(size=(1, 1, 3, CHANNELS)).astype(np.float32)
    return tf.nn.relu(tf.nn.conv2d(pixels, kernel, 1, "SAME"), name="map")


def tokens(x: Any) -> Any:
    """The places of a map in a row, after a first one that stands for the image."""
    rows = tf.reshape(x, [-1, SIZE * SIZE, CHANNELS])
    return tf.concat([tf.reduce_sum(rows, 1, keepdims=True), rows], 1, name="tokens")


def told(build: Build, known: bool = True) -> tuple[Pooled, Any, Any]:
    """What is said of a graph's output, the output's values, and those of what was pooled."""
    side = SIZE if known else None
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, side, side, 3], "pixels")
        output = tf.identity(build(feature_map(pixels)), name="output")
        graph_def = view_of(own(graph.as_graph_def()))
        shapes = {t.name: t.shape for t in list_tensors(graph_def)}
        found = find_pooling(nodes_by_name(graph_def), shapes, "output:0", "bottleneck")
        with tf.compat.v1.Session() as session:
            fed = {pixels: PIXELS}
            before = None if found.before is None else session.run(found.before, fed)
            return found, session.run(output, fed), before


def average(x: Any) -> Any:
    return x.mean(tuple(range(1, x.ndim - 1)))


def maximum(x: Any) -> Any:
    return x.max(tuple(range(1, x.ndim - 1)))


POOLED: dict[str, tuple[Build, str, str, Callable[[Any], Any]]] = {
    "mean": (
        lambda x: tf.reduce_mean(x, [1, 2]), "average", "global average of [6, 6, 5]", average
    ),
    "mean over the last but one axes": (
        lambda x: tf.reduce_mean(x, [-3, -2]), "average", "global average of [6, 6, 5]", average
    ),
    "mean, then squeezed": (
        lambda x: tf.squeeze(tf.reduce_mean(x, [1, 2], keepdims=True), [1, 2]),
        "average", "global average of [6, 6, 5]", average,
    ),
    "max": (lambda x: tf.reduce_max(x, [1, 2]), "maximum", "global maximum of [6, 6, 5]", maximum),
    "sum": (
        lambda x: tf.reduce_sum(x, [1, 2]), "sum", "global sum of [6, 6, 5]",
        lambda x: x.sum((1, 2)),
    ),
    "average pool of 2015": (
        lambda x: tf.reshape(tf.nn.avg_pool2d(x, 6, 1, "VALID"), [-1, CHANNELS]),
        "average", "global average of [6, 6, 5]", average,
    ),
    "max pool": (
        lambda x: tf.squeeze(tf.nn.max_pool2d(x, 6, 1, "VALID"), [1, 2]),
        "maximum", "global maximum of [6, 6, 5]", maximum,
    ),
    "a window that leaves the edge out": (
        lambda x: tf.squeeze(tf.nn.avg_pool2d(x, 4, 4, "VALID"), [1, 2]),
        "average", "AvgPool 4 × 4 of [6, 6, 5], all that its window covers",
        lambda x: average(x[:, :4, :4]),
    ),
    "flatten": (
        lambda x: tf.reshape(x, [-1, 180]), "flatten", "flattened from [6, 6, 5]",
        lambda x: x.reshape(len(x), -1),
    ),
    "class token": (
        lambda x: tokens(x)[:, 0], "token", "the first token (the class token) of [37, 5]",
        lambda x: x[:, 0],
    ),
    "class token by a gather": (
        lambda x: tf.gather(tokens(x), 0, axis=1),
        "token", "the first token (the class token) of [37, 5]", lambda x: x[:, 0],
    ),
    "the last token": (
        lambda x: tokens(x)[:, -1], "token", "the last token of [37, 5]", lambda x: x[:, -1]
    ),
    "mean of tokens": (
        lambda x: tf.reduce_mean(tokens(x), 1), "average", "average over the tokens of [37, 5]",
        average,
    ),
    "attention as a sum": (
        lambda x: tf.reduce_sum(tf.nn.softmax(tf.matmul(tokens(x), W[:, :1]), 1) * tokens(x), 1),
        "attention", "attention over the tokens of [37, 5]",
        lambda x: (np_softmax(x @ W[:, :1], 1) * x).sum(1),
    ),
    "attention of one query": (
        lambda x: tf.squeeze(
            tf.matmul(tf.nn.softmax(tf.transpose(tokens(x) @ W[:, :1], [0, 2, 1])), tokens(x)), [1]
        ),
        "attention", "attention over the tokens of [37, 5]",
        lambda x: (np_softmax(x @ W[:, :1], 1) * x).sum(1),
    ),
    "a layer over the whole map": (
        lambda x: tf.squeeze(tf.nn.conv2d(x, np.ones((6, 6, 5, 3), "f"), 1, "VALID"), [1, 2]),
        "layer", "the layer Conv2D_1 takes all of [6, 6, 5]",
        lambda x: np.repeat(x.sum((1, 2, 3), keepdims=True)[:, :, 0, 0], 3, 1),
    ),
    "scaled afterwards": (
        lambda x: tf.reduce_mean(x, [1, 2]) * 2.0, "average", "global average of [6, 6, 5]",
        lambda x: 2 * average(x),
    ),
    "normalised afterwards": (
        lambda x: tf.nn.l2_normalize(tf.reduce_mean(x, [1, 2]), 1),
        "average", "global average of [6, 6, 5]",
        lambda x: average(x) / np.linalg.norm(average(x), axis=1, keepdims=True),
    ),
}  # fmt: skip


def np_softmax(x: Any, axis: int) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("case", POOLED)
def test_the_pooling_is_what_the_graph_does(case: str) -> None:
    build, pooling, how, by_hand = POOLED[case]
    found, values, before = told(build)
    assert (found.form, found.pooling, found.how) == ("vector", pooling, how)
    assert (found.layers, found.depth) == (0, values.shape[-1])
    np.testing.assert_allclose(by_hand(before), values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["mean", "max", "class token"])
def test_layers_after_the_pooling_are_counted(case: str) -> None:
    build, _, how, by_hand = POOLED[case]
    found, values, before = told(lambda x: tf.nn.softmax(tf.matmul(build(x), W)))
    assert (found.layers, found.depth) == (1, 4)
    assert found.way == f"{how}, then 1 layer with weights"
    np.testing.assert_allclose(np_softmax(by_hand(before) @ W, 1), values, atol=1e-6)
    dense = np.ones((1, 1, CHANNELS, 7), np.float32)
    twice, _, _ = told(
        lambda x: tf.matmul(
            tf.squeeze(tf.nn.conv2d(tf.reduce_mean(x, [1, 2], keepdims=True), dense, 1, "SAME"),
                       [1, 2]), np.ones((7, 2), "f"))
    )  # fmt: skip
    assert twice.way == "global average of [6, 6, 5], then 2 layers with weights"


def test_two_poolings_side_by_side() -> None:
    found, values, before = told(
        lambda x: tf.concat([tf.reduce_mean(x, [1, 2]), tf.reduce_max(x, [1, 2])], 1)
    )
    assert found.pooling == "joined"
    assert found.how == "global average of [6, 6, 5] and global maximum of [6, 6, 5], side by side"
    by_hand = np.concatenate([average(before), maximum(before)], 1)
    np.testing.assert_allclose(by_hand, values, rtol=1e-5)


def test_dropout_is_looked_through() -> None:
    found, _, _ = told(lambda x: tf.nn.dropout(tf.reduce_mean(x, [1, 2]), 0.5))
    assert found.how == "global average of [6, 6, 5]"


def test_channels_may_come_first() -> None:
    found, _, before = told(lambda x: tf.reduce_mean(tf.transpose(x, [0, 3, 1, 2]), [2, 3]))
    assert (found.how, before.shape) == ("global average of [5, 6, 6]", (2, 5, 6, 6))


def test_images_of_any_size_are_pooled_all_the_same() -> None:
    found, values, before = told(lambda x: tf.reduce_mean(x, [1, 2]), known=False)
    assert found.answer == (
        "yes, a vector of 5 (global average of [?, ?, 5]); no GlobalAveragePooling2D is needed"
    )
    assert found.before_shape == (None, None, None, 5)
    np.testing.assert_allclose(average(before), values, rtol=1e-5)


ANSWERS: dict[str, tuple[Build, bool, str]] = {
    "vector": (
        lambda x: tf.reduce_mean(x, [1, 2]), True,
        "yes, a vector of 5 (global average of [6, 6, 5]); no GlobalAveragePooling2D is needed",
    ),
    "map": (
        lambda x: x, True,
        "no, a feature map [6, 6, 5]; GlobalAveragePooling2D, here --pooling=avg, makes a vector "
        "of 5",
    ),
    "map of unknown size": (
        lambda x: x, False,
        "no, a feature map [?, ?, 5]; GlobalAveragePooling2D, here --pooling=avg, makes a vector "
        "of 5",
    ),
    "pooled in part": (
        lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"), True,
        "no, a feature map [3, 3, 5]; GlobalAveragePooling2D, here --pooling=avg, makes a vector "
        "of 5",
    ),
    "tokens": (
        tokens, True,
        "no, tokens [37, 5]; GlobalAveragePooling1D, here --pooling=avg, makes a vector of 5",
    ),
    "flatten": (
        lambda x: tf.reshape(x, [-1, 180]), True,
        "no, a vector of 180, flattened from [6, 6, 5], to which no "
        "GlobalAveragePooling2D can be added; --bottleneck_tensor=map:0 --pooling=avg makes a "
        "vector of 5",
    ),
    "one place kept": (
        lambda x: tf.reduce_mean(x, [1, 2], keepdims=True), True,
        "yes, a vector of 5 (global average of [6, 6, 5]); no GlobalAveragePooling2D is needed",
    ),
    "unknown shape": (
        lambda x: tf.reshape(x, tf.cast(tf.reduce_sum(x), tf.int32)[None] * 0 - 1), True,
        "cannot be told: the shape of output:0 is not known",
    ),
    "a vector from elsewhere": (
        lambda x: x[:, 0, 0], True,
        "yes, a vector of 5 (how it was pooled cannot be told); no GlobalAveragePooling2D is "
        "needed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_the_answer_in_one_line(case: str) -> None:
    build, known, answer = ANSWERS[case]
    with tf.Graph().as_default() as graph:
        side = SIZE if known else None
        pixels = tf.compat.v1.placeholder(tf.float32, [None, side, side, 3], "pixels")
        tf.identity(build(feature_map(pixels)), name="output")
        graph_def = view_of(own(graph.as_graph_def()))
    shapes = {t.name: t.shape for t in list_tensors(graph_def)}
    found = find_pooling(nodes_by_name(graph_def), shapes, "output:0", "result")
    assert found.answer == answer
    assert (found.pooling == "none") == (found.form in ("map", "tokens"))
