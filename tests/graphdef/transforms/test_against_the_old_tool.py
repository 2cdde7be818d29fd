"""Our transforms of structure against TensorFlow's own on the same graphs: values, and nodes."""

from __future__ import annotations

import numpy as np
import pytest

from ..tiny_graphs import NEAR_REAL, own, real
from .old_tool import CASES, old_tool, transformed, values

BOTH = {
    "strip_unused_nodes": "same nodes",
    "remove_nodes(op=Identity)": "same data",
    "remove_nodes(op=Identity, op=CheckNumerics)": "same nodes",
    "remove_control_dependencies": "same nodes",
    "remove_attribute(attribute_name=_class)": "same nodes",
    "remove_attribute(attribute_name=_class, op_name=Identity)": "same nodes",
    "rename_attribute(old_attribute_name=_class, new_attribute_name=_was)": "same nodes",
    'set_device(device="/cpu:0")': "same nodes",
    'set_device(device="/cpu:0", if_default=true)': "same nodes",
    "remove_device": "same nodes",
    "add_default_attributes": "same nodes",
    "merge_duplicate_nodes": "same number",
    "sort_by_execution_order": "same nodes",
    "insert_logging(op=MatMul, first_n=0)": "same number",
    "rename_op(old_op_name=Add, new_op_name=AddV2)": "same nodes",
    "remove_nodes(op=Identity) remove_control_dependencies merge_duplicate_nodes "
    "strip_unused_nodes": "same number",
}


def by_name(graph_def: object) -> dict[str, tuple[object, ...]]:
    return {
        node.name: (node.op, sorted(node.input), node.device, sorted(node.attr))
        for node in graph_def.node  # type: ignore[attr-defined]
    }


def data_of(graph_def: object) -> dict[str, list[str]]:
    """The inputs of each node; ours waits for what a removed node waited for, theirs does not."""
    return {
        node.name: [name for name in node.input if not name.startswith("^")]
        for node in graph_def.node  # type: ignore[attr-defined]
    }


@pytest.mark.parametrize("transforms", BOTH)
@pytest.mark.parametrize("case", CASES)
def test_both_compute_the_same_with_the_same_nodes(case: str, transforms: str) -> None:
    graph_def, inputs, outputs, feeds = CASES[case]()
    theirs = old_tool(graph_def, transforms, inputs, outputs)
    ours = transformed(graph_def, transforms, inputs, outputs).graph_def
    for before, one, other in zip(
        values(graph_def, outputs, feeds),
        values(theirs, outputs, feeds),
        values(ours, outputs, feeds),
        strict=True,
    ):
        np.testing.assert_array_equal(other, one)
        np.testing.assert_allclose(other, before, atol=1e-5)
    assert len(ours.node) == len(theirs.node)
    if BOTH[transforms] == "same nodes":
        assert by_name(ours) == by_name(theirs)
    elif BOTH[transforms] == "same data":
        assert data_of(ours) == data_of(theirs)


@pytest.mark.parametrize("case", CASES)
def test_short_names(case: str) -> None:
    """The same names; where nodes are to be on the device of others, the old tool loses these."""
    graph_def, inputs, outputs, feeds = CASES[case]()
    theirs = old_tool(graph_def, "obfuscate_names", inputs, outputs)
    for spelling in ("obfuscate_names", "obsfucate_names"):
        ours = transformed(graph_def, spelling, inputs, outputs).graph_def
        for one, other in zip(
            values(graph_def, outputs, feeds), values(ours, outputs, feeds), strict=True
        ):
            np.testing.assert_array_equal(one, other)
        assert by_name(ours) == by_name(theirs)


def test_renaming_a_node() -> None:
    graph_def, inputs, outputs, feeds = CASES["tiny"]()
    text = "rename_node(old_node_name=mixed/join, new_node_name=other)"
    theirs = old_tool(graph_def, text, inputs, outputs)
    ours = transformed(graph_def, text, inputs, outputs).graph_def
    assert by_name(ours) == by_name(theirs)
    np.testing.assert_array_equal(
        values(ours, outputs, feeds)[0], values(graph_def, outputs, feeds)[0]
    )


def test_the_graph_of_2015() -> None:
    from retrain_tools.sources.readers.graph_def import read_graph_def

    graph_def = read_graph_def(real(NEAR_REAL)).proto
    text = (
        'strip_unused_nodes(type=float, shape="1,299,299,3") '
        "remove_nodes(op=Identity, op=CheckNumerics) merge_duplicate_nodes"
    )
    theirs = own(old_tool(graph_def, text, ["Mul"], ["pool_3"]))
    ours = transformed(graph_def, text, ["Mul"], ["pool_3"]).graph_def
    assert len(ours.node) == len(theirs.node)
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        values(ours, ["pool_3"], {"Mul:0": pixels})[0],
        values(theirs, ["pool_3"], {"Mul:0": pixels})[0],
    )


@pytest.mark.parametrize(
    "text",
    [
        *("a(x", 'a(x="1)', "a, b", "(x=1)", "a(x=1 y=2)", "no_such"),
        *("remove_nodes", "rename_op(old_op_name=A)", "strip_unused_nodes(type=none)"),
        *("remove_attribute", "rename_node(old_node_name=conv)"),
    ],
)
def test_what_one_refuses_the_other_does(text: str) -> None:
    from retrain_tools.errors import InputError

    graph_def, inputs, outputs, _ = CASES["pixels"]()
    with pytest.raises((RuntimeError, ValueError)):
        old_tool(graph_def, text, inputs, outputs)
    with pytest.raises(InputError):
        transformed(graph_def, text, inputs, outputs)
