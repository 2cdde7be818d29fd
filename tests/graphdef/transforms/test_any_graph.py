"""Transforms of structure on random graphs: the result is sound, and keeps what it must."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.graphdef.check import check_graph

from ..random_graphs import graphs
from .old_tool import bits, transformed

TEXTS = (
    "strip_unused_nodes",
    "remove_nodes(op=Relu, op=Mystery, op=Add, max_inputs=3)",
    "remove_control_dependencies",
    "set_device(device=x)",
    "add_default_attributes",
    "rename_node(old_node_name=n0, new_node_name=other)",
    "obfuscate_names",
    "insert_logging",
    "merge_duplicate_nodes",
    "sort_by_execution_order",
    "rename_op(old_op_name=Relu, new_op_name=Neg)",
)


@pytest.mark.parametrize("text", TEXTS)
@given(graphs(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_result_is_sound_and_the_graph_itself_stays(
    text: str, graph_def: Any, data: Any
) -> None:
    names = [node.name for node in graph_def.node]
    outputs = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    before = bits(graph_def)
    made = transformed(graph_def, text, [], outputs)
    check_graph(made.graph_def, "the result")
    left = {node.name for node in made.graph_def.node}
    assert {end.after.removesuffix(":0") for end in made.outputs} <= left
    assert bits(graph_def) == before
    # The same again changes nothing more, but for what adds nodes or names.
    if text.partition("(")[0] not in ("insert_logging", "rename_node"):
        again = transformed(made.graph_def, text, [], outputs)
        assert bits(again.graph_def) == bits(made.graph_def)
