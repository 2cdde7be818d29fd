"""Files that are nested more deeply than Python recurses: a message, and a tree that is cut."""

from __future__ import annotations

import json

import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema

DEEP = "s/" * 3000


def test_a_text_that_is_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "nested.pbtxt"
    start = 'list { func { name: "f" attr { key: "x" value { '
    inside = start * 1500 + "} } } } " * 1500
    path.write_text(f'node {{ name: "a" op: "Const" attr {{ key: "v" value {{ {inside} }} }} }}')
    with pytest.raises(InputError) as raised:
        rt.load(path).tensors()
    assert str(raised.value) == f"{path} is nested more deeply than a text GraphDef can be."
    assert raised.value.__cause__ is None


@pytest.fixture
def deep(tmp_path):
    graph = schema.GraphDef()
    graph.node.add(name="first", op="NoOp")
    node = graph.node.add(name=f"{DEEP}x", op="Placeholder")
    node.attr["dtype"].type = 1
    path = tmp_path / "deep.pb"
    path.write_bytes(graph.SerializeToString())
    return path


def test_a_tree_of_3000_scopes_is_cut_at_200(script, deep):
    done = script.run(f"--graph={deep}", "--tree", "--depth=0")
    assert done.status == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert (names.count("s/"), names.count("s/…")) == (199, 1)
    done = script.run(f"--graph={deep}", "--tree", "--depth=0", "--format=json")
    level, tree = 0, json.loads(done.stdout)
    while tree.get("children"):
        level, tree = level + 1, tree["children"][-1]
    assert (level, tree["nodes"]) == (200, 1)


@pytest.mark.parametrize("form", ["table", "names", "json", "csv"])
def test_its_tensors_are_listed_in_every_form(script, deep, form):
    done = script.run(f"--graph={deep}", f"--format={form}")
    assert done.status == 0
    assert f"{DEEP}x:0" in done.stdout
