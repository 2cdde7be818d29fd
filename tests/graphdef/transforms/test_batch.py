from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.navigate import constant_value, nodes_by_name
from retrain_tools.graphdef.transforms.batch import make_batchable
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run


def reshaping(shape: list[int]) -> Any:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 2, 3]))
    add_constant(graph_def, "shape", np.array(shape, np.int32))
    add(graph_def, "y", "Reshape", ["x", "shape"], T=tf.float32, Tshape=tf.int32)
    return graph_def


def opened_graph(graph_def: Any) -> Any:
    return make_batchable(graph_def, {}, pixel_input="x:0")[0]


def target(graph_def: Any) -> list[int]:
    nodes = nodes_by_name(graph_def)
    return constant_value(nodes, nodes["y"].input[1]).tolist()


@pytest.mark.parametrize(
    ("shape", "opened"),
    [
        ([1, 6], [-1, 6]),
        ([1, -1], [-1, 6]),
        ([1, 3, 2], [-1, 3, 2]),
        ([1, 1, -1, 3], [-1, 1, 2, 3]),
        ([-1, 6], [-1, 6]),
        ([6, -1], [6, -1]),
        ([1], [1]),
        ([6], [6]),
    ],
)
def test_a_leading_1_is_opened(shape: list[int], opened: list[int]) -> None:
    assert target(opened_graph(reshaping(shape))) == opened


@pytest.mark.parametrize("shape", [[1, 6], [1, -1], [1, 1, -1, 3]])
def test_a_batch_is_each_image_reshaped(shape: list[int]) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    found = run(opened_graph(reshaping(shape)), "y:0", {"x:0": x})
    np.testing.assert_array_equal(found, np.concatenate([r.reshape(shape) for r in x]))


def test_an_unknown_flattening_stays_as_it_is() -> None:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, None, 3]))
    add_constant(graph_def, "shape", np.array([1, -1], np.int32))
    add(graph_def, "y", "Reshape", ["x", "shape"], T=tf.float32)
    assert target(opened_graph(graph_def)) == [1, -1]


def test_a_computed_shape_stays_as_it_is() -> None:
    graph_def = reshaping([1, 6])
    add(graph_def, "computed", "Neg", ["shape"], T=tf.int32)
    nodes_by_name(graph_def)["y"].input[1] = "computed"
    assert list(opened_graph(graph_def).node) == list(graph_def.node)


def test_only_what_follows_the_entrance_is_opened() -> None:
    graph_def = reshaping([1, 6])
    add(graph_def, "side", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([2, 3]))
    add(graph_def, "z", "Reshape", ["side", "shape"], T=tf.float32)
    nodes = nodes_by_name(opened_graph(graph_def))
    assert nodes["z"].input[1] == "shape"
    assert constant_value(nodes, "shape").tolist() == [1, 6]
    assert nodes["y"].input[1] == "y/batch_shape"


def test_the_new_constant_takes_no_name_that_is_there() -> None:
    graph_def = reshaping([1, 6])
    add_constant(graph_def, "y/batch_shape", np.int32(0))
    assert nodes_by_name(opened_graph(graph_def))["y"].input[1] == "y/batch_shape_1"


def test_the_graph_itself_is_not_changed() -> None:
    graph_def = reshaping([1, -1])
    before = graph_def.SerializeToString(deterministic=True)
    opened_graph(graph_def)
    assert graph_def.SerializeToString(deterministic=True) == before
