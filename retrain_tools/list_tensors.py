"""Look into any TensorFlow file: its tensors, what it is, its graph as a page. Nothing is run.

  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --summary
  python -m retrain_tools.list_tensors --graph=classify_image_graph_def.pb --pattern=pool
  python -m retrain_tools.list_tensors --graph=inception_v3 --bottlenecks
  python -m retrain_tools.list_tensors --graph=saved_model_folder --html=graph.html
  python -m retrain_tools.list_tensors --graph=saved_model_folder --inside
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

from retrain_tools import command_line, files, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.listing.choose import Filters, Kinds, check_filters
from retrain_tools.listing.modes import (
    Form,
    Part,
    contents_text,
    difference_text,
    list_text,
    summary_of,
)
from retrain_tools.listing.terminal import show, style_of_stdout
from retrain_tools.sources.open import open_model

_STRINGS = {
    "pattern": "Only tensors in whose name this regular expression is found.",
    "glob": "Only tensors whose whole name matches, as 'mixed_*/join'.",
    "function": "List the body of this function of the graph's library.",
}
_PATHS = {
    "diff": "Another graph: say what it changes, instead of listing.",
    "html": "Draw the graph into this file, one page that needs nothing else.",
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
    "variables": "List the variables that the file stores, instead of tensors.",
    "signatures": "List what a SavedModel or MetaGraph offers, instead of tensors.",
    "inside": "List the layers of a Keras model, SavedModel or Hub module, and what they give.",
    "functions": "List the functions of the graph's library, instead of tensors.",
    "stats": "With least, largest and mean value, zeros and NaNs of variables and constants.",
    "as_stored": "Show the graph as the file has it, with its variables and function calls.",
    "browse": "Draw the graph and open it in the browser.",
}
graph_flags.define_graph_flags()
for _name, _help in _STRINGS.items():
    flags.DEFINE_string(_name, None, _help)
for _name, _help in _PATHS.items():
    graph_flags.define_path(_name, None, _help)
for _name, _help in _LISTS.items():
    flags.DEFINE_list(_name, None, _help)
for _name, _help in _NUMBERS.items():
    flags.DEFINE_integer(_name, None, _help, lower_bound=0)
for _name, _help in _SWITCHES.items():
    flags.DEFINE_boolean(_name, False, _help)
flags.DEFINE_integer(
    "depth", 2, "With --tree: how many levels are unfolded; 0 for all.", lower_bound=0
)
flags.DEFINE_enum(
    "shapes",
    "file",
    ["file", "infer"],
    "Where shapes come from: what the file says and what follows from it, or TensorFlow, which "
    "takes some seconds to start.",
)
flags.DEFINE_enum(
    "format", "table", ["table", "names", "tree", "json", "csv"], "How to print the list."
)
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Run the script."""
    command_line.require("graph")
    filters, kinds = _fields(Filters), _fields(Kinds)
    check_filters(filters)
    mode = _mode(filters)
    if FLAGS.html:
        files.check_file(FLAGS.html)
    is_tree = FLAGS.tree or FLAGS.format == "tree"
    kind = "table" if FLAGS.format == "tree" else FLAGS.format
    form = Form(kind, style_of_stdout(), is_tree, FLAGS.depth, FLAGS.stats)
    gc.disable()  # looking for cycles in what goes away at the end would take a third of the time
    overrides = graph_flags.given_overrides()
    model = dataclasses.replace(graph_flags.given_model(), overrides=overrides)
    if mode in _CONTENTS:
        show(contents_text(model, mode, filters, form))
    elif mode == "diff":
        show(difference_text(model, open_model(FLAGS.diff, FLAGS.model_dir), form))
    elif mode == "summary":
        show(summary_of(model, form))
    elif mode in ("html", "browse"):
        from retrain_tools.report.drawing import browse, draw

        print(browse(model) if mode == "browse" else draw(model, FLAGS.html))
    else:
        part = Part(FLAGS.as_stored, FLAGS.function, FLAGS.shapes == "infer")
        text, count, of = list_text(model, part, kinds, filters, form)
        show(text)
        print(f"{count} of {of} tensors", file=sys.stderr)


_CONTENTS = ("variables", "signatures", "functions", "inside")
_ALONE = ("summary", "diff", "tree", *_CONTENTS, "html", "browse")


def _mode(filters: Filters) -> str:
    """Return the one thing that is asked for; `list` for a plain list, `tree` for a folded one.

    Raises:
        InputError: flags do not go together.
    """
    if FLAGS.html == "":
        raise InputError("--html takes the file to write, as --html=graph.html.")
    if FLAGS.bottlenecks and (FLAGS.inputs or FLAGS.outputs):
        raise InputError("--bottlenecks cannot be combined with --inputs or --outputs.")
    whole = [name for name in _ALONE if FLAGS[name].value]
    if len(whole) > 1:
        raise InputError(f"--{whole[0]} cannot be combined with --{whole[1]}.")
    mode = whole[0] if whole else "list"
    if mode in _ALONE[:3] and FLAGS.format not in ("table", "tree", "json"):
        raise InputError(f"--{mode} is printed as text or as --format=json.")
    if mode in _CONTENTS and FLAGS.format == "tree":
        raise InputError(f"--{mode} is printed as --format=table, names, json or csv.")
    if mode not in ("list", "tree"):
        used = [f.name for f in dataclasses.fields(Filters) if getattr(filters, f.name) is not None]
        used += [name for name in _OF_LISTS if FLAGS[name].value]
        allowed = ("pattern", "glob", "stats") if mode in _CONTENTS else ()
        for name in used:
            if name not in allowed:
                raise InputError(f"--{name} chooses tensors to list; leave it out with --{mode}.")
    return mode


_OF_LISTS = ("inputs", "outputs", "bottlenecks", "stats", "as_stored", "function")


def _fields(kind: type[Any]) -> Any:
    return kind(**{field.name: FLAGS[field.name].value for field in dataclasses.fields(kind)})


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
