r"""Change a graph by a list of transforms, as TensorFlow 1's Graph Transform Tool did.

  python -m retrain_tools.transform_graph --graph=classify_image_graph_def.pb --output=small.pb \
      --inputs=Mul --outputs=softmax --transforms='
        strip_unused_nodes(type=float, shape="1,299,299,3")
        fold_constants(ignore_errors=true)
        fold_batch_norms'
  python -m retrain_tools.transform_graph --graph=network.pb --output=network_2.pb --recipe=deploy
  python -m retrain_tools.transform_graph --list

Transforms are done in the order in which they are named. All take ignore_errors=true: one that
fails changes nothing then. An argument that takes several values is given several times:
remove_nodes(op=Identity, op=CheckNumerics).
"""

from __future__ import annotations

import sys

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.transforms import registry
from retrain_tools.graphdef.transforms.apply import Transformed, apply_transforms
from retrain_tools.graphdef.transforms.arguments import described
from retrain_tools.graphdef.transforms.parse import Call, parse_transforms
from retrain_tools.sources.ends import graph_ends
from retrain_tools.text_tables import Style, aligned, counted

graph_flags.define_graph_flags()
graph_flags.define_path("output", None, "The changed graph to write.")
flags.DEFINE_list("inputs", None, "What is fed, by tensors or nodes. Default: what the graph says.")
flags.DEFINE_list(
    "outputs",
    None,
    "What is fetched, by tensors or nodes: names and values of these stay. Default: what the graph "
    "says, or its results.",
)
flags.DEFINE_string("transforms", None, "The transforms, as 'a b(x=1) c'; see --list.")
flags.DEFINE_enum(
    "recipe", None, list(registry.RECIPES), "A named list of transforms, before --transforms."
)
flags.DEFINE_boolean("list", False, "List transforms and recipes.")
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Run the script."""
    if FLAGS.list:
        sys.stdout.write(_listing())
        return
    command_line.require("graph", "output")
    calls = _calls()
    files.check_file(FLAGS.output)
    ends = graph_ends(graph_flags.given_model(), FLAGS.inputs, FLAGS.outputs)
    made = apply_transforms(ends.graph_def, calls, ends.inputs, ends.outputs)
    write_graph(FLAGS.output, made.graph_def)
    sys.stdout.write(_told(made, len(ends.graph_def.node)))


def _calls() -> list[Call]:
    """Return the transforms that --recipe and --transforms name."""
    if FLAGS.recipe is None and FLAGS.transforms is None:
        raise InputError("Say what to do, with --transforms or --recipe; --list lists both.")
    recipe = [] if FLAGS.recipe is None else [registry.recipe_named(FLAGS.recipe).text]
    calls = [call for text in recipe for call in parse_transforms(text)]
    return calls + ([] if FLAGS.transforms is None else parse_transforms(FLAGS.transforms))


def _told(made: Transformed, nodes: int) -> str:
    lines = [("", counted(nodes, "node"), "")]
    lines += [(str(s.call), counted(s.nodes, "node"), s.failure or "") for s in made.steps]
    ends = f"{', '.join(made.inputs) or 'nothing'} in, {', '.join(made.outputs)} out"
    return f"{aligned(lines, Style(), heading=False)}{FLAGS.output}: {ends}\n"


def _listing() -> str:
    functions = {name: registry.transform_named(name) for name in registry.transform_names()}
    lines = ["Transforms"]
    for name, function in functions.items():
        lines += [f"  {described(name, function)}", f"      {registry.help_of(function)}"]
    lines += ["", "Recipes"]
    for name, recipe in registry.RECIPES.items():
        lines += [f"  {name}: {recipe.help}", f"      {recipe.text}"]
    return "\n".join(lines) + "\n"


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
