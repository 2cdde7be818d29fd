"""rename_node and obfuscate_names."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.note import Note, read_labels, read_note, write_labels, write_note
from retrain_tools.graphdef.transforms.apply import End
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, empty_graph, run
from .old_tool import bits, mobilenet, tiny, transformed, values


def test_a_node_gets_another_name() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    text = "rename_node(old_node_name=conv/CheckNumerics, new_node_name=checked)"
    result = transformed(graph_def, text, inputs, outputs).graph_def
    nodes = nodes_by_name(result)
    assert list(nodes["conv/control_dependency"].input) == ["conv/batchnorm", "^checked"]
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


def test_inputs_outputs_and_weights_are_followed() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    text = (
        "rename_node(old_node_name=softmax, new_node_name=final_result) "
        "rename_node(old_node_name=DecodeJpeg/contents, new_node_name=photo) "
        "rename_node(old_node_name=softmax/weights, new_node_name=w)"
    )
    made = transformed(graph_def, text, inputs, outputs)
    assert made.inputs == (End("DecodeJpeg/contents:0", "photo:0"),)
    assert made.outputs == (End("softmax:0", "final_result:0"), End("pool_3:0", "pool_3:0"))
    [data] = feeds.values()
    np.testing.assert_array_equal(
        run(made.graph_def, "final_result:0", {"photo:0": data}),
        values(graph_def, ["softmax"], feeds)[0],
    )
    assert nodes_by_name(made.graph_def)["w"].op == "Const"


def test_other_outputs_of_a_node_and_its_place_are_followed() -> None:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32)
    add(graph_def, "u", "Unique", ["x"], T=tf.float32, out_idx=tf.int32)
    add(graph_def, "y", "Neg", ["u:1"], T=tf.int32)
    graph_def.node[2].attr["_class"].list.s.extend([b"loc:@u", b"loc:@x", b"other"])
    text = "rename_node(old_node_name=u, new_node_name=unique)"
    node = transformed(graph_def, text, ["x"], ["y"]).graph_def.node[2]
    assert list(node.input) == ["unique:1"]
    assert list(node.attr["_class"].list.s) == [b"loc:@unique", b"loc:@x", b"other"]


def test_a_name_that_stays_changes_nothing() -> None:
    graph_def, inputs, outputs, _ = tiny()
    text = "rename_node(old_node_name=conv, new_node_name=conv)"
    assert bits(transformed(graph_def, text, inputs, outputs).graph_def) == bits(graph_def)
    ends = [node.name for node in graph_def.node]
    result = transformed(graph_def, "obfuscate_names", ends[:1], ends).graph_def
    assert bits(result) == bits(graph_def)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("konv", "a", "rename_node: No node 'konv'. Did you mean 'conv'?"),
        ("conv", "pool_3", "rename_node: There is a node 'pool_3' already."),
        ("conv", "a:0", "rename_node: 'a:0' is no name of a node."),
        ("conv", "^a", "rename_node: '^a' is no name of a node."),
        ("conv", '""', "rename_node: '' is no name of a node."),
    ],
)
def test_errors(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        transformed(tiny()[0], f"rename_node(old_node_name={old}, new_node_name={new})")
    assert str(raised.value) == message


def test_short_names_leave_inputs_and_outputs() -> None:
    graph_def, inputs, outputs, feeds = mobilenet()
    result = transformed(graph_def, "obfuscate_names", inputs, outputs).graph_def
    nodes = nodes_by_name(result)
    assert {*inputs, *outputs} <= set(nodes)
    assert max(len(name) for name in nodes if name not in (*inputs, *outputs)) == 2
    assert len(bits(result)) < len(bits(graph_def)) - 50_000
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


def test_a_short_name_that_an_output_has_is_left_out() -> None:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32)
    add(graph_def, "y", "Neg", ["x"], T=tf.float32)
    add(graph_def, "0", "Neg", ["y"], T=tf.float32)
    result = transformed(graph_def, "obfuscate_names", ["x"], ["0"]).graph_def
    assert [node.name for node in result.node] == ["x", "1", "0"]
    assert run(result, "0:0", {"x:0": 2.0}) == 2
    text = "obfuscate_names(inputs=y)"  # of its own, instead of the graph's
    assert [n.name for n in transformed(graph_def, text, ["x"], ["0"]).graph_def.node] == [
        "1", "y", "0",
    ]  # fmt: skip


def test_the_note_of_a_graph_is_followed() -> None:
    graph_def, inputs, outputs, _ = tiny()
    note = Note("x", "resize", 1.0, 2.0, "pool_3/_reshape:0", "softmax:0", {"a": "conv:0"})
    write_note(graph_def, "Mul:0", note)
    write_labels(graph_def, "softmax:0", ["a", "b"])
    text = "rename_node(old_node_name=conv, new_node_name=first)"
    result = transformed(graph_def, text, inputs, outputs).graph_def
    assert read_note(result) == Note(**{**vars(note), "end_points": {"a": "first:0"}})
    result = transformed(graph_def, "obfuscate_names", inputs, outputs).graph_def
    found = read_note(result)
    assert found is not None
    assert found.end_points == {}
    assert found.final == "softmax:0"
    assert found.bottleneck not in (None, "pool_3/_reshape:0")
    assert read_labels(result) == ["a", "b"]
    nodes_by_name(graph_def)["Mul"].attr["_retrain_tools"].s = b"no JSON"
    result = transformed(graph_def, text, inputs, outputs).graph_def
    assert nodes_by_name(result)["Mul"].attr["_retrain_tools"].s == b"no JSON"
