r"""Change a graph by a list of transforms, as TensorFlow 1's Graph Transform Tool did.

  python -m retrain_tools.transform_graph --graph=classify_image_graph_def.pb --output=small.pb \
      --inputs=Mul --outputs=softmax --verify=photos --transforms='
        strip_unused_nodes(type=float, shape="1,299,299,3")
        remove_nodes(op=Identity, op=CheckNumerics)
        fold_constants(ignore_errors=true)
        fold_batch_norms'
  python -m retrain_tools.transform_graph --graph=network.pb --output=network_2.pb --recipe=deploy
  python -m retrain_tools.transform_graph --list

Transforms are done in the order in which they are named, those of --recipe first. All take
ignore_errors=true: one that fails changes nothing then. An argument that takes several values is
given several times: remove_nodes(op=Identity, op=CheckNumerics).

--verify runs the graph before and after on the same images and prints the largest difference of a
value; the exit status is 1 where it is above --tolerance, 0 where it is not, and 2 after an error.
The graph is written in the first two cases. A graph that takes no images is run on random values,
as any graph is with --verify=random.
"""

from __future__ import annotations

import dataclasses
import sys

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.features.transforming import Verification, transform_model
from retrain_tools.graphdef.transforms import registry
from retrain_tools.listing.transformed_text import transformed_text, transforms_text

graph_flags.define_graph_flags()
graph_flags.define_path("output", None, "The changed graph to write.")
flags.DEFINE_list("inputs", None, "What is fed, by tensors or nodes. Default: what the graph says.")
flags.DEFINE_list(
    "outputs",
    None,
    "What is fetched, by tensors or nodes, whose names and values stay. Default: what the graph "
    "says, or else all that no node takes.",
)
flags.DEFINE_string("transforms", None, "The transforms, as 'a b(x=1) c'; see --list.")
flags.DEFINE_enum(
    "recipe", None, list(registry.RECIPES), "A named list of transforms, done before --transforms."
)
flags.DEFINE_boolean("list", False, "List transforms and recipes.")
graph_flags.define_path(
    "verify", None, "Folder of images to compare the graph with what it was; or random."
)
flags.DEFINE_float(
    "tolerance", 1e-4, "The largest difference that --verify lets pass.", lower_bound=0
)
flags.DEFINE_integer("verify_images", 32, "Compare on no more images, spread over the folder.", 1)
flags.DEFINE_integer("seed", 0, "Of the random values that --verify runs graphs on.")
FLAGS = flags.FLAGS

_DIFFERENT = 1  # exit status
_RANDOM = "random"  # for a folder of images


def main(_: list[str]) -> None:
    """Run the script."""
    if FLAGS.list:
        sys.stdout.write(transforms_text())
        return
    command_line.require("graph", "output")
    calls = registry.named_calls(FLAGS.recipe, FLAGS.transforms)
    files.check_file(FLAGS.output)
    verification = _verification()
    model = dataclasses.replace(graph_flags.given_model(), overrides=graph_flags.given_overrides())
    made = transform_model(model, FLAGS.output, calls, FLAGS.inputs, FLAGS.outputs, verification)
    sys.stdout.write(transformed_text(made, FLAGS.tolerance))
    sys.stdout.flush()
    if made.verified is not None and made.verified.largest > FLAGS.tolerance:
        sys.exit(_DIFFERENT)


def _verification() -> Verification | None:
    """Return what --verify asks for, with images spread evenly over its folder."""
    if FLAGS.verify is None:
        return None
    if FLAGS.verify == _RANDOM:
        return Verification(seed=FLAGS.seed)
    from retrain_tools.images.folders import find_images  # with Pillow

    paths = [image.path for image in find_images(FLAGS.verify)]
    step = max(1, len(paths) / FLAGS.verify_images)
    chosen = [paths[int(i * step)] for i in range(min(len(paths), FLAGS.verify_images))]
    return Verification({path: path for path in chosen}, FLAGS.seed)


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
