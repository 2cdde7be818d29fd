from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.tiny_graphs import add, add_constant, empty_graph, inception_like, jpeg, run


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
