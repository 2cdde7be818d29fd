"""Walks along edges, against networkx on random graphs."""

from __future__ import annotations

import itertools
from typing import Any

import networkx
from hypothesis import given, settings, strategies as st

from retrain_tools.graphdef.navigate import nodes_by_name, upstream
from retrain_tools.graphdef.walks import downstream, shortest_path, successors

from .random_graphs import as_networkx, graphs
from .tiny_graphs import inception_like


def pick(data: st.DataObject, graph_def: Any) -> str:
    return str(data.draw(st.sampled_from([node.name for node in graph_def.node])))


@settings(deadline=None)
@given(graphs(), st.data())
def test_upstream_and_downstream(graph_def: Any, data: st.DataObject) -> None:
    graph, name = as_networkx(graph_def), pick(data, graph_def)
    after = successors(graph_def)
    assert downstream(after, [f"{name}:1"]) == {name, *networkx.descendants(graph, name)}
    before = upstream(nodes_by_name(graph_def), [f"^{name}"])
    assert before == {name, *networkx.ancestors(graph, name)}


@settings(deadline=None)
@given(graphs(), st.data())
def test_all_ways_from_one_to_another(graph_def: Any, data: st.DataObject) -> None:
    graph = as_networkx(graph_def)
    start, end = pick(data, graph_def), pick(data, graph_def)
    after, nodes = successors(graph_def), nodes_by_name(graph_def)
    ways = networkx.all_simple_paths(graph, start, end) if start != end else [[start]]
    both = downstream(after, [start]) & upstream(nodes, [end])
    assert both == set(itertools.chain.from_iterable(ways))


@settings(deadline=None)
@given(graphs(), st.data())
def test_a_shortest_path(graph_def: Any, data: st.DataObject) -> None:
    graph = as_networkx(graph_def)
    start, end = pick(data, graph_def), pick(data, graph_def)
    way = shortest_path(successors(graph_def), start, f"{end}:0")
    if not networkx.has_path(graph, start, end):
        assert way is None
    else:
        assert way is not None
        assert (way[0], way[-1]) == (start, end)
        assert len(way) == networkx.shortest_path_length(graph, start, end) + 1
        assert all(graph.has_edge(a, b) for a, b in itertools.pairwise(way))


@settings(deadline=None)
@given(graphs(), st.data())
def test_a_walk_ends_where_it_is_told_to(graph_def: Any, data: st.DataObject) -> None:
    graph, name = as_networkx(graph_def), pick(data, graph_def)
    stop = data.draw(st.sets(st.sampled_from([node.name for node in graph_def.node])))
    for passed in stop:
        graph.remove_edges_from(list(graph.out_edges(passed)))
    expected = {name, *networkx.descendants(graph, name)}
    assert downstream(successors(graph_def), [name], stop) == expected


def test_the_way_through_the_graph_of_2015() -> None:
    way = shortest_path(successors(inception_like()), "mixed/join:0", "softmax")
    assert way is not None
    assert " ".join(way) == (
        "mixed/join pool_3 pool_3/_reshape softmax/logits/MatMul softmax/logits softmax"
    )
