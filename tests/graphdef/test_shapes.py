"""Shapes without TensorFlow, against those that TensorFlow infers on importing the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from retrain_tools.engine.shapes import infer_tensors
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import NETWORKS, plan_network
from tests.opening import read_graph_def

from .random_ops import FAMILIES, Maker, graphs
from .tiny_graphs import (
    MOBILENET,
    MOBILENET_QUANTIZED,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    add,
    empty_graph,
    inception_like,
    own,
    pixels_graph,
    real,
    reverse_nodes,
    theirs,
)


def imported(graph_def: Any) -> list[Tensor] | None:
    """Every tensor as TensorFlow sees it; None if it refuses the graph."""
    with tf.Graph().as_default() as graph:
        try:
            tf.compat.v1.import_graph_def(theirs(graph_def), name="")
        except (ValueError, tf.errors.OpError):
            return None
    return [
        Tensor(
            tensor.name,
            tensor.dtype.name,
            None if tensor.shape.rank is None else tuple(tensor.shape.as_list()),
            operation.type,
        )
        for operation in graph.get_operations()
        for tensor in operation.outputs
    ]


def agrees(said: Shape | None, theirs: Shape | None) -> bool:
    """Whether what we say is what TensorFlow says; we may say less."""
    if said is None:
        return True
    if theirs is None or len(said) != len(theirs):
        return False
    return all(one is None or one == other for one, other in zip(said, theirs, strict=True))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_random_nodes(family: Callable[[Maker], None]) -> None:
    seen = []

    @settings(
        max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(graphs(family))
    def check(graph_def: Any) -> None:
        theirs = imported(graph_def)
        mine = {tensor.name: tensor for tensor in list_tensors(graph_def)}
        if theirs is None:
            return  # a node that does not fit its op may have any shape, or none
        assert set(mine) == {tensor.name for tensor in theirs}
        for tensor in theirs:
            said = mine[tensor.name]
            assert (said.dtype, said.op) == (tensor.dtype, tensor.op)
            assert agrees(said.shape, tensor.shape), (said, tensor, graph_def)
            if not tensor.op.startswith(("Placeholder", "Const")):
                seen.append(said.shape == tensor.shape)

    check()
    assert sum(seen) > 0.5 * len(seen) > 0  # and we do say something


@pytest.mark.parametrize("file", [NEAR_REAL, MOBILENET, MOBILENET_RETRAINED, MOBILENET_QUANTIZED])
def test_real_graphs_to_the_last_tensor(file: str) -> None:
    mine = list_tensors(read_graph_def(real(file)))
    assert mine == infer_tensors(read_graph_def(real(file)))


@pytest.mark.parametrize("name", NETWORKS)
def test_slim_networks_to_the_last_tensor(name: str) -> None:
    light = plan_network(name).light
    assert list_tensors(light) == infer_tensors(light)


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_small_graphs_to_the_last_tensor_in_any_order(make: Callable[[], Any]) -> None:
    for graph_def in (make(), reverse_nodes(make())):
        assert list_tensors(graph_def) == infer_tensors(graph_def)
        private = schema.GraphDef.FromString(graph_def.SerializeToString())
        assert list_tensors(private) == list_tensors(graph_def)


def test_a_keras_network_to_the_last_tensor() -> None:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with tf.device("/cpu:0"):
        model = tf.keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3))
        function = tf.function(lambda x: model(x, training=False))
        concrete = function.get_concrete_function(tf.TensorSpec([None, 96, 96, 3]))
        graph_def = own(convert_variables_to_constants_v2(concrete).graph.as_graph_def())
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)
    assert list_tensors(graph_def) == infer_tensors(graph_def)


def test_a_while_loop_is_listed() -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.disable_control_flow_v2()
        tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
        tf.compat.v1.enable_control_flow_v2()
    graph_def = own(graph.as_graph_def())
    theirs = {tensor.name: tensor for tensor in imported(graph_def) or []}
    for tensor in list_tensors(graph_def):
        assert tensor.dtype == theirs[tensor.name].dtype
        assert agrees(tensor.shape, theirs[tensor.name].shape)


# What the file itself says


def with_statement(shape: Any, op: str = "NoSuchOp") -> Any:
    graph_def = empty_graph(24)
    dims = tf.TensorShape([None, 4])
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=dims)
    node = add(graph_def, "y", op, ["x"], T=tf.float32)
    node.attr["_output_shapes"].list.shape.add().CopyFrom(own(tf.TensorShape(shape).as_proto()))
    return graph_def


@pytest.mark.parametrize(
    ("op", "stated", "expected"),
    [
        ("NoSuchOp", [2, None], (2, None)),
        ("NoSuchOp", None, None),
        ("Relu", [7, None], (7, 4)),  # what the rule leaves open
        ("Relu", [7, 5], (None, 4)),  # a statement that the rest of the graph contradicts
        ("Relu", [7, 4, 1], (None, 4)),
    ],
)
def test_shapes_stated_in_the_file(op: str, stated: Any, expected: Shape | None) -> None:
    assert list_tensors(with_statement(stated, op))[1].shape == expected


def test_a_statement_of_another_length_is_left_alone() -> None:
    graph_def = with_statement([7, 4], "Relu")
    graph_def.node[1].attr["_output_shapes"].list.shape.add()
    assert list_tensors(graph_def)[1].shape == (None, 4)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(FAMILIES).flatmap(graphs), st.data())
def test_damaged_nodes_are_listed_all_the_same(graph_def: Any, data: st.DataObject) -> None:
    node = graph_def.node[-1]
    for key in list(node.attr):
        how = data.draw(st.integers(0, 3))
        if how == 0:
            node.attr.pop(key)
        elif how == 1:
            node.attr[key].list.i.append(-3)
        elif how == 2:
            node.attr[key].i = data.draw(st.sampled_from((-1, 0, 1 << 40)))
    del node.input[data.draw(st.integers(0, len(node.input))) :]
    assert {tensor.name.split(":")[0] for tensor in list_tensors(graph_def)} <= {
        node.name for node in graph_def.node
    }
