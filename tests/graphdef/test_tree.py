from __future__ import annotations

import numpy as np

from retrain_tools.graphdef.tree import scope_tree

from .tiny_graphs import CLASSES, DEPTH, add, add_constant, empty_graph, inception_like


def test_scopes_count_what_is_in_them() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "a/w", np.zeros((2, 3), np.float32))
    add(graph_def, "a", "Relu", ["a/w"])
    add_constant(graph_def, "a/b/axis", np.int32(0))
    add(graph_def, "c", "NoOp")
    root = scope_tree(graph_def.node)
    assert (root.nodes, root.parameters, root.bytes, root.op) == (4, 6, 28, None)
    assert list(root.children) == ["a", "c"]
    a = root.children["a"]
    assert (a.path, a.op, a.nodes, a.parameters, a.bytes) == ("a", "Relu", 3, 6, 28)
    assert list(a.children) == ["w", "b"]
    axis = a.children["b"].children["axis"]
    assert (axis.path, axis.op, axis.nodes, axis.parameters) == ("a/b/axis", "Const", 1, 0)
    assert a.children["b"].op is None


def test_every_node_is_found_under_its_name() -> None:
    graph_def = inception_like()
    root = scope_tree(graph_def.node)
    assert root.nodes == len(graph_def.node)
    for node in graph_def.node:
        scope = root
        for part in node.name.split("/"):
            scope = scope.children[part]
        assert (scope.path, scope.op) == (node.name, node.op)
    softmax = root.children["softmax"]
    assert softmax.parameters == DEPTH * CLASSES + CLASSES
    total = sum(child.nodes for child in root.children.values())
    assert total == root.nodes
