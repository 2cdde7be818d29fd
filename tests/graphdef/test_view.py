from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrain_tools.graphdef.diff import compare_graphs
from retrain_tools.graphdef.navigate import attribute, constant_value, nodes_by_name, nodes_by_op
from retrain_tools.graphdef.note import Note, read_note, write_note
from retrain_tools.graphdef.summarize import summarize
from retrain_tools.graphdef.tensors import (
    consumers_by_tensor,
    graph_inputs,
    graph_outputs,
    list_tensors,
)
from retrain_tools.graphdef.tree import scope_tree
from retrain_tools.graphdef.view import GraphView, view_of
from retrain_tools.graphdef.walks import successors
from retrain_tools.sources.readers.graph_def import read_graph_def

from .tiny_graphs import (
    MOBILENET_QUANTIZED,
    MOBILENET_RETRAINED,
    inception_like,
    pixels_graph,
    real,
    write,
)

LOOKS: dict[str, Callable[[Any, Path], Any]] = {
    "tensors": lambda g, _: list_tensors(g),
    "consumers": lambda g, _: consumers_by_tensor(g),
    "inputs": lambda g, _: graph_inputs(g, list_tensors(g)),
    "outputs": lambda g, _: graph_outputs(g, list_tensors(g)),
    "successors": lambda g, _: successors(g),
    "names": lambda g, _: list(nodes_by_name(g)),
    "ops": lambda g, _: {op: [n.name for n in nodes] for op, nodes in nodes_by_op(g).items()},
    "tree": lambda g, _: scope_tree(g.node),
    "note": lambda g, _: read_note(g),
    "summary": lambda g, path: summarize(g, path),
}


def files(tmp_path: Path) -> list[Path]:
    return [
        write(inception_like(), tmp_path / "inception.pb"),
        write(pixels_graph(), tmp_path / "pixels.pb"),
        real(MOBILENET_RETRAINED),
        real(MOBILENET_QUANTIZED),
    ]


@pytest.mark.parametrize("look", list(LOOKS))
def test_a_view_says_what_the_graph_says(tmp_path: Path, look: str) -> None:
    for path in files(tmp_path):
        expected = LOOKS[look](read_graph_def(path).proto, path)
        view = read_graph_def(path)
        assert LOOKS[look](view, path) == expected
        assert LOOKS[look](view, path) == expected  # the second time, from memory


def test_a_note_is_read_from_a_view() -> None:
    graph_def = pixels_graph()
    note = Note("a test", "none", 1.0, 2.0, None, None, {})
    pixels = next(node.name for node in graph_def.node if node.op == "Placeholder")
    write_note(graph_def, f"{pixels}:0", note)
    assert read_note(view_of(graph_def)) == note


def test_a_view_of_a_view_is_itself() -> None:
    view = view_of(inception_like())
    assert view_of(view) is view


def test_things_are_worked_out_once() -> None:
    calls = []

    def counted(view: GraphView) -> int:
        calls.append(view)
        return len(view.node)

    view = view_of(inception_like())
    assert view.once(counted) == view.once(counted) == len(view.proto.node)
    assert calls == [view]


def test_nodes_have_all_that_is_looked_at() -> None:
    graph_def = inception_like()
    graph_def.node[0].device = "/cpu:0"
    for mine, theirs in zip(view_of(graph_def).node, graph_def.node, strict=True):
        assert (mine.name, mine.op, mine.device) == (theirs.name, theirs.op, theirs.device)
        assert (mine.input, dict(mine.attr)) == (list(theirs.input), dict(theirs.attr))
        missing = attribute(mine, "not there")
        assert isinstance(missing, type(attribute(theirs, "not there")))
        assert "not there" not in mine.attr


def test_constants_of_a_view() -> None:
    graph_def = inception_like()
    name = next(node.name for node in graph_def.node if node.op == "Const")
    mine = constant_value(nodes_by_name(view_of(graph_def)), name)
    assert (mine == constant_value(nodes_by_name(graph_def), name)).all()


def test_views_are_compared() -> None:
    graph_def = inception_like()
    view = view_of(graph_def)
    assert compare_graphs(view, graph_def).is_empty
    changed = inception_like()
    changed.node[3].name = "another"
    difference = compare_graphs(view, view_of(changed))
    assert difference == compare_graphs(graph_def, changed)
    assert difference.added == ("another",)
