from __future__ import annotations

import ml_dtypes
import numpy as np

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.navigate import copy_nodes
from retrain_tools.graphdef.weights import large_constants, light_copy, stand_in, whole_graph

from .tiny_graphs import add_constant, empty_graph, inception_like


def test_constants_of_more_than_16_values_are_held_apart() -> None:
    graph_def = empty_graph()
    for name, value in {
        "kept": np.arange(16, dtype=np.float32),
        "apart": np.arange(17, dtype=np.float32).reshape(1, 17),
        "empty": np.zeros((0, 40), np.float32),
        "words": np.array([b"w"] * 20),
    }.items():
        add_constant(graph_def, name, value)
    light, weights = light_copy(graph_def), large_constants(graph_def)
    assert {node.name: node.op for node in light.node} == {
        "kept": "Const",
        "apart": "Placeholder",
        "empty": "Const",
        "words": "Placeholder",
    }
    assert set(weights) == {"apart", "words"}
    np.testing.assert_array_equal(weights["apart"], [np.arange(17)])
    assert light.node[1] == stand_in("apart", weights["apart"])


def test_only_wanted_nodes_are_taken() -> None:
    graph_def = inception_like()

    def is_wanted(node: object) -> bool:
        return node.name.startswith("softmax/")  # type: ignore[attr-defined]

    light = light_copy(graph_def, is_wanted)
    assert all(node.name.startswith("softmax/") for node in light.node)
    assert set(large_constants(graph_def, is_wanted)) == {"softmax/weights"}
    assert light.versions.producer == 8


def test_a_graph_is_put_together_again() -> None:
    graph_def = inception_like()
    node = next(node for node in graph_def.node if node.name == "softmax/weights")
    node.device, node.attr["_note"].s = "/cpu:0", b"x"
    node.input.append("^pool_3")
    result = whole_graph(light_copy(graph_def), large_constants(graph_def))
    assert result == copy_nodes(graph_def, lambda _: True)


def test_constants_of_all_types_are_put_together_again() -> None:
    graph_def = schema.GraphDef()
    for kind in ("float16", "float64", "int8", "uint16", "int64", "bool", "complex64"):
        graph_def.node.add().CopyFrom(new_constant(kind, np.arange(40).astype(kind)))
    bfloat = np.arange(40).astype(ml_dtypes.bfloat16)
    graph_def.node.add().CopyFrom(new_constant("bfloat16", bfloat))
    quantized = np.arange(40, dtype=np.int8).view([("qint8", np.int8)])
    graph_def.node.add().CopyFrom(new_constant("qint8", quantized))
    graph_def.node.add().CopyFrom(new_constant("text", np.array([b"a", b"\xff"] * 20, object)))
    result = whole_graph(light_copy(graph_def), large_constants(graph_def))
    assert result == copy_nodes(graph_def, lambda _: True)


def test_one_value_for_all_stays_one() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "c", np.float32(3)).attr["value"].tensor.tensor_shape.dim.add(size=9**9)
    result = whole_graph(light_copy(graph_def), large_constants(graph_def))
    assert result == copy_nodes(graph_def, lambda _: True)
    assert array(result.node[0].attr["value"].tensor)[5] == 3
