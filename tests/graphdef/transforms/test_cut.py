from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.transforms.cut import cut
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import (
    DEPTH,
    NEAR_REAL,
    add,
    add_constant,
    empty_graph,
    inception_like,
    jpeg,
    own,
    real,
    run,
)
from .running import apart, assert_not_changed, run_light

FEEDS = {"DecodeJpeg/contents:0": jpeg()}


def names(graph_def: Any) -> set[str]:
    return {node.name for node in graph_def.node}


def cut_of(graph_def: Any, inputs: list[str], outputs: list[str]) -> Any:
    return cut(*apart(graph_def), outputs, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("Mul", "pool_3"),
        ("ResizeBilinear:0", "mixed/join:0"),
        ("mixed/join:0", "softmax"),
        ("DecodeJpeg:0", "softmax"),
        ("DecodeJpeg/contents", "Mul"),
    ],
)
def test_the_part_computes_the_same(start: str, end: str) -> None:
    graph_def = inception_like()
    light, weights = cut_of(graph_def, [start], [end])
    start, end = (name if ":" in name else f"{name}:0" for name in (start, end))
    given, expected = run(graph_def, [start, end], FEEDS)
    if start == "DecodeJpeg/contents:0":
        given = FEEDS[start]
    np.testing.assert_array_equal(run_light(light, weights, end, {start: given}), expected)
    assert len(light.node) < len(graph_def.node)
    assert weights.keys() <= names(light)


def test_two_parts_are_the_whole() -> None:
    graph_def = inception_like()
    body = cut_of(graph_def, ["Mul"], ["pool_3/_reshape"])
    head = cut_of(graph_def, ["pool_3/_reshape"], ["softmax"])
    pixels, expected = run(graph_def, ["Mul:0", "softmax:0"], FEEDS)
    features = run_light(*body, "pool_3/_reshape:0", {"Mul:0": pixels})
    found = run_light(*head, "softmax:0", {"pool_3/_reshape:0": features})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert not body[1].keys() & head[1].keys()


def test_an_input_has_the_type_and_shape_that_its_tensor_had() -> None:
    light, _ = cut_of(inception_like(), ["pool_3/_reshape"], ["softmax"])
    [node] = [n for n in light.node if n.op == "Placeholder" and n.name == "pool_3/_reshape"]
    assert node.attr["dtype"].type == 1
    assert [dim.size for dim in node.attr["shape"].shape.dim] == [1, DEPTH]


def test_without_inputs_all_that_the_outputs_need_stays() -> None:
    graph_def = inception_like()
    light, weights = cut_of(graph_def, [], ["pool_3"])
    expected = run(graph_def, "pool_3:0", FEEDS)
    np.testing.assert_array_equal(run_light(light, weights, "pool_3:0", FEEDS), expected)
    assert "softmax" not in names(light)


def test_a_graph_that_is_the_part_already_stays() -> None:
    said = {"inputs": ["DecodeJpeg/contents:0"], "outputs": ["softmax:0"]}
    assert_not_changed(cut, inception_like(), (), **said)


def halves() -> Any:
    """x in two halves, their product, and the second one plus one."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], "x")
        first, second = tf.split(x, 2, axis=1, name="split")
        tf.multiply(first, second, name="product")
        tf.add(second, 1.0, name="more")
    return own(graph.as_graph_def())


X = np.arange(8, dtype=np.float32).reshape(2, 4)


def test_outputs_of_one_node_are_fed_by_placeholders_of_their_own() -> None:
    light, weights = cut_of(halves(), ["split:0", "split:1"], ["product", "more"])
    assert {"split", "split_1"} < names(light)
    feeds = {"split:0": X[:, :2], "split_1:0": X[:, 2:]}
    product, more = run_light(light, weights, ["product:0", "more:0"], feeds)
    np.testing.assert_array_equal(product, X[:, :2] * X[:, 2:])
    np.testing.assert_array_equal(more, X[:, 2:] + 1)


@pytest.mark.parametrize(("start", "name"), [("split:1", "split_1"), ("split:0", "split_0")])
def test_a_node_whose_other_output_is_used_stays(start: str, name: str) -> None:
    light, weights = cut_of(halves(), [start, "x"], ["product"])
    assert {"split", name} < names(light)
    given = np.full((2, 2), 10, np.float32)
    found = run_light(light, weights, "product:0", {f"{name}:0": given, "x:0": X})
    other = X[:, :2] if start == "split:1" else X[:, 2:]
    np.testing.assert_array_equal(found, given * other)


def test_what_waited_for_an_input_waits_no_more() -> None:
    graph_def = halves()
    nodes_by_name(graph_def)["more"].input.append("^split")
    light, weights = cut_of(graph_def, ["split:1"], ["more"])
    assert "^split" not in nodes_by_name(light)["more"].input
    found = run_light(light, weights, "more:0", {"split_1:0": X[:, 2:]})
    np.testing.assert_array_equal(found, X[:, 2:] + 1)


def test_a_weight_can_be_an_input() -> None:
    graph_def = inception_like()
    light, weights = cut_of(graph_def, ["softmax/weights", "pool_3/_reshape"], ["softmax/logits"])
    assert "softmax/weights" not in weights
    kernel = np.ones((DEPTH, 5), np.float32)
    feeds = {"softmax/weights:0": kernel, "pool_3/_reshape:0": np.ones((1, DEPTH), np.float32)}
    bias = run(graph_def, "softmax/biases:0", {})
    found = run_light(light, weights, "softmax/logits:0", feeds)
    np.testing.assert_allclose(found, [DEPTH + bias], rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["Mul"], [], "outputs names no tensor: say which values are wanted"),
        (["Mul"], ["Mul:0"], "'Mul:0' is an input and an output of the cut: there is nothing"),
        (
            ["softmax"],
            ["pool_3"],
            "'softmax:0' is not used to compute pool_3:0: leave it out",
        ),
        (["Mul"], ["pool_3", "Sub"], "'Sub:0' is not computed from Mul:0: leave it out of outputs"),
        (["Mull"], ["pool_3"], "No tensor 'Mull:0' in the graph .* Did you mean 'Mul:0'"),
        (["Mul:1"], ["pool_3"], "No tensor 'Mul:1' in the graph: the node 'Mul' .* 1 output"),
    ],
)
def test_what_cannot_be_cut_is_said(inputs: list[str], outputs: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cut_of(inception_like(), inputs, outputs)


def test_a_placeholder_that_is_left_is_said() -> None:
    graph_def = inception_like(size=None)
    with pytest.raises(InputError, match="placeholder 'ResizeBilinear/size', too: name it, or a"):
        cut_of(graph_def, ["DecodeJpeg/contents"], ["softmax"])
    light, weights = cut_of(graph_def, ["DecodeJpeg/contents", "ResizeBilinear/size"], ["Mul"])
    found = run_light(light, weights, "Mul:0", {**FEEDS, "ResizeBilinear/size:0": [8, 8]})
    np.testing.assert_array_equal(found, run(inception_like(), "Mul:0", FEEDS))


def test_an_input_of_an_unknown_op_is_said() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "x", X)
    add(graph_def, "odd", "OddOp", ["x"])
    add(graph_def, "y", "Relu", ["odd"], T=tf.float32)
    with pytest.raises(InputError, match="type of 'odd:0' is not known, as its op OddOp is none"):
        cut_of(graph_def, ["odd"], ["y"])


def test_the_graph_of_2015() -> None:
    from retrain_tools.graphdef import schema

    graph_def = schema.GraphDef.FromString(real(NEAR_REAL).read_bytes())
    light, weights = cut_of(graph_def, ["mixed_9/join"], ["pool_3"])
    given = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 2048)).astype(np.float32)
    expected = run(graph_def, "pool_3:0", {"mixed_9/join:0": given})
    found = run_light(light, weights, "pool_3:0", {"mixed_9/join:0": given})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert len(light.node) < 140
