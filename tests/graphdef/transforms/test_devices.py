"""remove_device, set_device and remove_control_dependencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import own
from .old_tool import bits, tiny, transformed, values


def devices(graph_def: Any) -> set[str]:
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    return {node.device for node in nodes}


def placed() -> Any:
    graph_def = tiny()[0]
    for number, node in enumerate(graph_def.node):
        node.device = ("", "/cpu:0", "/job:worker/task:7")[number % 3]
    return graph_def


def test_no_node_asks_for_a_device() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    result = transformed(placed(), "remove_device", inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)  # large constants, which were held apart, included
    again = transformed(placed(), "set_device", inputs, outputs).graph_def
    assert bits(again) == bits(graph_def)
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


@pytest.mark.parametrize("transform", ["remove_device", "remove_control_dependencies"])
def test_a_graph_without_any_stays_as_it_is(transform: str) -> None:
    graph_def, inputs, outputs, _ = tiny()
    graph_def = transformed(
        graph_def, "remove_control_dependencies remove_device", inputs, outputs
    ).graph_def
    result = transformed(graph_def, transform, inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)


def test_all_ask_for_a_device() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    result = transformed(placed(), 'set_device(device="/cpu:0")', inputs, outputs).graph_def
    assert devices(result) == {"/cpu:0"}
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


def test_those_that_ask_for_none_ask_for_a_device() -> None:
    text = 'set_device(device="/gpu:0", if_default=true)'
    result = transformed(placed(), text).graph_def
    assert devices(result) == {"/cpu:0", "/job:worker/task:7", "/gpu:0"}
    assert [n.device for n in result.node[1:3]] == ["/cpu:0", "/job:worker/task:7"]
    assert bits(transformed(result, text).graph_def) == bits(result)


def test_functions_have_devices_too() -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def negative(x: Any) -> Any:
        with tf.device("/cpu:0"):
            return tf.raw_ops.Neg(x=x)

    graph = tf.Graph()
    with graph.as_default():
        negative.get_concrete_function()(tf.compat.v1.placeholder(tf.float32, [], "x"))
    graph_def = own(graph.as_graph_def())
    assert any("CPU:0" in device for device in devices(graph_def))
    assert devices(transformed(graph_def, "remove_device").graph_def) == {""}


def test_no_node_waits_for_another() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    result = transformed(graph_def, "remove_control_dependencies", inputs, outputs).graph_def
    assert not [name for node in result.node for name in node.input if name.startswith("^")]
    assert len(result.node) == len(graph_def.node)
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )
    # The checks of numbers, which only others waited for, are not computed any more.
    stripped = transformed(
        graph_def, "remove_control_dependencies strip_unused_nodes", inputs, outputs
    )
    assert "CheckNumerics" not in {node.op for node in stripped.graph_def.node}
