from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.transforms.strip_unused_nodes import strip_unused_nodes
from retrain_tools.graphdef.weights import large_constants, light_copy, whole_graph

from ..tiny_graphs import SIZE, inception_like, jpeg, run


def test_what_lies_between_stays_and_computes_the_same() -> None:
    graph_def = inception_like()
    light, weights = strip_unused_nodes(
        light_copy(graph_def), large_constants(graph_def), ["pool_3"], inputs=["Mul:0"]
    )
    result = whole_graph(light, weights)
    nodes = {node.name: node for node in result.node}
    assert nodes["Mul"].op == "Placeholder"
    assert [dim.size for dim in nodes["Mul"].attr["shape"].shape.dim] == [1, SIZE, SIZE, 3]
    assert not {"DecodeJpeg", "softmax"} & set(nodes)
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        run(result, "pool_3:0", {"Mul:0": pixels}), run(graph_def, "pool_3:0", {"Mul:0": pixels})
    )


def test_a_graph_without_anything_unused_stays_as_it_is() -> None:
    graph_def = inception_like()
    light = light_copy(graph_def)
    inputs = ["DecodeJpeg/contents:0"]
    once = strip_unused_nodes(light, {}, ["softmax"], inputs=inputs)[0]
    assert strip_unused_nodes(once, {}, ["softmax"], inputs=inputs)[0] == once
    feeds = {"DecodeJpeg/contents:0": jpeg()}
    np.testing.assert_array_equal(
        run(graph_def, "softmax:0", feeds),
        run(
            whole_graph(once, large_constants(graph_def)),
            "softmax:0",
            feeds,
        ),
    )


def test_nothing_to_keep() -> None:
    with pytest.raises(InputError, match="Nothing would be left: say what is fetched"):
        strip_unused_nodes(inception_like(), {})
