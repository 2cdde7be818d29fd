from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.graphdef.weights import import_light, large_constants, light_copy, stand_in
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import add, add_constant, empty_graph, inception_like, jpeg, run


def test_constants_of_more_than_16_values_are_held_apart() -> None:
    graph_def = empty_graph()
    for name, value in {
        "kept": np.arange(16, dtype=np.float32),
        "apart": np.arange(17, dtype=np.float32).reshape(1, 17),
        "empty": np.zeros((0, 40), np.float32),
        "words": np.array([b"w"] * 20),
    }.items():
        add_constant(graph_def, name, value)
    light, weights = light_copy(graph_def), large_constants(graph_def)
    assert {node.name: node.op for node in light.node} == {
        "kept": "Const",
        "apart": "Placeholder",
        "empty": "Const",
        "words": "Placeholder",
    }
    assert set(weights) == {"apart", "words"}
    np.testing.assert_array_equal(weights["apart"], [np.arange(17)])
    assert light.node[1] == stand_in("apart", weights["apart"])


def test_only_wanted_nodes_are_taken() -> None:
    graph_def = inception_like()

    def is_wanted(node: object) -> bool:
        return node.name.startswith("softmax/")  # type: ignore[attr-defined]

    light = light_copy(graph_def, is_wanted)
    assert all(node.name.startswith("softmax/") for node in light.node)
    assert set(large_constants(graph_def, is_wanted)) == {"softmax/weights"}
    assert light.versions.producer == 8


def test_a_light_graph_with_its_weights_computes_the_same() -> None:
    graph_def = inception_like()
    light, weights = light_copy(graph_def), large_constants(graph_def)
    assert light.ByteSize() < graph_def.ByteSize()
    image = jpeg()
    with tf.Graph().as_default() as graph:
        tensors = {name: tf.constant(value) for name, value in weights.items()}
        [fetch] = import_light(light, tensors, ["softmax:0"])
    with tf.compat.v1.Session(graph=graph) as session:
        found = session.run(fetch, {"DecodeJpeg/contents:0": image})
    expected = run(graph_def, "softmax:0", {"DecodeJpeg/contents:0": image})
    np.testing.assert_array_equal(found, expected)


def test_weights_that_no_node_takes_are_no_error() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "unused", np.zeros(40, np.float32))
    add_constant(graph_def, "c", np.float32(2))
    add(graph_def, "y", "Neg", ["c"], T=tf.float32)
    with tf.Graph().as_default() as graph:
        import_light(light_copy(graph_def), {"unused": tf.zeros(40)})
    with tf.compat.v1.Session(graph=graph) as session:
        assert session.run("y:0") == -2


def test_a_light_graph_that_does_not_fit_is_refused() -> None:
    light = light_copy(inception_like())
    with tf.Graph().as_default(), pytest.raises(ValueError, match="conv"):
        import_light(light, {"conv/conv2d_params": tf.zeros([2, 2])})
