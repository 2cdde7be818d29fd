"""remove_attribute, rename_attribute, add_default_attributes and rename_op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import own
from .old_tool import bits, tiny, transformed, values


def marked() -> tuple[Any, list[str], list[str], dict[str, Any]]:
    """The little graph with an attribute on all nodes, large constants included."""
    graph_def, inputs, outputs, feeds = tiny()
    for node in graph_def.node:
        node.attr["_mark"].s = node.op.encode()
    return graph_def, inputs, outputs, feeds


def having(graph_def: Any, key: str) -> set[str]:
    return {node.op for node in graph_def.node if key in node.attr}


def assert_same(before: Any, after: Any, outputs: list[str], feeds: dict[str, Any]) -> None:
    for one, other in zip(
        values(before, outputs, feeds), values(after, outputs, feeds), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("op", ["", ", op_name=*"])
def test_an_attribute_goes_from_all_nodes(op: str) -> None:
    graph_def, inputs, outputs, feeds = marked()
    text = f"remove_attribute(attribute_name=_mark{op})"
    result = transformed(graph_def, text, inputs, outputs).graph_def
    assert bits(result) == bits(tiny()[0])
    assert_same(graph_def, result, outputs, feeds)


@pytest.mark.parametrize("op", ["Const", "Conv2D", "Placeholder"])
def test_an_attribute_goes_from_one_op(op: str) -> None:
    graph_def, inputs, outputs, feeds = marked()
    text = f"remove_attribute(attribute_name=_mark, op_name={op})"
    result = transformed(graph_def, text, inputs, outputs).graph_def
    assert having(result, "_mark") == having(graph_def, "_mark") - {op}
    assert_same(graph_def, result, outputs, feeds)


@pytest.mark.parametrize(
    "text",
    [
        "remove_attribute(attribute_name=_no)",
        "remove_attribute(attribute_name=strides, op_name=Relu)",
        "rename_attribute(old_attribute_name=_no, new_attribute_name=_yes)",
        "rename_attribute(old_attribute_name=strides, new_attribute_name=strides)",
        "rename_attribute(old_attribute_name=T, new_attribute_name=U, op_name=NoSuch)",
        "rename_op(old_op_name=NoSuch, new_op_name=Neg)",
        "rename_op(old_op_name=Const, new_op_name=Const)",
        "add_default_attributes",
    ],
)
def test_where_there_is_nothing_to_do_the_graph_stays(text: str) -> None:
    graph_def, inputs, outputs, _ = marked()
    graph_def = transformed(graph_def, "add_default_attributes", inputs, outputs).graph_def
    assert bits(transformed(graph_def, text, inputs, outputs).graph_def) == bits(graph_def)


def test_what_an_op_cannot_do_without_is_not_removed() -> None:
    for text, op, key, node in (
        ("remove_attribute(attribute_name=strides)", "Conv2D", "strides", "conv/Conv2D"),
        ("remove_attribute(attribute_name=value)", "Const", "value", "ExpandDims/dim"),
    ):
        with pytest.raises(InputError) as raised:
            transformed(tiny()[0], text)
        assert str(raised.value) == (
            f"remove_attribute: {op} cannot do without its attribute {key!r}, which the node "
            f"{node!r} has. Name the op to take it from with op_name."
        )
    # The shape of a placeholder is no attribute of the constants that are held apart.
    result = transformed(tiny()[0], "remove_attribute(attribute_name=shape)").graph_def
    assert having(result, "shape") == set()


def test_an_attribute_is_renamed() -> None:
    graph_def, inputs, outputs, feeds = marked()
    text = "rename_attribute(old_attribute_name=_mark, new_attribute_name=_other"
    result = transformed(graph_def, f"{text})", inputs, outputs).graph_def
    assert having(result, "_mark") == set()
    assert {n.attr["_other"].s.decode() for n in result.node} == having(graph_def, "_mark")
    assert_same(graph_def, result, outputs, feeds)
    result = transformed(graph_def, f"{text}, op_name=Relu)", inputs, outputs).graph_def
    assert having(result, "_other") == {"Relu"}
    assert having(result, "_mark") == having(graph_def, "_mark") - {"Relu"}


def test_defaults_are_written_out() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    result = transformed(graph_def, "add_default_attributes", inputs, outputs).graph_def
    convolution = nodes_by_name(result)["conv/Conv2D"]
    assert list(convolution.attr["dilations"].list.i) == [1, 1, 1, 1]
    assert convolution.attr["data_format"].s == b"NHWC"
    assert "dilations" not in nodes_by_name(graph_def)["conv/Conv2D"].attr
    assert_same(graph_def, result, outputs, feeds)


def test_functions_are_changed_too() -> None:
    @tf.function(input_signature=[tf.TensorSpec([1, 2, 2, 1], tf.float32)])
    def pooled(x: Any) -> Any:
        return tf.raw_ops.Neg(x=tf.raw_ops.Identity(input=x))

    graph = tf.Graph()
    with graph.as_default():
        pooled.get_concrete_function()(tf.compat.v1.placeholder(tf.float32, [1, 2, 2, 1], "x"))
    graph_def = own(graph.as_graph_def())
    for node in graph_def.library.function[0].node_def:
        node.attr["_mark"].b = True
    text = "remove_attribute(attribute_name=_mark) rename_op(old_op_name=Neg, new_op_name=Abs)"
    [function] = transformed(graph_def, text).graph_def.library.function
    assert not any("_mark" in node.attr for node in function.node_def)
    assert "Abs" in {node.op for node in function.node_def}


def test_an_op_is_renamed() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    text = "rename_op(old_op_name=Relu, new_op_name=Relu6)"
    result = transformed(graph_def, text, inputs, outputs).graph_def
    assert {n.op for n in result.node} - {n.op for n in graph_def.node} == {"Relu6"}
    [rectified] = values(result, ["conv"], feeds)
    [before] = values(graph_def, ["conv"], feeds)
    np.testing.assert_array_equal(rectified, np.minimum(before, 6))


def test_constants_that_are_held_apart_are_renamed_and_back() -> None:
    graph_def, inputs, outputs, _ = tiny()
    there = "rename_op(old_op_name=Const, new_op_name=MyConst)"
    back = "rename_op(old_op_name=MyConst, new_op_name=Const)"
    result = transformed(graph_def, there, inputs, outputs).graph_def
    assert "Const" not in {node.op for node in result.node}
    weight = nodes_by_name(result)["softmax/weights"]
    assert weight.op == "MyConst"
    assert len(weight.attr["value"].tensor.tensor_content) == 28 * 5 * 4
    both = transformed(graph_def, f"{there} {back}", inputs, outputs).graph_def
    assert bits(both) == bits(graph_def)
    placeholders = "rename_op(old_op_name=Placeholder, new_op_name=PlaceholderV2)"
    result = transformed(graph_def, placeholders, inputs, outputs).graph_def
    assert [n.name for n in result.node if n.op == "PlaceholderV2"] == ["DecodeJpeg/contents"]
