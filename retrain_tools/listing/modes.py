"""What list_tensors can be asked for, each as text: the list, a summary, a comparison, contents."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.tensors import Tensor, consumers_by_tensor, list_tensors
from retrain_tools.listing.choose import Filters, Kinds, chosen, named, of_kind
from retrain_tools.listing.tables import Row, as_text
from retrain_tools.listing.terminal import Style

if TYPE_CHECKING:
    from retrain_tools.network import Network

# What only some runs need is imported there: a plain list is done in a quarter of a second.


@dataclasses.dataclass(frozen=True)
class Form:
    """How a list is printed.

    Attributes:
        kind: `table`, `names`, `json` or `csv`.
        style: how text stands out.
        tree: whether name scopes are folded into a tree.
        depth: how many of its levels are unfolded; 0 for all.
        stats: whether figures of constants and variables are columns.
    """

    kind: str
    style: Style
    tree: bool = False
    depth: int = 2
    stats: bool = False


@dataclasses.dataclass(frozen=True)
class Part:
    """Which graph of a file is listed.

    Attributes:
        as_stored: the graph as the file has it, not as it can be frozen.
        function: the body of this function of it.
        infer: let TensorFlow work out the shapes.
    """

    as_stored: bool = False
    function: str | None = None
    infer: bool = False


def list_text(
    network: Network, part: Part, kinds: Kinds, filters: Filters, form: Form
) -> tuple[str, int, int]:
    """Return the chosen tensors as text, how many they are, and how many there are.

    Raises:
        InputError: a filter names what is not there, or the file has no graph for what is asked.
    """
    graph_def, tensors = _graph(network, part)
    if not graph_def.node and (form.tree or kinds.bottlenecks):
        raise InputError(f"{network.path} has no graph: it is a {network.kind}.")
    candidates, extra = of_kind(graph_def, tensors, kinds, network.path, network.entry)
    found = chosen(graph_def, candidates, filters, tensors, network.path)
    if form.tree:
        return _tree_text(graph_def, found, len(tensors), form), len(found), len(tensors)
    columns = ["depth", "why"] if kinds.bottlenecks else []
    if form.stats:
        from retrain_tools.listing.contents import STATISTICS, tensor_statistics

        columns += STATISTICS
        for name, figures in tensor_statistics(network, graph_def, found).items():
            extra[name] = {**extra.get(name, {}), **figures}
    consumers = consumers_by_tensor(graph_def)
    rows = [Row(t, consumers.get(t.name, ()), extra.get(t.name, {})) for t in found]
    return as_text(rows, form.kind, form.style, columns), len(found), len(tensors)


def _graph(network: Network, part: Part) -> tuple[Any, list[Tensor]]:
    """Return the graph to list and its tensors; an empty graph where there are only tensors."""
    if part.as_stored or part.function is not None:  # which needs no freezing
        graph_def = network.stored_graph
        if graph_def is None:
            raise InputError(f"{network.path} stores no graph: it is a {network.kind}.")
        if part.function is not None:
            from retrain_tools.graphdef.functions import function_graph

            graph_def = function_graph(graph_def, part.function)
        looked_at = graph_def
    elif network.graph_def is not None:
        graph_def, looked_at = network.graph_def, network.view
    else:
        from retrain_tools.graphdef import schema

        return schema.GraphDef(), network.all_tensors
    if not part.infer:
        is_shown = looked_at is not graph_def
        return looked_at, network.all_tensors if is_shown else list_tensors(graph_def)
    from retrain_tools.engine.shapes import infer_tensors

    return looked_at, infer_tensors(graph_def)


def _tree_text(graph_def: Any, found: list[Tensor], count: int, form: Form) -> str:
    """Return the name scopes of the tensors found, of `count` in all, folded below a depth."""
    from retrain_tools.graphdef.tree import scope_tree
    from retrain_tools.listing.tree_text import tree_json, tree_text

    names = {node_name(tensor.name) for tensor in found}
    is_all = len(found) == count  # and so are nodes that make no tensor
    tree = scope_tree(node for node in graph_def.node if is_all or node.name in names)
    if form.kind == "json":
        return tree_json(tree, form.depth)
    return tree_text(tree, form.depth, form.style)


def contents_text(network: Network, what: str, filters: Filters, form: Form) -> str:
    """Return the `variables`, `signatures` or `functions` of a file whose names pass the filters.

    Raises:
        InputError: it has none.
    """
    from retrain_tools.listing import contents

    is_wanted = named(filters)
    if what == "variables":
        wanted = [v for v in network.variables if is_wanted(v.name)]
        has_any = bool(network.variables)
        lines = contents.variable_lines(wanted, network.value, form.stats)
    else:
        if what == "signatures":
            lines = contents.signature_lines(network.signatures)
        else:
            lines = contents.function_lines(network.stored_graph)
        has_any = bool(lines.cells)
        lines = lines._replace(cells=[cells for cells in lines.cells if is_wanted(cells[0])])
    if not has_any:
        raise InputError(f"{network.path} has no {what}: it is a {network.kind}.")
    return contents.lines_text(lines, form.kind, form.style)


def difference_text(before: Network, after: Network, form: Form) -> str:
    """Return what the second graph changes of the first.

    Raises:
        InputError: one of them is no graph.
    """
    from retrain_tools.graphdef.diff import compare_graphs
    from retrain_tools.listing.diff_text import diff_json, diff_text

    for network in (before, after):
        if network.graph_def is None:
            raise InputError(f"{network.path} has no graph to compare: it is a {network.kind}.")
    difference = compare_graphs(before.graph_def, after.graph_def)
    return diff_json(difference) if form.kind == "json" else diff_text(difference, form.style)


def summary_of(network: Network, form: Form) -> str:
    """Return what a file is, in short."""
    from retrain_tools.listing.about import about_json, about_text, also_text
    from retrain_tools.listing.summary_text import summary_json, summary_text

    is_json = form.kind == "json"
    if network.graph_def is None:
        return about_json(network) if is_json else about_text(network)
    summary = network.summary()
    if is_json:
        return summary_json(summary)
    return summary_text(summary, form.style) + also_text(network, form.style)
