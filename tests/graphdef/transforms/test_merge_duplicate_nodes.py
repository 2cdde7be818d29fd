from __future__ import annotations

from typing import Any

import numpy as np

from retrain_tools.graphdef.transforms.merge_duplicate_nodes import merge_duplicate_nodes
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run
from .old_tool import bits, lstm, tiny, transformed, values


def twice(outputs: int = 1) -> Any:
    """Everything twice: kernels, shapes, and two layers each."""
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 6]))
    kernel = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    for side in "ab":
        add_constant(graph_def, f"{side}/w", kernel)
        add_constant(graph_def, f"{side}/one", np.float32(1))
        add(graph_def, f"{side}/m", "MatMul", ["x", f"{side}/w"], T=tf.float32)
        add(graph_def, f"{side}/n", "Add", [f"{side}/m", f"{side}/one"], T=tf.float32)
    graph_def.node[-2].attr["transpose_a"].b = False  # what it is anyway
    add(graph_def, "y", "Sub", ["a/n", "b/n:0", "^a/m", "^b/m"], T=tf.float32)
    return graph_def


def names(graph_def: Any) -> list[str]:
    return [node.name for node in graph_def.node]


def test_what_is_the_same_is_computed_once() -> None:
    graph_def, inputs, outputs, feeds = lstm()
    result = transformed(graph_def, "merge_duplicate_nodes", inputs, outputs).graph_def
    assert (len(graph_def.node), len(result.node)) == (529, 432)
    np.testing.assert_array_equal(
        values(result, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


def test_whole_branches_are_merged() -> None:
    graph_def = twice()
    result = transformed(graph_def, "merge_duplicate_nodes", ["x"], ["y"]).graph_def
    assert names(result) == ["x", "a/w", "a/one", "a/m", "a/n", "y"]
    assert list(result.node[-1].input) == ["a/n", "a/n:0", "^a/m"]
    assert run(result, "y:0", {"x:0": np.ones((2, 6))}).tolist() == [[0] * 6] * 2


def test_what_is_to_be_kept_stays_and_stands_for_the_others() -> None:
    graph_def = twice()
    rows = np.ones((2, 6), np.float32)
    result = transformed(graph_def, "merge_duplicate_nodes", ["x"], ["y", "b/m"]).graph_def
    assert names(result) == ["x", "a/w", "a/one", "a/n", "b/m", "y"]
    np.testing.assert_array_equal(
        run(result, "b/m:0", {"x:0": rows}), run(graph_def, "b/m:0", {"x:0": rows})
    )
    result = transformed(graph_def, "merge_duplicate_nodes", ["x"], ["a/n", "b/n"]).graph_def
    assert {"a/n", "b/n"} < set(names(result))
    assert not {"b/m", "b/w", "b/one"} & set(names(result))


def test_a_graph_without_duplicates_stays_as_it_is() -> None:
    graph_def, inputs, outputs, _ = tiny()
    result = transformed(graph_def, "merge_duplicate_nodes", inputs, outputs).graph_def
    assert bits(result) == bits(graph_def)


def different(change: Any) -> list[str]:
    graph_def = twice()
    change({node.name: node for node in graph_def.node}, graph_def)
    return names(transformed(graph_def, "merge_duplicate_nodes", ["x"], ["y"]).graph_def)


def test_what_differs_is_not_merged() -> None:
    def attribute(nodes: dict[str, Any], _: Any) -> None:
        nodes["b/m"].attr["transpose_b"].b = True

    def device(nodes: dict[str, Any], _: Any) -> None:
        nodes["b/m"].device = "/cpu:0"

    def waits(nodes: dict[str, Any], _: Any) -> None:
        nodes["b/m"].input.append("^b/one")

    def order(nodes: dict[str, Any], _: Any) -> None:
        nodes["b/n"].input[:] = ["b/one", "b/m"]

    def value(nodes: dict[str, Any], _: Any) -> None:
        nodes["b/one"].attr["value"].tensor.float_val[:] = [2]

    def weight(nodes: dict[str, Any], _: Any) -> None:
        tensor = nodes["b/w"].attr["value"].tensor
        tensor.tensor_content = tensor.tensor_content[:-1] + b"\0"

    def weight_shape(nodes: dict[str, Any], _: Any) -> None:
        nodes["b/w"].attr["value"].tensor.tensor_shape.dim.add(size=1)

    for change in (attribute, device, waits):
        assert "b/m" in different(change)
    assert {"b/n"} == set(different(order)) & {"b/n", "b/m", "b/w", "b/one"}
    assert {"b/n", "b/one"} == set(different(value)) & {"b/n", "b/m", "b/w", "b/one"}
    assert {"b/n", "b/m", "b/w"} == set(different(weight)) & {"b/n", "b/m", "b/w", "b/one"}
    assert "b/w" in different(weight_shape)


def test_what_has_a_state_or_is_not_known_is_not_merged() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "shape", np.array([2], np.int32))
    for name in ("a", "b"):
        add(graph_def, f"random_{name}", "RandomUniform", ["shape"], dtype=tf.float32, T=tf.int32)
        add(graph_def, f"fed_{name}", "Placeholder", dtype=tf.float32)
        add(graph_def, f"custom_{name}", "NoSuchOp", ["shape"])
        add(graph_def, f"state_{name}", "VariableV2", dtype=tf.float32, shape=tf.TensorShape([2]))
        add(graph_def, f"read_{name}", "Identity", ["state_a"], T=tf.float32)
    result = transformed(graph_def, "merge_duplicate_nodes", [], []).graph_def
    assert set(names(graph_def)) - set(names(result)) == {"read_b"}


def test_constants_with_one_value_for_all_and_texts_are_compared() -> None:
    graph_def = empty_graph()
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        node = add_constant(graph_def, name, np.float32(value))
        dims = node.attr["value"].tensor.tensor_shape.dim
        dims.add(size=1000), dims.add(size=1000)
    for name, last in (("d", b"x"), ("e", b"x"), ("f", b"y")):
        add_constant(graph_def, name, np.array([b"t"] * 20 + [last], object))
    light, weights = merge_duplicate_nodes(light_copy(graph_def), large_constants(graph_def))
    assert names(light) == sorted(weights) == ["a", "c", "d", "f"]


def test_zeros_of_either_sign_are_not_the_same() -> None:
    graph_def = empty_graph()
    for name, value in (("a", 0.0), ("b", -0.0), ("c", np.nan), ("d", np.nan)):
        add_constant(graph_def, name, np.full([20], value, np.float32))
    result = transformed(graph_def, "merge_duplicate_nodes").graph_def
    assert names(result) == ["a", "b", "c"]
