from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.bottleneck import Candidate, bottleneck_candidates
from retrain_tools.quiet_tensorflow import tf
from tests.opening import read_graph_def

from .tiny_graphs import (
    MOBILENET,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    add,
    add_constant,
    inception_like,
    pixels_graph,
    real,
    reverse_nodes,
)

CLASSIFIED = "what the last layer classifies"
BEFORE = "the same before pooling or reshaping"
LOGITS = "the last layer's own output (logits)"
KNOWN = "what the catalogue names for this network"


def test_what_the_last_layer_takes_is_best() -> None:
    expected = [
        Candidate("pool_3/_reshape:0", (1, 28), 28, CLASSIFIED),
        Candidate("pool_3:0", (1, 1, 1, 28), 28, BEFORE),
        Candidate("mixed/join:0", (1, 4, 4, 28), 28, BEFORE),
        Candidate("softmax/logits:0", (1, 5), 5, LOGITS),
    ]
    assert bottleneck_candidates(inception_like(), "Mul:0") == expected
    assert bottleneck_candidates(reverse_nodes(inception_like()), "Mul:0") == expected


def test_a_convolution_over_1_x_1_counts_as_the_last_layer() -> None:
    assert bottleneck_candidates(pixels_graph(), "input:0") == [
        Candidate("pool:0", (None, 1, 1, 6), 6, CLASSIFIED),
        Candidate("relu:0", (None, 4, 4, 6), 6, BEFORE),
        Candidate("squeezed:0", (None, 5), 5, LOGITS),
    ]


def test_the_catalogues_own_comes_first_and_only_once() -> None:
    found = bottleneck_candidates(inception_like(), "Mul:0", known="pool_3:0")
    assert [(c.tensor, c.why) for c in found] == [
        ("pool_3:0", KNOWN),
        ("pool_3/_reshape:0", CLASSIFIED),
        ("mixed/join:0", BEFORE),
        ("softmax/logits:0", LOGITS),
    ]


def test_a_retrained_layer_is_seen_behind_its_placeholder() -> None:
    graph_def = inception_like()
    shape = tf.TensorShape([None, 28])
    name = "input/BottleneckInputPlaceholder"
    add(
        graph_def,
        name,
        "PlaceholderWithDefault",
        ["pool_3/_reshape"],
        dtype=tf.float32,
        shape=shape,
    )
    add_constant(graph_def, "w", np.zeros((28, 2), np.float32))
    add(graph_def, "Wx", "MatMul", [name, "w"], T=tf.float32)
    add(graph_def, "final_result", "Softmax", ["Wx"], T=tf.float32)
    found = bottleneck_candidates(graph_def, "Mul:0")
    assert [c.tensor for c in found] == ["pool_3/_reshape:0", "pool_3:0", "mixed/join:0", "Wx:0"]
    assert found[-1].depth == 2


def test_a_result_with_a_softmax_wins_over_one_without() -> None:
    graph_def = inception_like()
    add_constant(graph_def, "aux/w", np.zeros((28, 3), np.float32))
    add(graph_def, "aux", "MatMul", ["pool_3/_reshape", "aux/w"], T=tf.float32)
    assert bottleneck_candidates(graph_def, "Mul:0")[-1].tensor == "softmax/logits:0"


def test_a_graph_that_ends_in_pooling_gives_its_output() -> None:
    graph_def = inception_like()
    names = [node.name for node in graph_def.node]
    del graph_def.node[names.index("pool_3") + 1 :]
    assert bottleneck_candidates(graph_def, "Mul:0") == [
        Candidate("pool_3:0", (1, 1, 1, 28), 28, "the graph's output")
    ]


@pytest.mark.parametrize("pixels", ["softmax:0", "unused:0"])
def test_nothing_behind_the_pixels_gives_no_candidates(pixels: str) -> None:
    graph_def = inception_like()
    add_constant(graph_def, "unused", np.zeros(3, np.float32))
    assert bottleneck_candidates(graph_def, pixels) == []


def test_finding_candidates_does_not_change_the_graph() -> None:
    graph_def = inception_like()
    before = graph_def.SerializeToString(deterministic=True)
    bottleneck_candidates(graph_def, "Mul:0")
    assert graph_def.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("file", "pixels", "expected"),
    [
        (
            NEAR_REAL,
            "Mul:0",
            [
                ("pool_3/_reshape:0", 2048),
                ("pool_3:0", 2048),
                ("mixed_10/join:0", 2048),
                ("softmax/logits:0", 1008),
            ],
        ),
        (
            MOBILENET,
            "input:0",
            [
                ("MobilenetV1/Logits/AvgPool_1a/AvgPool:0", 256),
                ("MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6:0", 256),
                ("MobilenetV1/Predictions/Reshape:0", 1001),
            ],
        ),
        (
            MOBILENET_RETRAINED,
            "input:0",
            [
                ("MobilenetV1/Predictions/Reshape:0", 1001),
                ("MobilenetV1/Logits/SpatialSqueeze:0", 1001),
                ("MobilenetV1/Logits/Conv2d_1c_1x1/BiasAdd:0", 1001),
                ("final_training_ops/Wx_plus_b/add:0", 6),
            ],
        ),
    ],
)
def test_real_networks(file: str, pixels: str, expected: list[tuple[str, int]]) -> None:
    found = bottleneck_candidates(read_graph_def(real(file)), pixels)
    assert [(c.tensor, c.depth) for c in found] == expected


def _read(graph):
    return schema.GraphDef.FromString(graph.as_graph_def().SerializeToString())


def _old_dropout(x, keep):
    """tf.nn.dropout until TensorFlow 1.12: floor(keep + random) of x / keep."""
    return x / keep * tf.floor(keep + tf.random.uniform(tf.shape(x)))


def _dropout_of_1_13(x, keep):
    """tf.nn.dropout of TensorFlow 1.13 to 2.4: a product with a cast comparison."""
    kept = tf.random.uniform(tf.shape(x)) >= 1 - keep
    return x * (1 / keep) * tf.cast(kept, tf.float32)


def _dropout_of_today(x, keep):
    return tf.nn.dropout(x, rate=1 - keep)


@pytest.mark.parametrize("dropout", [_old_dropout, _dropout_of_1_13, _dropout_of_today])
def test_what_the_last_layer_classifies_is_named_before_dropout(dropout):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="x")
        keep = tf.compat.v1.placeholder(tf.float32, name="keep_prob")
        pooled = tf.reduce_mean(tf.nn.relu(x, name="map"), [1, 2], name="pooled")
        logits = tf.raw_ops.MatMul(a=dropout(pooled, keep), b=tf.ones([3, 5]))
        tf.nn.softmax(logits, name="result")
    found = bottleneck_candidates(_read(graph), "x:0")
    assert (found[0].tensor, found[0].depth) == ("pooled:0", 3)
    assert found[0].why == f"{CLASSIFIED}, before dropout"
    assert found[1].tensor == "map:0"


def test_a_product_with_a_value_that_is_not_random_is_no_dropout():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="x")
        pooled = tf.reduce_mean(x, [1, 2], name="pooled")
        gated = tf.multiply(pooled * 2, tf.floor(pooled), name="gated")
        tf.matmul(gated, tf.ones([3, 5]), name="logits")
    [first, *_] = bottleneck_candidates(_read(graph), "x:0")
    assert (first.tensor, first.why) == ("gated:0", CLASSIFIED)
