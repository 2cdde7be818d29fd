from __future__ import annotations

import numpy as np

from retrain_tools.graphdef.weights import large_constants, light_copy, stand_in

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
