from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import (
    attribute,
    check_tensor,
    constant_value,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    tensor_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.walks import consumers
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import add, add_constant, empty_graph, inception_like

NODE_NAMES = st.from_regex(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]{0,12}", fullmatch=True)


@settings(deadline=None)
@given(NODE_NAMES, st.integers(0, 99))
def test_every_form_of_an_input_names_its_node(name: str, index: int) -> None:
    for form in (name, f"^{name}", f"{name}:{index}", full_name(name)):
        assert node_name(form) == name


@settings(deadline=None)
@given(NODE_NAMES, st.integers(0, 99))
def test_a_tensor_name_always_has_an_index_and_is_stable(name: str, index: int) -> None:
    assert re.fullmatch(r"[^:]+:\d+", tensor_name(name))
    assert full_name(full_name(name)) == full_name(name) == f"{name}:0"
    assert full_name(f"{name}:{index}") == f"{name}:{index}"


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ("a/b", "a/b:0"),
        (" a/b:1 ", "a/b:1"),
        ("import/a", "a:0"),
        ("import/a:2", "a:2"),
        ("important/a", "important/a:0"),
    ],
)
def test_tensor_names_as_people_type_them(typed: str, full: str) -> None:
    assert tensor_name(typed) == full


def test_a_tensor_is_found_with_and_without_import() -> None:
    assert check_tensor("import/Mul", {"Mul"}, "g.pb") == "Mul:0"
    assert check_tensor("import/Mul", {"import/Mul"}, "g.pb") == "import/Mul:0"


def test_an_unknown_tensor_gets_the_nearest_one() -> None:
    with pytest.raises(InputError) as error:
        check_tensor("pool3/_reshape:0", ["Mul", "pool_3/_reshape"], "g.pb")
    assert str(error.value) == (
        "No tensor 'pool3/_reshape:0' in g.pb (2 nodes). Did you mean 'pool_3/_reshape:0'? "
        "List them: list_tensors --graph=g.pb"
    )


@pytest.mark.parametrize("name", ["Mul:x", "Mul:", "Mul:-1", "Mul:0:0", "^Mul", ""])
def test_what_is_no_tensor_name_is_not_found(name: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"No tensor {full_name(name)!r} in g.pb")):
        check_tensor(name, ["Mul"], "g.pb")


@settings(deadline=None)
@given(NODE_NAMES, st.lists(NODE_NAMES | st.sampled_from(["a", "a_1", "a_2/b", "a_3"])))
def test_a_unique_name_is_the_first_that_is_free(base: str, taken: list[str]) -> None:
    for wanted in (base, "a"):
        scopes = {"/".join(t.split("/")[:n]) for t in taken for n in range(1, t.count("/") + 2)}
        every = [wanted, *(f"{wanted}_{number}" for number in range(1, len(scopes) + 2))]
        assert unique_name(wanted, taken) == next(name for name in every if name not in scopes)


@st.composite
def dags(draw: st.DrawFn) -> tuple[object, np.ndarray]:
    """A random acyclic graph and its direct inputs as a matrix [node, input]."""
    size = draw(st.integers(1, 12))
    direct = np.zeros((size, size), bool)
    graph_def = empty_graph()
    for i in range(size):
        inputs = draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else []
        direct[i, inputs] = True
        forms = draw(st.lists(st.sampled_from(["n{}", "n{}:1", "^n{}"]), min_size=3, max_size=3))
        names = [form.format(j) for form, j in zip(forms, inputs, strict=False)]
        graph_def.node.add(name=f"n{i}", op="X", input=names)
    return graph_def, direct


@settings(deadline=None)
@given(dags(), st.data())
def test_upstream_is_the_transitive_closure(
    dag: tuple[object, np.ndarray], data: st.DataObject
) -> None:
    graph_def, direct = dag
    indices = st.integers(0, len(direct) - 1)
    starts, stops = data.draw(st.sets(indices)), data.draw(st.sets(indices))
    followed = direct.copy()
    followed[list(stops)] = False
    reach = np.eye(len(direct), dtype=bool)
    for _ in range(len(direct)):
        reach = reach | (reach.astype(int) @ followed > 0)
    expected = {f"n{j}" for i in starts for j in np.flatnonzero(reach[i])}
    found = upstream(
        nodes_by_name(graph_def), [f"n{i}:0" for i in starts], stop={f"n{i}" for i in stops}
    )
    assert found == expected


@settings(deadline=None)
@given(dags())
def test_consumers_take_data_not_control(dag: tuple[object, np.ndarray]) -> None:
    graph_def, _ = dag
    expected: dict[str, list[str]] = {}
    for node in graph_def.node:
        for name in {i.split(":")[0] for i in node.input if i[0] != "^"}:
            expected.setdefault(name, []).append(node.name)
    assert consumers(graph_def) == expected


def test_a_constant_is_seen_through_identity_nodes() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "c", np.array([3, 4], np.int32))
    add(graph_def, "i", "Identity", ["c"], T=tf.int32)
    add(graph_def, "j", "Identity", ["i:0"], T=tf.int32)
    add(graph_def, "r", "Relu", ["j"], T=tf.int32)
    nodes = nodes_by_name(graph_def)
    assert constant_value(nodes, "j:0").tolist() == [3, 4]
    assert constant_value(nodes, "r") is None
    assert constant_value(nodes, "j", {"c": "held apart"}) == "held apart"


def test_asking_for_an_absent_attribute_does_not_add_it() -> None:
    node = empty_graph().node.add(name="a", op="B")
    assert attribute(node, "T").type == 0
    assert not node.attr


def test_copied_nodes_are_independent_of_the_original() -> None:
    graph_def = inception_like()
    graph_def.library.function.add().signature.name = "f"
    before = graph_def.SerializeToString(deterministic=True)
    copy = copy_nodes(graph_def, lambda node: node.op == "Const")
    assert {node.op for node in copy.node} == {"Const"}
    assert copy.versions.producer == 8
    assert copy.library.function[0].signature.name == "f"
    copy.node[0].name = "other"
    assert graph_def.SerializeToString(deterministic=True) == before
