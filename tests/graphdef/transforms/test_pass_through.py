from __future__ import annotations

import numpy as np

from retrain_tools.graphdef.transforms.pass_through import remove_pass_through
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, jpeg, run


def test_the_same_values_from_fewer_nodes() -> None:
    graph_def = inception_like()
    result = remove_pass_through(graph_def, {})[0]
    assert len(graph_def.node) - len(result.node) == 4
    assert not {"Identity", "CheckNumerics"} & {node.op for node in result.node}
    feeds = {"DecodeJpeg/contents:0": jpeg()}
    np.testing.assert_array_equal(
        run(result, "softmax:0", feeds), run(graph_def, "softmax:0", feeds)
    )


def test_chains_and_later_outputs_are_followed() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "axis", np.int32(0))
    add_constant(graph_def, "c", np.array([1.0, 2.0], np.float32))
    add(graph_def, "split", "Split", ["axis", "c"], T=tf.float32, num_split=2)
    add(graph_def, "i", "Identity", ["split:1", "^c"], T=tf.float32)
    add(graph_def, "j", "StopGradient", ["i:0"], T=tf.float32)
    add(graph_def, "n", "NoOp", ["^j", "^split"])
    add(graph_def, "y", "Neg", ["j", "^i", "^n"], T=tf.float32)
    result = remove_pass_through(graph_def, {})[0]
    inputs = {node.name: list(node.input) for node in result.node}
    assert inputs["y"] == ["split:1", "^n"]
    assert inputs["n"] == ["^split"]
    assert run(result, "y:0", {}).tolist() == [-2.0]


def test_kept_nodes_stay() -> None:
    graph_def = inception_like()
    result = remove_pass_through(graph_def, {}, keep=["conv/CheckNumerics"])[0]
    names = {node.name for node in result.node}
    assert "conv/CheckNumerics" in names
    assert "conv/control_dependency" not in names


def test_the_graph_itself_is_not_changed() -> None:
    graph_def = inception_like()
    before = graph_def.SerializeToString(deterministic=True)
    remove_pass_through(graph_def, {})[0]
    assert graph_def.SerializeToString(deterministic=True) == before
