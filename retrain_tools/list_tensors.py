"""List the tensors of a TensorFlow graph file, or say in short what it is. Nothing is run.

  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --summary
  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --pattern=pool
  python -m retrain_tools.list_tensors --graph=inception_v3 --bottlenecks
  python -m retrain_tools.list_tensors --graph=before.pb --diff=after.pb

Results go to stdout, one closing line with their number to stderr. Filters narrow down what the
other flags choose, and all of them must hold: --downstream=A --upstream=B gives all ways from A to
B. --inputs and --outputs together give both.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from pathlib import Path
from typing import Any

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.file_kind import foreign_kind
from retrain_tools.graphdef.load import read_graph_def
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.tensors import Tensor, consumers_by_tensor, list_tensors
from retrain_tools.listing.choose import Filters, Kinds, check_filters, chosen, of_kind
from retrain_tools.listing.tables import Row, as_text
from retrain_tools.listing.terminal import show, style_of_stdout

Given = dict[str, Any]
"""The values of the flags by name."""

_STRINGS = {
    "graph": "Frozen GraphDef file, or the name of a catalogued graph.",
    "model_dir": "Where catalogued graphs are kept. Default: the user's cache folder.",
    "pattern": "Only tensors in whose name this regular expression is found.",
    "glob": "Only tensors whose whole name matches, as 'mixed_*/join'.",
    "diff": "Another graph: say what it changes, instead of listing.",
    "input_layer": "With --bottlenecks or --summary: tensor that takes the picture.",
}
_LISTS = {
    "op_type": "Only tensors that these ops make, as Conv2D,MatMul.",
    "dtype": "Only tensors of these types, as float32,int64.",
    "upstream": "Only what these tensors are computed from.",
    "downstream": "Only what is computed from these tensors.",
    "path": "Only what lies on a shortest way from one tensor to another, as Mul,pool_3.",
}
_NUMBERS = {
    "rank": "Only tensors with so many dimensions.",
    "min_bytes": "Only tensors that take so many bytes or more.",
}
_SWITCHES = {
    "inputs": "Only what a caller may feed.",
    "outputs": "Only results: what no other node takes.",
    "bottlenecks": "Only tensors worth caching, best first, with depth and reason.",
    "tree": "Fold name scopes, with node, parameter and byte counts; as --format=tree.",
    "summary": "Say in short what the graph is, instead of listing.",
}
_FLAGS: dict[str, flags.FlagHolder[Any]] = {
    **{name: flags.DEFINE_string(name, None, said) for name, said in _STRINGS.items()},
    **{name: flags.DEFINE_list(name, None, said) for name, said in _LISTS.items()},
    **{
        name: flags.DEFINE_integer(name, None, said, lower_bound=0)
        for name, said in _NUMBERS.items()
    },
    **{name: flags.DEFINE_boolean(name, False, said) for name, said in _SWITCHES.items()},
    "depth": flags.DEFINE_integer(
        "depth", 2, "With --tree: how many levels are unfolded; 0 for all.", lower_bound=0
    ),
    "shapes": flags.DEFINE_enum(
        "shapes",
        "file",
        ["file", "infer"],
        "Where shapes come from: what the file says and what follows from it, or TensorFlow, "
        "which takes some seconds to start.",
    ),
    "format": flags.DEFINE_enum(
        "format", "table", ["table", "names", "tree", "json", "csv"], "How to print the list."
    ),
}


def main(arguments: list[str]) -> None:
    """Run the script."""
    if arguments:
        raise InputError(
            f"Unexpected argument {arguments[0]!r}; name the graph with --graph={arguments[0]}"
        )
    command_line.require(_FLAGS["graph"])
    given = {name: holder.value for name, holder in _FLAGS.items()}
    _check_combination(given)
    filters = Filters(**{field.name: given[field.name] for field in dataclasses.fields(Filters)})
    check_filters(filters)
    gc.disable()  # looking for circles in what goes away at the end would take a third of the time
    graph_def, path, entry = _open(given["graph"])
    # What only some runs need is imported there: a plain list is done in a quarter of a second.
    if given["diff"] is not None:
        show(_difference(graph_def, _open(given["diff"])[0], given))
        return
    if given["shapes"] == "infer":
        from retrain_tools.graphdef.infer import infer_tensors

        tensors = infer_tensors(graph_def)
    else:
        tensors = list_tensors(graph_def)
    if given["summary"]:
        show(_summary(graph_def, path, entry, tensors, given))
        return
    kinds = Kinds(**{field.name: given[field.name] for field in dataclasses.fields(Kinds)})
    candidates, extra = of_kind(graph_def, tensors, kinds, path, entry)
    found = chosen(graph_def, candidates, filters, tensors, path)
    if given["tree"] or given["format"] == "tree":
        show(_tree(graph_def, found, len(tensors), given))
    else:
        consumers = consumers_by_tensor(graph_def)
        rows = [Row(t, consumers.get(t.name, ()), extra.get(t.name, {})) for t in found]
        columns = ["depth", "why"] if given["bottlenecks"] else []
        show(as_text(rows, given["format"], style_of_stdout(), columns))
    print(f"{len(found)} of {len(tensors)} tensors", file=sys.stderr)


def _check_combination(given: Given) -> None:
    whole = [name for name in ("summary", "diff", "tree") if given[name]]
    if len(whole) > 1:
        raise InputError(f"--{whole[0]} cannot be combined with --{whole[1]}.")
    if given["bottlenecks"] and (given["inputs"] or given["outputs"]):
        raise InputError("--bottlenecks cannot be combined with --inputs or --outputs.")
    if whole and given["format"] not in ("table", "tree", "json"):
        raise InputError(f"--{whole[0]} is printed as text or as --format=json.")


def _open(graph: str) -> tuple[Any, Path, Any]:
    """Open a graph to be looked at: without TensorFlow, unless it takes that to make the graph."""
    path = Path(graph)
    if _FLAGS["shapes"].value == "file" and path.is_file() and foreign_kind(path) is None:
        return read_graph_def(path, schema.GraphDef), path, None
    from retrain_tools.sources.load import open_graph

    return open_graph(graph, _FLAGS["model_dir"].value)


def _difference(before: Any, after: Any, given: Given) -> str:
    from retrain_tools.graphdef.diff import compare_graphs
    from retrain_tools.listing.diff_text import diff_json, diff_text

    difference = compare_graphs(before, after)
    is_json = given["format"] == "json"
    return diff_json(difference) if is_json else diff_text(difference, style_of_stdout())


def _summary(graph_def: Any, path: Path, entry: Any, tensors: list[Tensor], given: Given) -> str:
    from retrain_tools.graphdef.summary import summarize
    from retrain_tools.listing.summary_text import summary_json, summary_text

    summary = summarize(graph_def, path, entry, tensors, given["input_layer"])
    is_json = given["format"] == "json"
    return summary_json(summary) if is_json else summary_text(summary, style_of_stdout())


def _tree(graph_def: Any, found: list[Tensor], count: int, given: Given) -> str:
    from retrain_tools.graphdef.tree import scope_tree
    from retrain_tools.listing.tree_text import tree_json, tree_text

    names = {node_name(tensor.name) for tensor in found}
    is_all = len(found) == count  # and so are nodes that make no tensor
    tree = scope_tree(node for node in graph_def.node if is_all or node.name in names)
    is_json, depth = given["format"] == "json", given["depth"]
    return tree_json(tree, depth) if is_json else tree_text(tree, depth, style_of_stdout())


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
