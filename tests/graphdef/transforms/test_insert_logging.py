from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, run
from .old_tool import bits, tiny, transformed, values


def printed(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capfd.readouterr().err.splitlines() if "[" in line]


def test_values_are_printed_and_stay_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    graph_def, inputs, outputs, feeds = tiny()
    text = "insert_logging(op=Conv2D, op=AvgPool, show_op=true, show_name=true, message=here, summarize=2)"  # noqa: E501
    result = transformed(graph_def, text, inputs, outputs).graph_def
    before = values(graph_def, outputs, feeds)
    capfd.readouterr()
    after = values(result, outputs[:1], feeds)
    lines = printed(capfd)
    assert [line.partition("[")[0] for line in lines] == [
        "here;Conv2D;conv/Conv2D;", "here;Conv2D;mixed/conv/Conv2D;", "here;AvgPool;pool_3;",
    ]  # fmt: skip
    pooled = before[1].ravel()
    shown = [float(number) for number in lines[2].partition("[")[2].strip("[.]").split()]
    np.testing.assert_allclose(shown, pooled[:2], rtol=1e-5)
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)


def test_what_is_fetched_keeps_its_name() -> None:
    graph_def, inputs, outputs, feeds = tiny()
    result = transformed(graph_def, "insert_logging(op=AvgPool)", inputs, outputs).graph_def
    nodes = nodes_by_name(result)
    assert (nodes["pool_3"].op, nodes["pool_3__value__"].op) == ("Print", "AvgPool")
    assert list(nodes["pool_3"].input) == ["pool_3__value__", "pool_3__value__"]
    assert nodes["pool_3/_reshape"].input[0] == "pool_3"
    np.testing.assert_array_equal(
        values(result, ["pool_3"], feeds)[0], values(graph_def, ["pool_3"], feeds)[0]
    )


def test_how_often_and_by_which_names(capfd: pytest.CaptureFixture[str]) -> None:
    graph_def, inputs, outputs, feeds = tiny()
    text = 'insert_logging(prefix="mixed/", first_n=0)'
    result = transformed(graph_def, text, inputs, outputs).graph_def
    prints = [node for node in result.node if node.op == "Print"]
    # Not the constants, and not the check, whose values nothing takes.
    assert [node.name for node in prints] == [
        "mixed/conv/Conv2D__print__", "mixed/conv/batchnorm__print__",
        "mixed/conv/control_dependency__print__", "mixed/conv__print__", "mixed/join__print__",
    ]  # fmt: skip
    assert {node.attr["first_n"].i for node in prints} == {0}
    assert {node.attr["summarize"].i for node in prints} == {1024}
    capfd.readouterr()
    values(result, ["softmax"], feeds)
    assert printed(capfd) == []


def test_all_nodes_are_logged_without_a_choice(capfd: pytest.CaptureFixture[str]) -> None:
    graph_def, inputs, outputs, feeds = tiny()
    result = transformed(graph_def, "insert_logging(summarize=1)", inputs, outputs).graph_def
    capfd.readouterr()
    [after] = values(result, ["softmax"], feeds)
    assert len(printed(capfd)) == len(result.node) - len(graph_def.node) == 20
    np.testing.assert_allclose(after, values(graph_def, ["softmax"], feeds)[0], atol=1e-6)


def test_each_output_that_is_taken_is_logged(tmp_path: Path) -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "axis", np.int32(0))
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([3]))
    add(graph_def, "s", "Split", ["axis", "x"], T=tf.float32, num_split=3)
    add(graph_def, "y", "Sub", ["s", "s:2"], T=tf.float32)
    result = transformed(graph_def, "insert_logging(op=Split, first_n=0)", ["x"], ["y"]).graph_def
    nodes = nodes_by_name(result)
    assert list(nodes["y"].input) == ["s__print__", "s_2__print__"]
    assert list(nodes["s_2__print__"].input) == ["s:2", "s:2"]
    assert run(result, "y:0", {"x:0": [5, 1, 3]}).tolist() == [2]
    # Of a node with several outputs that is to be kept, what others take is logged.
    kept = transformed(graph_def, "insert_logging(op=Split, first_n=0)", ["x"], ["s", "y"])
    assert nodes_by_name(kept.graph_def)["s"].op == "Split"


def test_a_graph_without_such_nodes_stays_as_it_is() -> None:
    graph_def, inputs, outputs, _ = tiny()
    for text in ("op=MaxPool", "op=Const", "op=Placeholder", "prefix=zzz"):
        result = transformed(graph_def, f"insert_logging({text})", inputs, outputs).graph_def
        assert bits(result) == bits(graph_def)
