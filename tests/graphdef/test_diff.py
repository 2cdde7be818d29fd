"""Differences of graphs: small ones by hand, random ones against networkx and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.diff import (
    AttributesChanged,
    Difference,
    InputsChanged,
    ValuesChanged,
    compare_graphs,
)
from retrain_tools.quiet_tensorflow import tf

from .random_graphs import as_networkx, graphs
from .tiny_graphs import (
    MOBILENET,
    add,
    add_constant,
    empty_graph,
    inception_like,
    real,
    reverse_nodes,
)


def copy_of(graph_def: Any) -> Any:
    return type(graph_def).FromString(graph_def.SerializeToString())


def changed(before: Any, after: Any) -> Difference:
    """The difference, which must read the same from the other side."""
    there, back = compare_graphs(before, after), compare_graphs(after, before)
    assert (there.added, there.same) == (back.removed, back.same)
    assert sorted(node.name for node in there.values_changed) == sorted(
        n.name for n in back.values_changed
    )
    assert {(w.name, w.before, w.after) for w in there.inputs_changed} == {
        (w.name, w.after, w.before) for w in back.inputs_changed
    }
    return there


def test_a_graph_is_the_same_as_itself_in_any_order_and_class() -> None:
    graph_def = inception_like()
    private = schema.GraphDef.FromString(graph_def.SerializeToString())
    for other in (graph_def, reverse_nodes(graph_def), private):
        difference = changed(graph_def, other)
        assert difference.is_empty
        assert difference.same == len(graph_def.node)


def test_ways_of_writing_the_same_are_no_difference() -> None:
    before = empty_graph()
    add(before, "x", "Placeholder", dtype=tf.float32)
    add(before, "y", "NoOp")
    add(before, "z", "Relu", ["x", "^y", "^x"], T=tf.float32)
    add(before, "p", "Softmax", ["z"], T=tf.float32)
    add_constant(before, "c", np.full((2, 2), 3, np.float32))
    after = copy_of(before)
    after.node[2].input[:] = ["x:0", "^x", "^y"]
    after.node[0].attr["shape"].shape.unknown_rank = True  # the default
    value = after.node[4].attr["value"].tensor
    value.ClearField("float_val")
    value.tensor_content = np.full((2, 2), 3, np.float32).tobytes()
    assert changed(before, after).is_empty


def test_added_and_removed_nodes_in_the_order_of_their_files() -> None:
    before, after = empty_graph(), empty_graph(9)
    for graph_def, names in ((before, "abcd"), (after, "zdya")):
        for name in names:
            add(graph_def, name, "NoOp")
    difference = changed(before, after)
    assert (difference.added, difference.removed) == (("z", "y"), ("b", "c"))
    assert difference.versions == (8, 9)
    assert not difference.is_empty


def test_other_ops_attributes_and_inputs() -> None:
    before = inception_like()
    after = copy_of(before)
    nodes = {node.name: node for node in after.node}
    nodes["conv"].op = "Relu6"
    nodes["pool_3"].attr["padding"].s = b"SAME"
    nodes["pool_3"].attr["_mark"].i = 7
    nodes["softmax"].input[0] = "softmax/logits/MatMul"
    nodes["mixed/join"].input[:] = ["mixed/join/concat_dim", "conv", "mixed/conv"]
    difference = changed(before, after)
    assert difference.attributes_changed == (
        AttributesChanged("conv", {"op": "Relu"}, {"op": "Relu6"}),
        AttributesChanged(
            "pool_3",
            {"_mark": None, "padding": "VALID"},
            {"_mark": "7", "padding": "SAME"},
        ),
    )
    assert difference.inputs_changed == (
        InputsChanged(
            "mixed/join",
            ("mixed/join/concat_dim:0", "mixed/conv:0", "conv:0"),
            ("mixed/join/concat_dim:0", "conv:0", "mixed/conv:0"),
        ),
        InputsChanged("softmax", ("softmax/logits:0",), ("softmax/logits/MatMul:0",)),
    )
    assert difference.values_changed == ()
    assert difference.same == len(before.node) - 4


def of_constants(one: Any, other: Any) -> tuple[ValuesChanged, ...]:
    graphs = []
    for value in (one, other):
        graphs.append(empty_graph())
        add_constant(graphs[-1], "c", value)
    return changed(*graphs).values_changed


def test_by_how_much_a_constant_changed() -> None:
    before = np.array([[1, -4], [2, 0]], np.float32)
    after = np.array([[1, -3], [2.5, 0]], np.float32)
    assert of_constants(before, after) == (
        ValuesChanged("c", "float32 [2, 2]", "float32 [2, 2]", 2, 4, 1.0, 0.375, 0.25),
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (np.zeros(2, np.float32), np.ones(2, np.float32), (2, 2, 1.0, 1.0, None)),
        (np.uint8([0, 255]), np.uint8([255, 255]), (1, 2, 255.0, 127.5, 1.0)),
        (np.array([True, False]), np.array([True, True]), (1, 2, 1.0, 0.5, 1.0)),
        (np.array([b"a", b"b"]), np.array([b"a", b"c"]), (1, 2, None, None, None)),
        (np.float32([1, 2]), np.float32([[1, 2]]), (None, 2, None, None, None)),
        (np.float32([1]), np.float64([1]), (None, 1, None, None, None)),
        (np.complex64([3]), np.complex64([3 + 4j]), (1, 1, 4.0, 4.0, 4 / 3)),
    ],
)
def test_constants_of_other_kinds(one: Any, other: Any, expected: tuple[Any, ...]) -> None:
    [found] = of_constants(one, other)
    assert (
        found.changed,
        found.count,
        found.largest,
        found.mean,
        found.largest_relative,
    ) == pytest.approx(expected)


def test_not_a_number_is_the_same_as_itself() -> None:
    assert of_constants(np.float32([np.nan, 1]), np.float32([np.nan, 1])) == ()


PAIRS = hnp.array_shapes(min_dims=0, max_dims=2, max_side=4).flatmap(
    lambda shape: st.tuples(
        *[hnp.arrays(np.float32, shape, elements=st.floats(-100, 100, width=32))] * 2
    )
)


@settings(deadline=None)
@given(PAIRS)
def test_the_change_of_a_constant_is_numpys(pair: tuple[Any, Any]) -> None:
    one, other = pair
    found = of_constants(one, other)
    if np.array_equal(one, other):
        assert found == ()
    else:
        distance = np.abs(one.astype(np.float64) - other)
        assert found[0].changed == np.sum(one != other)
        assert found[0].largest == pytest.approx(distance.max())
        assert found[0].mean == pytest.approx(distance.mean())


@settings(deadline=None)
@given(graphs(), graphs())
def test_random_graphs_against_networkx(before: Any, after: Any) -> None:
    difference = changed(before, after)
    one, other = as_networkx(before), as_networkx(after)
    assert set(difference.added) == set(other) - set(one)
    assert set(difference.removed) == set(one) - set(other)
    shared = set(one) & set(other)
    ops = [{node.name: node.op for node in graph_def.node} for graph_def in (before, after)]
    assert {n.name for n in difference.attributes_changed} == {
        n for n in shared if ops[0][n] != ops[1][n]
    }
    # A node with other predecessors has changed inputs; one without changed inputs has the same.
    inputs_changed = {wires.name for wires in difference.inputs_changed}
    differs = {n for n in shared if set(one.predecessors(n)) != set(other.predecessors(n))}
    assert differs <= inputs_changed <= shared
    touched = inputs_changed | {node.name for node in difference.attributes_changed}
    assert difference.same == len(shared - touched)


@settings(deadline=None)
@given(graphs(), st.data())
def test_a_mutation_is_found(before: Any, data: st.DataObject) -> None:
    after = copy_of(before)
    index = data.draw(st.integers(0, len(after.node) - 1))
    node = after.node[index]
    how = data.draw(st.sampled_from(("op", "input", "attribute", "remove")))
    if how == "op":
        node.op = "Changed"
    elif how == "input":
        node.input.insert(0, "elsewhere")
    elif how == "attribute":
        node.attr["new"].i = 1
    else:
        del after.node[index]
    difference = changed(before, after)
    name = before.node[index].name
    found = {
        "op": [n.name for n in difference.attributes_changed],
        "attribute": [n.name for n in difference.attributes_changed],
        "input": [n.name for n in difference.inputs_changed],
        "remove": list(difference.removed),
    }[how]
    assert found == [name]
    assert difference.same == len(before.node) - 1


def test_a_retrained_network_against_the_one_it_came_from() -> None:
    from tests.opening import read_graph_def

    from .tiny_graphs import MOBILENET_RETRAINED

    before = read_graph_def(real(MOBILENET))
    after = read_graph_def(real(MOBILENET_RETRAINED))
    difference = changed(before, after)
    assert difference.removed == (
        "MobilenetV1/Predictions/Softmax",
        "MobilenetV1/Predictions/Shape",
        "MobilenetV1/Predictions/Reshape_1",
    )
    assert len(difference.added) == 8
    assert difference.added[-1] == "final_result"
    assert (
        difference.inputs_changed
        == difference.values_changed
        == difference.attributes_changed
        == ()
    )
