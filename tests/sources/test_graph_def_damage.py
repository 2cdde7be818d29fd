"""Damaged GraphDefs: every reason to refuse one, and that no bytes crash the reader."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.open import open_model
from tests.graphdef.tiny_graphs import (
    add,
    add_constant,
    empty_graph,
    inception_like,
    reverse_nodes,
    write,
)
from tests.opening import load_graph, read_graph_def, refusal

TINY = inception_like()
DATA = TINY.SerializeToString()


def test_a_name_twice(tmp_path: Path) -> None:
    graph_def = inception_like()
    add(graph_def, "Mul", "NoOp")
    path = write(graph_def, tmp_path / "g.pb")
    assert refusal(path) == "is damaged: two nodes are called 'Mul'."


@pytest.mark.parametrize("name", ["nowhere", "nowhere:1", "^nowhere"])
def test_an_input_that_no_node_makes(tmp_path: Path, name: str) -> None:
    graph_def = inception_like()
    add(graph_def, "a", "Relu", [name])
    path = write(graph_def, tmp_path / "g.pb")
    assert refusal(path) == f"is damaged: node 'a' takes {name!r}, which no node makes."


def test_a_cycle(tmp_path: Path) -> None:
    graph_def = empty_graph()
    for name, source in (("a", "c"), ("b", "a"), ("c", "b")):
        add(graph_def, name, "Identity", [source])
    message = refusal(write(graph_def, tmp_path / "g.pb"))
    assert message.startswith("is damaged: its nodes form a cycle: ")
    names = message.removesuffix(".").rpartition(": ")[2].split(" → ")
    assert all(f"{a}{b}" in "cacbabca" for a, b in itertools.pairwise(names))
    assert names[0] == names[-1]
    assert set(names) == {"a", "b", "c"}


def without_value(node: Any) -> None:
    node.attr.pop("value")


def of_another_type(node: Any) -> None:
    """TensorFlow takes this one for a number of its own type, and aborts the process."""
    node.attr["value"].tensor.dtype = tf.uint8.as_datatype_enum


def of_no_type(node: Any) -> None:
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = 95


def of_another_size(node: Any) -> None:
    node.attr["value"].tensor.tensor_shape.dim[0].size = 7


def of_unknown_size(node: Any) -> None:
    node.attr["value"].tensor.tensor_shape.dim[0].size = -1


@pytest.mark.parametrize(
    "damage", [without_value, of_another_type, of_no_type, of_another_size, of_unknown_size]
)
def test_constants_that_are_not_what_they_say(
    tmp_path: Path, damage: Callable[[Any], None]
) -> None:
    graph_def = empty_graph()
    damage(add_constant(graph_def, "c", np.arange(6, dtype=np.float32)))
    assert refusal(write(graph_def, tmp_path / "g.pb")) == (
        "is damaged: the constant 'c' does not hold what its type and shape say."
    )


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((0, 3), np.float32),
        np.full((4, 5), 2.5, np.float32),
        np.array([b"a", b"bc"]),
        np.array([True]),
        np.float16(1),
        np.int64(3),
        1 + 2j,
    ],
)
def test_sound_constants(tmp_path: Path, value: Any) -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "c", value)
    # One value for all, as older versions write it.
    old = add_constant(graph_def, "old", np.float32(1))
    old.attr["value"].tensor.tensor_shape.dim.add().size = 40
    assert read_graph_def(write(graph_def, tmp_path / "g.pb")) == graph_def


@pytest.mark.parametrize("op", ["Variable", "VariableV2", "VarHandleOp"])
def test_variables(tmp_path: Path, op: str) -> None:
    graph_def = inception_like()
    add(graph_def, "w", op)
    add(graph_def, "v", op)
    path = write(graph_def, tmp_path / "g.pb")
    model = open_model(path)
    assert model.stored_graph == graph_def
    assert [variable.name for variable in model.variables] == ["w", "v"]
    with pytest.raises(InputError) as error:
        model.frozen()
    assert str(error.value).startswith(f"{path} cannot be frozen: its variables have no values: ")
    add(graph_def, "w", op)  # damage is seen all the same
    write(graph_def, path)
    with pytest.raises(InputError, match="is damaged: two nodes are called 'w'"):
        open_model(path)


def test_graphs_are_checked_without_a_file() -> None:
    graph_def = inception_like()
    add(graph_def, "w", "VariableV2")
    check_graph(graph_def, "memory")
    add(graph_def, "b", "Relu", ["a"])
    add(graph_def, "a", "Relu", ["b"])
    with pytest.raises(InputError) as error:
        check_graph(graph_def, "memory")
    assert str(error.value) == "memory is damaged: its nodes form a cycle: b → a → b."


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "graph.pb"


def read_or_refuse(path: Path, content: bytes) -> str | None:
    path.write_bytes(content)
    try:
        read_graph_def(path)
    except InputError as error:
        return str(error)
    return None


def ends_of_nodes() -> set[int]:
    graph_def, ends = schema.GraphDef(), set()
    for node in TINY.node:
        graph_def.node.add().CopyFrom(node)
        ends.add(len(graph_def.SerializeToString()))
    return ends


ENDS = ends_of_nodes()


@settings(deadline=None)
@given(cut=st.integers(0, len(DATA) - 1) | st.sampled_from(sorted(ENDS)))
def test_a_cut_file_is_refused_unless_it_is_a_smaller_graph(scratch: Path, cut: int) -> None:
    message = read_or_refuse(scratch, DATA[:cut])
    if cut in ENDS:  # the nodes before are complete, and only take what is there
        assert message is None
    else:
        assert message is not None
        expected = "is empty" if not cut else "is cut off" if cut > min(ENDS) else "is not a"
        assert message.startswith(f"{scratch} {expected}")


@settings(deadline=None)
@given(cut=st.integers(1, len(DATA) - 1))
def test_a_cut_file_in_another_order_is_always_refused(scratch: Path, cut: int) -> None:
    data = reverse_nodes(TINY).SerializeToString()
    message = read_or_refuse(scratch, data[:cut])
    versions = len(data) - TINY.versions.ByteSize() - 2
    assert message is not None or cut == versions


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(scratch: Path, content: bytes) -> None:
    assert read_or_refuse(scratch, content) is not None


# The same bytes each time: should TensorFlow abort on one, the whole run would end.
@settings(deadline=None, derandomize=True)
@given(position=st.integers(0, len(DATA) - 1), byte=st.integers(0, 255))
def test_a_wrong_byte_is_no_crash(scratch: Path, position: int, byte: int) -> None:
    content = DATA[:position] + bytes([byte]) + DATA[position + 1 :]
    if read_or_refuse(scratch, content) is None:
        list_tensors(read_graph_def(scratch))
        with contextlib.suppress(InputError):
            load_graph(str(scratch))


@settings(deadline=None)
@given(content=st.text(max_size=80))
def test_random_text_is_refused(scratch: Path, content: str) -> None:
    assert read_or_refuse(scratch, f"node {{ {content}".encode()) is not None
