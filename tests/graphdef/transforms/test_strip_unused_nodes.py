from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.note import Note, read_labels, read_note, write_labels, write_note
from retrain_tools.graphdef.transforms.strip_unused_nodes import strip_unused_nodes
from retrain_tools.graphdef.weights import large_constants, light_copy, whole_graph
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import SIZE, add, add_constant, empty_graph, inception_like, run
from .old_tool import bits, tiny, tiny_on_pixels, transformed, values


def shape_of(node: Any) -> list[int]:
    return [dim.size for dim in node.attr["shape"].shape.dim]


def test_what_lies_between_stays_and_computes_the_same() -> None:
    graph_def, _, _, feeds = tiny_on_pixels()
    light, weights = strip_unused_nodes(
        light_copy(graph_def), large_constants(graph_def), ["pool_3"], inputs=["Mul:0"]
    )
    result = whole_graph(light, weights)
    nodes = nodes_by_name(result)
    assert nodes["Mul"].op == "Placeholder"
    assert nodes["Mul"].attr["dtype"].type == tf.float32.as_datatype_enum
    assert shape_of(nodes["Mul"]) == [1, SIZE, SIZE, 3]
    assert not {"DecodeJpeg", "softmax", "softmax/weights"} & set(nodes)
    np.testing.assert_array_equal(run(result, "pool_3:0", feeds), run(graph_def, "pool_3:0", feeds))


def test_a_graph_without_anything_unused_stays_as_it_is() -> None:
    graph_def, inputs, outputs, _ = tiny()
    result = transformed(graph_def, "strip_unused_nodes", inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)


def test_type_and_shape_of_all_inputs() -> None:
    graph_def, inputs, outputs, feeds = tiny_on_pixels()
    text = 'strip_unused_nodes(type=float, shape="-1,?,8,3")'
    result = transformed(graph_def, text, inputs, outputs).graph_def
    assert shape_of(nodes_by_name(result)["Mul"]) == [-1, -1, 8, 3]
    assert values(result, ["pool_3"], feeds)[0].shape == (1, 1, 1, 28)


def test_type_and_shape_of_one_input() -> None:
    graph_def = empty_graph()
    for name in "abc":
        add(graph_def, name, "Placeholder", dtype=tf.float32)
    add(graph_def, "x", "Neg", ["c"], T=tf.float32)
    add(graph_def, "sum", "AddN", ["a", "b", "x"], T=tf.float32, N=3)
    text = (
        'strip_unused_nodes(shape="2", name=b, name=x, shape_for_name="", shape_for_name="-1,2", '
        "type_for_name=float32, type_for_name=float)"
    )
    result = transformed(graph_def, text, ["a", "b", "x:0"], ["sum"]).graph_def
    nodes = nodes_by_name(result)
    assert {name: shape_of(node) for name, node in nodes.items() if name != "sum"} == {
        "a": [2], "b": [], "x": [-1, 2],
    }  # fmt: skip
    text = "strip_unused_nodes(name=a, type_for_name=double)"
    nodes = nodes_by_name(transformed(graph_def, text, ["a"], ["a"]).graph_def)
    assert nodes["a"].attr["dtype"].type == tf.float64.as_datatype_enum


def test_an_input_with_a_default_keeps_it_unless_a_type_is_said() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "one", np.float32(1))
    add(graph_def, "keep", "PlaceholderWithDefault", ["one"], dtype=tf.float32, shape=tf.TensorShape([]))  # fmt: skip  # noqa: E501
    add(graph_def, "y", "Neg", ["keep"], T=tf.float32)
    result = transformed(graph_def, "strip_unused_nodes", ["keep"], ["y"]).graph_def
    assert bits(result) == bits(graph_def)
    assert run(result, "y:0", {}) == -1
    result = transformed(graph_def, "strip_unused_nodes(type=float)", ["keep"], ["y"]).graph_def
    assert [node.op for node in result.node] == ["Placeholder", "Neg"]


def test_a_large_constant_can_be_an_input() -> None:
    graph_def, _, _, feeds = tiny_on_pixels()
    result = transformed(graph_def, "strip_unused_nodes", ["Mul", "conv/conv2d_params"], ["pool_3"])
    kernel = nodes_by_name(result.graph_def)["conv/conv2d_params"]
    assert (kernel.op, shape_of(kernel)) == ("Placeholder", [3, 3, 3, 8])
    zeros = {**feeds, "conv/conv2d_params:0": np.zeros((3, 3, 3, 8), np.float32)}
    assert np.ptp(run(result.graph_def, "conv/Conv2D:0", zeros)) == 0


def test_what_an_input_notes_of_the_graph_stays() -> None:
    graph_def, inputs, outputs, _ = tiny_on_pixels()
    note = Note("x", "resize", 1.0, 2.0, "pool_3:0", "softmax:0", {"a": "conv:0"})
    write_note(graph_def, "Mul:0", note)
    write_labels(graph_def, "softmax:0", ["a", "b"])
    result = transformed(graph_def, "strip_unused_nodes", inputs, outputs).graph_def
    assert (read_note(result), read_labels(result)) == (note, ["a", "b"])
    assert json.loads(nodes_by_name(result)["Mul"].attr["_retrain_tools"].s)["source"] == "x"


def test_functions_that_nobody_calls_go() -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def inner(x: Any) -> Any:
        return x + 1

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def outer(x: Any) -> Any:
        return inner(x) * 2

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [], "x")
        called = outer.get_concrete_function()(x)
        tf.raw_ops.Neg(x=x, name="y")
    from ..tiny_graphs import own

    graph_def = own(graph.as_graph_def())
    assert len(graph_def.library.function) == 2
    called = called.op.name if not isinstance(called, list) else called[0].op.name
    result = transformed(graph_def, "strip_unused_nodes", ["x"], [called]).graph_def
    assert len(result.library.function) == 2
    assert run(result, f"{called}:0", {"x:0": 3.0}) == 8
    result = transformed(graph_def, "strip_unused_nodes", ["x"], ["y"]).graph_def
    assert len(result.library.function) == 0
    assert run(result, "y:0", {"x:0": 3.0}) == -3


def split() -> Any:
    graph_def = empty_graph()
    add_constant(graph_def, "axis", np.int32(0))
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([4]))
    add(graph_def, "split", "Split", ["axis", "x"], T=tf.float32, num_split=2)
    add(graph_def, "y", "Sub", ["split", "split:1"], T=tf.float32)
    add(graph_def, "strange", "NoSuchOp", ["x"])
    add(graph_def, "z", "Neg", ["strange"], T=tf.float32)
    return graph_def


@pytest.mark.parametrize(
    ("text", "inputs", "outputs", "message"),
    [
        (
            "strip_unused_nodes", ["split"], ["y"],
            "strip_unused_nodes: The input 'split' (Split) makes several tensors, and 'split:1' is "
            "used as well, so that no placeholder can take its place; the transform cut makes one "
            "for each tensor.",
        ),
        (
            "strip_unused_nodes", ["strange"], ["z"],
            "strip_unused_nodes: The type of 'strange:0' is not known: say it, with type=float.",
        ),
        (
            "strip_unused_nodes(type=flat)", ["x"], ["y"],
            "strip_unused_nodes: No type 'flat'. Did you mean 'float'? There are: float32, ",
        ),
        (
            'strip_unused_nodes(shape="1,a")', ["x"], ["y"],
            "strip_unused_nodes: '1,a' is not a shape: whole numbers with commas between them, and "
            "-1 for an unknown dimension, as -1,299,299,3.",
        ),
        (
            "strip_unused_nodes(name=x, type_for_name=float, type_for_name=int32)", ["x"], ["y"],
            "strip_unused_nodes: name is given 1 times and type_for_name 2 times: each input needs "
            "one of both.",
        ),
        (
            "strip_unused_nodes(name=axes, type_for_name=float)", ["x", "axis"], ["y"],
            "strip_unused_nodes: 'axes' is none of the inputs. Did you mean 'axis'? There are: x, "
            "axis.",
        ),
        (
            "strip_unused_nodes", ["x"], [],
            "strip_unused_nodes: Nothing would be left: say what is fetched, with --outputs.",
        ),
    ],
)  # fmt: skip
def test_errors(text: str, inputs: list[str], outputs: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        transformed(split(), text, inputs, outputs)
    assert str(raised.value).startswith(message)


def test_the_graph_itself_is_not_changed() -> None:
    graph_def = inception_like()
    before = bits(graph_def)
    strip_unused_nodes(graph_def, {}, ["pool_3"], inputs=["Mul"], shape="1,2,3,4")
    assert bits(graph_def) == before
