from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.transforms.remove_nodes import remove_nodes
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run
from .old_tool import bits, tiny, transformed, values


def inputs_of(graph_def: Any) -> dict[str, list[str]]:
    return {node.name: list(node.input) for node in graph_def.node}


def test_the_same_values_from_fewer_nodes() -> None:
    graph_def, _, outputs, feeds = tiny()
    text = "remove_nodes(op=Identity, op=CheckNumerics)"
    result = transformed(graph_def, text, [], outputs).graph_def
    assert len(graph_def.node) - len(result.node) == 4
    assert not {"Identity", "CheckNumerics"} & {node.op for node in result.node}
    assert inputs_of(result)["conv"] == ["conv/batchnorm"]
    for one, other in zip(
        values(graph_def, outputs, feeds), values(result, outputs, feeds), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_graph_without_such_nodes_stays_as_it_is() -> None:
    graph_def, inputs, outputs, _ = tiny()
    result = transformed(graph_def, "remove_nodes(op=StopGradient)", inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)


def chain() -> Any:
    graph_def = empty_graph()
    add_constant(graph_def, "axis", np.int32(0))
    add_constant(graph_def, "c", np.array([1.0, 2.0], np.float32))
    add(graph_def, "split", "Split", ["axis", "c"], T=tf.float32, num_split=2)
    add(graph_def, "check", "CheckNumerics", ["c"], T=tf.float32, message="c")
    add(graph_def, "i", "Identity", ["split:1", "^check"], T=tf.float32)
    add(graph_def, "j", "Identity", ["i:0"], T=tf.float32)
    add(graph_def, "n", "NoOp", ["^j", "^split"])
    add(graph_def, "y", "Neg", ["j", "^i", "^n"], T=tf.float32)
    return graph_def


def test_what_waited_waits_for_what_was_waited_for() -> None:
    result = transformed(chain(), "remove_nodes(op=Identity)", [], ["y"]).graph_def
    assert inputs_of(result)["y"] == ["split:1", "^check", "^n"]
    assert inputs_of(result)["n"] == ["^split", "^check"]
    assert run(result, "y:0", {}).tolist() == [-2.0]


def test_nodes_to_be_kept_stay() -> None:
    result = transformed(chain(), "remove_nodes(op=Identity)", [], ["y", "i"]).graph_def
    assert inputs_of(result)["y"] == ["i:0", "^n"]
    assert "j" not in inputs_of(result)


def test_a_node_that_changes_the_type_or_gives_more_stays() -> None:
    graph_def = chain()
    add(graph_def, "cast", "Cast", ["y"], SrcT=tf.float32, DstT=tf.int32)
    add(graph_def, "z", "Neg", ["cast"], T=tf.int32)
    text = "remove_nodes(op=Cast, op=Split, max_inputs=2)"
    result = transformed(graph_def, text, [], ["z"]).graph_def
    assert bits(result) == bits(graph_def)


def test_of_more_inputs_the_first_goes_past() -> None:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32)
    add_constant(graph_def, "two", np.float32(2))
    add(graph_def, "scaled", "Mul", ["x", "two"], T=tf.float32)
    add(graph_def, "wait", "NoOp", ["^scaled"])
    add(graph_def, "y", "Neg", ["scaled", "^wait"], T=tf.float32)
    once = transformed(graph_def, "remove_nodes(op=Mul)", ["x"], ["y"]).graph_def
    assert bits(once) == bits(graph_def)
    result = transformed(graph_def, "remove_nodes(op=Mul, max_inputs=2)", ["x"], ["y"]).graph_def
    assert inputs_of(result)["y"] == ["x", "^two", "^wait"]
    assert inputs_of(result)["wait"] == ["^x", "^two"]
    assert run(result, "y:0", {"x:0": 3.0}) == -3


def test_large_constants_are_no_placeholders() -> None:
    graph_def, inputs, outputs, _ = tiny()
    result = transformed(graph_def, "remove_nodes(op=Placeholder)", inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)


def test_errors() -> None:
    with pytest.raises(InputError) as raised:
        remove_nodes(chain(), {}, op=["Identity"], max_inputs=0)
    assert str(raised.value) == "max_inputs=0: a node without inputs has none to go past it."
    with pytest.raises(InputError) as raised:
        transformed(chain(), "remove_nodes", [], ["y"])
    assert str(raised.value) == "remove_nodes needs the argument op: remove_nodes(op=VALUE)"
