from __future__ import annotations

import itertools

import networkx
import pytest
from hypothesis import given, strategies as st

from retrain_tools.graphdef.toposort import CycleError, topological_order

GRAPHS = st.integers(1, 8).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(0, count - 1), max_size=3), min_size=count, max_size=count
    )
)


@given(GRAPHS)
def test_every_node_comes_after_its_sources_or_there_is_a_cycle(sources: list[list[int]]) -> None:
    inputs = {str(i): [str(s) for s in made] for i, made in enumerate(sources)}
    graph = networkx.DiGraph([(s, name) for name, made in inputs.items() for s in made])
    graph.add_nodes_from(inputs)
    if networkx.is_directed_acyclic_graph(graph):
        order = topological_order(inputs)
        assert sorted(order) == sorted(inputs)
        places = {name: place for place, name in enumerate(order)}
        assert all(places[s] < places[name] for name, made in inputs.items() for s in made)
    else:
        with pytest.raises(CycleError) as error:
            topological_order(inputs)
        cycle = str(error.value).split(" → ")
        assert cycle[0] == cycle[-1]
        assert all(graph.has_edge(a, b) for a, b in itertools.pairwise(cycle))


def test_an_order_that_is_right_is_kept() -> None:
    inputs = {"b": [], "a": ["b"], "d": ["b"], "c": ["a", "d"]}
    assert topological_order(inputs) == ["b", "a", "d", "c"]


def test_a_long_chain_is_no_deep_recursion() -> None:
    count = 50_000
    inputs = {str(i): [str(i + 1)] if i < count else [] for i in range(count + 1)}
    assert topological_order(inputs) == [str(i) for i in range(count, -1, -1)]
