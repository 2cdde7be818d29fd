from __future__ import annotations

import random

import numpy as np

from retrain_tools.graphdef.navigate import node_name
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import own, run
from .old_tool import bits, mobilenet, tiny, transformed, values


def test_each_node_comes_after_its_inputs() -> None:
    graph_def, inputs, outputs, feeds = mobilenet()
    nodes = list(graph_def.node)
    random.Random(0).shuffle(nodes)
    shuffled = type(graph_def)(node=nodes, versions=graph_def.versions)
    result = transformed(shuffled, "sort_by_execution_order", inputs, outputs).graph_def
    seen: set[str] = set()
    for node in result.node:
        assert seen.issuperset(map(node_name, node.input))
        seen.add(node.name)
    assert len(seen) == len(nodes)
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


def test_a_graph_in_such_an_order_stays_as_it_is() -> None:
    graph_def, inputs, outputs, _ = tiny()
    result = transformed(graph_def, "sort_by_execution_order", inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)


def test_loops_have_an_order_too() -> None:
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.disable_control_flow_v2()
        start = tf.compat.v1.placeholder(tf.float32, [], "x")
        done = tf.compat.v1.while_loop(lambda x: x < 100, lambda x: x * 2, [start])
        tf.raw_ops.Neg(x=done, name="y")
        tf.compat.v1.enable_control_flow_v2()
    graph_def = own(graph.as_graph_def())
    assert "NextIteration" in {node.op for node in graph_def.node}
    turned = type(graph_def)(node=list(graph_def.node)[::-1], versions=graph_def.versions)
    for text in ("sort_by_execution_order", "merge_duplicate_nodes", "remove_nodes(op=Identity)"):
        result = transformed(turned, text, ["x"], ["y"]).graph_def
        assert run(result, "y:0", {"x:0": 3.0}) == -192
