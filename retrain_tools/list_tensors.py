"""Look into any TensorFlow file: its tensors, what it is, its graph as a page. Nothing is run.

  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --summary
  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --pattern=pool
  python -m retrain_tools.list_tensors --graph=inception_v3 --bottlenecks
  python -m retrain_tools.list_tensors --graph=saved_model_folder --html=graph.html
  python -m retrain_tools.list_tensors --graph=model.ckpt --variables --stats
  python -m retrain_tools.list_tensors --graph=before.pb --diff=after.pb

--graph takes a GraphDef (.pb, .pbtxt), MetaGraph (.meta), checkpoint, SavedModel or Hub module,
Keras model (.keras, .h5), TensorFlow Lite model, an archive of one of these
(archive.tgz/path/in/it), or the name of a catalogued network. What can be frozen is listed with the
names that it has then, which are those to fetch; --as_stored lists the graph as the file has it.

Results go to stdout, one closing line with their number to stderr. Filters narrow down what the
other flags choose, and all of them must hold: --downstream=A --upstream=B gives all ways from A to
B. --inputs and --outputs together give both.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
from typing import Any

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.tensors import Tensor, consumers_by_tensor, list_tensors
from retrain_tools.listing.choose import Filters, Kinds, check_filters, chosen, of_kind
from retrain_tools.listing.tables import Row, as_text
from retrain_tools.listing.terminal import show, style_of_stdout
from retrain_tools.network import Network

Given = dict[str, Any]
"""The values of the flags by name."""

_STRINGS = {
    "graph": "The file or folder, or the name of a catalogued network.",
    "model_dir": "Where catalogued graphs are kept. Default: the user's cache folder.",
    "pattern": "Only tensors in whose name this regular expression is found.",
    "glob": "Only tensors whose whole name matches, as 'mixed_*/join'.",
    "diff": "Another graph: say what it changes, instead of listing.",
    "html": "Draw the graph into this file, one page that needs nothing else.",
    "function": "List the body of this function of the graph's library.",
    "signature": "Of a SavedModel or MetaGraph: what to freeze.",
    "input_layer": "With --bottlenecks or --summary: tensor that takes the picture.",
}
_LISTS = {
    "tags": "Of a SavedModel: which of its graphs, by all of its tags.",
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
    "variables": "List the variables that the file stores, instead of tensors.",
    "signatures": "List what a SavedModel or MetaGraph offers, instead of tensors.",
    "functions": "List the functions of the graph's library, instead of tensors.",
    "stats": "With least, largest and mean value, zeros and NaNs of variables and constants.",
    "as_stored": "Show the graph as the file has it, with its variables and function calls.",
    "browse": "Draw the graph and open it in the browser.",
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
    network = _open(given["graph"], given)
    # What only some runs need is imported there: a plain list is done in a quarter of a second.
    if given["variables"] or given["signatures"] or given["functions"]:
        show(_contents(network, given))
    elif given["diff"] is not None:
        show(_difference(network, _open(given["diff"], given), given))
    elif given["summary"]:
        show(_summary(network, given))
    elif given["html"] is not None or given["browse"]:
        from retrain_tools.report.drawing import browse, draw

        place = browse(network) if given["html"] is None else draw(network, given["html"])
        print(place)
    else:
        _list(network, given, filters)


def _list(network: Network, given: Given, filters: Filters) -> None:
    graph_def, tensors = _graph(network, given)
    is_tree = given["tree"] or given["format"] == "tree"
    if not graph_def.node and (is_tree or given["bottlenecks"]):
        raise InputError(f"{network.path} has no graph: it is a {network.kind}.")
    kinds = Kinds(**{field.name: given[field.name] for field in dataclasses.fields(Kinds)})
    candidates, extra = of_kind(graph_def, tensors, kinds, network.path, network.entry)
    found = chosen(graph_def, candidates, filters, tensors, network.path)
    if is_tree:
        show(_tree(graph_def, found, len(tensors), given))
    else:
        consumers = consumers_by_tensor(graph_def)
        columns = ["depth", "why"] if given["bottlenecks"] else []
        if given["stats"]:
            from retrain_tools.listing.contents import STATISTICS, tensor_statistics

            columns += STATISTICS
            for name, figures in tensor_statistics(network, graph_def, found).items():
                extra[name] = {**extra.get(name, {}), **figures}
        rows = [Row(t, consumers.get(t.name, ()), extra.get(t.name, {})) for t in found]
        show(as_text(rows, given["format"], style_of_stdout(), columns))
    print(f"{len(found)} of {len(tensors)} tensors", file=sys.stderr)


def _graph(network: Network, given: Given) -> tuple[Any, list[Tensor]]:
    """Return the graph to list and its tensors; an empty graph where there are only tensors."""
    if not given["as_stored"] and given["function"] is None:
        graph_def, tensors = network.graph_def, None
    else:  # which needs no freezing
        graph_def = network.stored_graph
        if graph_def is None:
            raise InputError(f"{network.path} stores no graph: it is a {network.kind}.")
        if given["function"] is not None:
            from retrain_tools.graphdef.functions import function_graph

            graph_def = function_graph(graph_def, given["function"])
        tensors = list_tensors(graph_def)
    if graph_def is None:
        from retrain_tools.graphdef import schema

        return schema.GraphDef(), network.all_tensors
    if given["shapes"] == "infer":
        from retrain_tools.graphdef.infer import infer_tensors
        from retrain_tools.quiet_tensorflow import tf

        # TensorFlow takes messages of its own class only.
        tensors = infer_tensors(tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()))
    looked_at = network.view if graph_def is network.graph_def else graph_def
    return looked_at, network.all_tensors if tensors is None else tensors


_ALONE = ("summary", "diff", "tree", "variables", "signatures", "functions", "html", "browse")


def _check_combination(given: Given) -> None:
    whole = [name for name in _ALONE if given[name]]
    if len(whole) > 1:
        raise InputError(f"--{whole[0]} cannot be combined with --{whole[1]}.")
    if given["html"] == "":
        raise InputError("--html takes the file to write, as --html=graph.html.")
    if given["bottlenecks"] and (given["inputs"] or given["outputs"]):
        raise InputError("--bottlenecks cannot be combined with --inputs or --outputs.")
    if whole and whole[0] in _ALONE[:3] and given["format"] not in ("table", "tree", "json"):
        raise InputError(f"--{whole[0]} is printed as text or as --format=json.")


def _open(graph: str, given: Given) -> Network:
    choices = overrides = None
    if given["tags"] is not None or given["signature"] is not None:
        from retrain_tools.sources.load import Choices

        choices = Choices(given["tags"], given["signature"])
    if given["input_layer"] is not None:
        from retrain_tools.graphdef.spec import SpecOverrides

        overrides = SpecOverrides(input_layer=given["input_layer"])
    return Network(graph, given["model_dir"], choices, overrides)


def _contents(network: Network, given: Given) -> str:
    from retrain_tools.listing import contents

    if given["variables"]:
        what = "variables"
        lines = contents.variable_lines(network.variables, network.value, given["stats"])
    elif given["signatures"]:
        what, lines = "signatures", contents.signature_lines(network.signatures)
    else:
        what, lines = "functions", contents.function_lines(network.stored_graph)
    if not lines.cells:
        raise InputError(f"{network.path} has no {what}: it is a {network.kind}.")
    return contents.lines_text(lines, given["format"], style_of_stdout())


def _difference(before: Network, after: Network, given: Given) -> str:
    from retrain_tools.graphdef.diff import compare_graphs
    from retrain_tools.listing.diff_text import diff_json, diff_text

    for network in (before, after):
        if network.graph_def is None:
            raise InputError(f"{network.path} has no graph to compare: it is a {network.kind}.")
    difference = compare_graphs(before.graph_def, after.graph_def)
    is_json = given["format"] == "json"
    return diff_json(difference) if is_json else diff_text(difference, style_of_stdout())


def _summary(network: Network, given: Given) -> str:
    from retrain_tools.listing.about import about_json, about_text, also_text
    from retrain_tools.listing.summary_text import summary_json, summary_text

    is_json, style = given["format"] == "json", style_of_stdout()
    if network.graph_def is None:
        return about_json(network) if is_json else about_text(network)
    summary = network.summary()
    if is_json:
        return summary_json(summary)
    return summary_text(summary, style) + also_text(network, style)


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
