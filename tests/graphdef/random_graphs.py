"""Random graphs of nodes without meaning, for walks and comparisons."""

from __future__ import annotations

from typing import Any

import networkx
from hypothesis import strategies as st

from retrain_tools.graphdef import schema

OPS = ("Relu", "Add", "NoOp", "Mystery")


@st.composite
def graphs(draw: Any, most: int = 9) -> Any:
    """A graph without cycles, in topological order, with data and control edges."""
    graph_def = schema.GraphDef()
    for number in range(draw(st.integers(1, most))):
        node = graph_def.node.add(name=f"n{number}", op=draw(st.sampled_from(OPS)))
        if number:
            sources = draw(st.lists(st.integers(0, number - 1), max_size=3))
            forms = draw(
                st.lists(
                    st.sampled_from(("n{}", "n{}:0", "n{}:1", "^n{}")),
                    min_size=len(sources),
                    max_size=len(sources),
                )
            )
            made = [form.format(source) for form, source in zip(forms, sources, strict=True)]
            node.input.extend(sorted(made, key=lambda name: name.startswith("^")))
    return graph_def


def as_networkx(graph_def: Any) -> Any:
    """The same graph in the library that ours is checked against."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(node.name for node in graph_def.node)
    for node in graph_def.node:
        sources = [name.removeprefix("^").partition(":")[0] for name in node.input]
        graph.add_edges_from((source, node.name) for source in sources)
    return graph
