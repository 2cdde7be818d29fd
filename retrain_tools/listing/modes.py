"""What list_tensors can be asked for, each as text: the list, a summary, a comparison, contents."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.graphdef.training_parts import training_parts
from retrain_tools.graphdef.view import view_of
from retrain_tools.listing.choose import Filters, Kinds, chosen, named, of_kind
from retrain_tools.listing.scan_text import finding_objects, finding_rows
from retrain_tools.listing.tables import lines_text, tensor_lines
from retrain_tools.listing.wiring import wiring_of
from retrain_tools.safety.findings import Report, Severity, worst_first
from retrain_tools.safety.graphs import Where, graph_findings
from retrain_tools.safety.scanning import scan
from retrain_tools.sources.contents import OwnGraph
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.model import Model
from retrain_tools.text_tables import Style, aligned, counted

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
    model: Model, part: Part, kinds: Kinds, filters: Filters, form: Form
) -> tuple[str, int, int]:
    """Return the chosen tensors as text, how many they are, and how many there are.

    Raises:
        InputError: a filter names what is not there, or the file has no graph for what is asked.
    """
    graph_def, tensors = _graph(model, part)
    has_nodes = not isinstance(graph_def, OwnGraph) and len(graph_def.node)
    if not has_nodes and (form.tree or kinds.bottlenecks):
        raise InputError(f"{model.path} has no graph: it is a {model.description}.")
    candidates, extra = of_kind(graph_def, tensors, kinds, model.path, model.entry)
    found = chosen(graph_def, candidates, filters, tensors, model.path)
    if form.tree:
        return _tree_text(graph_def, found, len(tensors), form), len(found), len(tensors)
    columns = ["depth", "why"] if kinds.bottlenecks else []
    if form.stats:
        from retrain_tools.listing.contents import STATISTICS, tensor_statistics

        columns += STATISTICS
        is_stored = part.as_stored or part.function is not None
        with_values = graph_def if is_stored or model.view is None else model.graph
        for name, figures in tensor_statistics(model, with_values, found).items():
            extra[name] = {**extra.get(name, {}), **figures}
    wiring = wiring_of(graph_def)
    steps = {tensor.name: wiring.step(tensor.name) for tensor in found} if wiring.parts else {}
    parts = {n: wiring.parts[step] for n, step in steps.items() if step in wiring.parts}
    # In a table an empty column says nothing; programs find it in all lists of one graph.
    is_told = bool(parts) if form.kind == "table" else bool(wiring.parts)
    told = parts if is_told else None
    lines = tensor_lines(found, wiring.consumers, form.kind, columns, extra, told)
    return lines_text(lines, form.kind, form.style, "?"), len(found), len(tensors)


def _graph(model: Model, part: Part) -> tuple[Any, list[Tensor]]:
    """Return the graph to list and its tensors; an empty graph where there are only tensors."""
    if part.as_stored or part.function is not None:  # which needs no freezing
        graph_def = model.stored_graph
        if graph_def is None:
            raise InputError(f"{model.path} stores no graph: it is a {model.description}.")
        if part.function is not None:
            from retrain_tools.graphdef.functions import function_graph

            graph_def = function_graph(graph_def, part.function)
    elif model.view is None:
        from retrain_tools.graphdef import schema

        if model.own_graph is not None:
            return model.own_graph, model.all_tensors
        return schema.GraphDef(), model.all_tensors
    elif not part.infer:
        return model.view, model.all_tensors
    else:
        graph_def = model.graph
    view = view_of(graph_def)  # what is asked of each tensor is worked out once
    if not part.infer:
        return view, list_tensors(view)
    from retrain_tools.engine.shapes import infer_tensors

    return view, infer_tensors(graph_def)


def _tree_text(graph_def: Any, found: list[Tensor], count: int, form: Form) -> str:
    """Return the name scopes of the tensors found, of `count` in all, folded below a depth."""
    from retrain_tools.graphdef.tree import scope_tree
    from retrain_tools.listing.tree_text import tree_json, tree_text

    names = {node_name(tensor.name) for tensor in found}
    is_all = len(found) == count  # and so are nodes that make no tensor
    shown = (node for node in graph_def.node if is_all or node.name in names)
    tree = scope_tree(shown, training_parts(graph_def))
    if form.kind == "json":
        return tree_json(tree, form.depth)
    return tree_text(tree, form.depth, form.style)


def contents_text(model: Model, what: str, filters: Filters, form: Form) -> str:
    """Return `variables`, `signatures`, `functions` or layers (`inside`) that pass the filters.

    Raises:
        InputError: it has none.
    """
    from retrain_tools.listing import contents

    is_wanted = named(filters)
    if what == "variables":
        wanted = [v for v in model.variables if is_wanted(v.name)]
        has_any = bool(model.variables)
        lines = contents.variable_lines(wanted, model.value, form.stats)
    else:
        if what == "signatures":
            lines = contents.signature_lines(model.signatures)
        elif what == "inside":
            lines = contents.layer_lines(model.layers())
        else:
            lines = contents.function_lines(model.stored_graph)
        has_any = bool(lines.cells)
        lines = lines._replace(cells=[cells for cells in lines.cells if is_wanted(cells[0])])
    if not has_any:
        raise InputError(f"{model.path} has no {what}: it is a {model.description}.")
    return lines_text(lines, form.kind, form.style)


def difference_text(before: Model, after: Model, form: Form) -> str:
    """Return what the second graph changes of the first.

    Raises:
        InputError: one of them is no graph.
    """
    from retrain_tools.graphdef.diff import compare_graphs
    from retrain_tools.listing.diff_text import diff_json, diff_text

    for model in (before, after):
        if model.view is None:
            raise InputError(f"{model.path} has no graph to compare: it is a {model.description}.")
    difference = compare_graphs(before.graph, after.graph)
    return diff_json(difference) if form.kind == "json" else diff_text(difference, form.style)


def summary_of(model: Model, form: Form) -> str:
    """Return what a file is, in short, and what a scan finds in it: as JSON all, else the loud."""
    report = _scanned(model)
    if form.kind == "json":
        said = _about(model) if model.view is None else json.loads(model.summary().as_json())
        return json.dumps(said | {"findings": finding_objects(report)}, indent=1) + "\n"
    if model.view is None:
        text = model.about()
    else:
        text = model.summary().as_text(form.style) + _also(model, form.style)
    if report.is_clean:
        return text
    loud = tuple(found for found in report.findings if found.severity is not Severity.LOW)
    rows = finding_rows(dataclasses.replace(report, findings=loud))
    lines = aligned(rows, Style(), heading=False)
    listed = "".join(f"  {line}\n" for line in lines.splitlines())
    return f"{text}\n{form.style.bold('Beside computing')}\n{listed}"


def _scanned(model: Model) -> Report:
    """Return what a scan finds in the model's file, or in its graph where there is no such file.

    A file that is nothing but a graph is read again only if the graph has anything to say of.
    """
    shown = graph_findings(model.stored, Where(str(model.path))) if model.stored else []
    if shown or model.kind in (Kind.KERAS, Kind.HDF5, Kind.SAVED_MODEL, Kind.TFLITE):
        try:
            return scan(model.path)
        except InputError:  # in an archive, or no file at all
            pass
    return Report(str(model.path), model.description, worst_first(shown), 0)


def _also(model: Model, style: Style) -> str:
    """Return what a file with a graph holds besides; nothing for a plain graph."""
    if known := model.application_details():
        lines = aligned(known, Style(), heading=False)
        return f"\n{style.bold('Application')}\n" + "".join(f"  {x}\n" for x in lines.splitlines())
    held = model.held_beside_the_graph()
    if model.describe is not None:
        held.append(("Layers", "what each one gives, and its parameters: --inside"))
    functions = () if model.stored_graph is None else model.stored_graph.library.function
    if functions:
        held.append(("Functions", f"{counted(len(functions), 'function')}: --functions"))
    if not held:
        return ""
    lines = aligned([(label.lower(), text) for label, text in held], Style(), heading=False)
    return f"\n{style.bold('In the file')}\n" + "".join(f"  {x}\n" for x in lines.splitlines())


def _about(model: Model) -> dict[str, Any]:
    graph = model.own_graph
    return {
        "path": str(model.path),
        "kind": model.description,
        "details": dict(model.details),
        "variables": len(model.variables),
        "tensors": len(model.all_tensors),
        "signatures": list(model.signatures),
        **({} if graph is None else {"inputs": graph.inputs, "outputs": graph.outputs}),
        "why_not_frozen": model.why_not_frozen,
    }
