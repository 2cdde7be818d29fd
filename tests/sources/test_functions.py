"""Calls of functions, written out: names, nesting, and functions that would never end."""

from __future__ import annotations

from typing import Any

import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.sources.freezing.functions import inline_calls


def call(graph_def: Any, name: str, function: str, source: str) -> None:
    node = graph_def.add(name=name, op="PartitionedCall", input=[source])
    node.attr["f"].func.name = function
    node.attr["Tout"].list.type.append(1)


def identity(nodes: Any, name: str, source: str) -> None:
    nodes.add(name=name, op="Identity", input=[source]).attr["T"].type = 1


def function(graph_def: Any, name: str, result: str) -> Any:
    made = graph_def.library.function.add()
    made.signature.name = name
    made.signature.input_arg.add(name="x", type=1)
    made.signature.output_arg.add(name="y", type=1)
    made.ret["y"] = result
    return made


def graph() -> Any:
    graph_def = schema.GraphDef()
    graph_def.node.add(name="input", op="Placeholder").attr["dtype"].type = 1
    return graph_def


def test_names_are_the_shortest_that_are_free() -> None:
    graph_def = graph()
    call(graph_def.node, "first", "f", "input")
    call(graph_def.node, "second", "f", "first")
    identity(graph_def.node, "end", "second:0")
    outer = function(graph_def, "f", "inner:output:0")
    call(outer.node_def, "inner", "g", "x")
    identity(function(graph_def, "g", "conv/Relu:output:0").node_def, "conv/Relu", "x")
    inlined = inline_calls(graph_def, "it")
    assert {node.name: list(node.input) for node in inlined.graph_def.node} == {
        "input": [],
        "conv/Relu": ["input"],
        "inner/conv/Relu": ["conv/Relu"],
        "end": ["inner/conv/Relu"],
    }
    assert inlined.tensors["first:0"] == "conv/Relu:0"
    assert "input:0" not in inlined.tensors  # it keeps its name


def test_outputs_of_several_tensors_are_counted() -> None:
    graph_def = graph()
    call(graph_def.node, "c", "f", "input")
    made = function(graph_def, "f", "split:output:2")
    node = made.node_def.add(name="split", op="Split", input=["axis:output:0", "x"])
    node.attr["num_split"].i = 3
    made.node_def.add(name="axis", op="Const")
    assert inline_calls(graph_def, "it").tensors["c:0"] == "split:2"


def test_a_function_that_calls_itself() -> None:
    graph_def = graph()
    call(graph_def.node, "c", "f", "input")
    call(function(graph_def, "f", "again:output:0").node_def, "again", "f", "x")
    with pytest.raises(InputError, match="the function 'f' calls itself"):
        inline_calls(graph_def, "it")


def test_functions_that_double_each_time() -> None:
    graph_def = graph()
    call(graph_def.node, "c", "f0", "input")
    for level in range(40):
        body = function(graph_def, f"f{level}", "b:output:0").node_def
        call(body, "a", f"f{level + 1}", "x")
        call(body, "b", f"f{level + 1}", "a:output:0")
    identity(function(graph_def, "f40", "i:output:0").node_def, "i", "x")
    with pytest.raises(InputError, match="written out, have 1,099,511,627,777 nodes of"):
        inline_calls(graph_def, "it")


@pytest.mark.parametrize(
    ("result", "words"),
    [("gone:output:0", "which nothing makes"), ("i:unheard:0", "uses 'i:unheard:0' of op")],
)
def test_damaged_functions(result: str, words: str) -> None:
    graph_def = graph()
    call(graph_def.node, "c", "f", "input")
    identity(function(graph_def, "f", result).node_def, "i", "x")
    with pytest.raises(InputError, match=words):
        inline_calls(graph_def, "it")


def test_a_missing_function() -> None:
    graph_def = graph()
    call(graph_def.node, "c", "nowhere", "input")
    with pytest.raises(InputError, match="calls 'nowhere', which it does not hold"):
        inline_calls(graph_def, "it")


def test_functions_that_call_each_other_ten_times_are_refused_before_they_are_written_out() -> None:
    graph_def = graph()
    call(graph_def.node, "c", "f0", "input")
    for number in range(10):
        made = function(graph_def, f"f{number}", "call9:output:0")
        for one in range(10):
            call(made.node_def, f"call{one}", f"f{number + 1}", "x")
    identity(function(graph_def, "f10", "end:output:0").node_def, "end", "x")
    with pytest.raises(InputError) as raised:
        inline_calls(graph_def, "it")
    assert str(raised.value).startswith(
        "it cannot be frozen: its functions, written out, have 10,000,000,001 nodes of "
    )


def test_a_large_constant_that_would_be_written_a_thousand_times_is_refused() -> None:
    graph_def = graph()
    made = function(graph_def, "f", "end:output:0")
    identity(made.node_def, "end", "x")
    large = made.node_def.add(name="large", op="Const")
    large.attr["value"].tensor.tensor_content = bytes(1_000_000)
    for one in range(1000):
        call(graph_def.node, f"c{one}", "f", "input")
    with pytest.raises(InputError, match=r"have 2,001 nodes of 1,0\d\d,\d{3},\d{3} bytes\.$"):
        inline_calls(graph_def, "it")
