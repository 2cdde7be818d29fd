"""Label images with a frozen graph: the best labels of each and their scores.

  python -m retrain_tools.label_image --graph=retrained/output_graph.pb photo.jpg folder/
  python -m retrain_tools.label_image --graph=inception-2015-12-05 cropped_panda.jpg
  python -m retrain_tools.label_image --graph=output_graph.pb --image_dir=photos --evaluate

Images come from --image_dir, from --image_list, or after the flags; every image of a folder is
labelled. With --evaluate, the folders in --image_dir are labels, and the graph's accuracy is given.
The labels of a graph X.pb are in its note; else they are those of X_labels.txt, X.txt,
output_labels.txt, retrained_labels.txt or labels.txt beside it, the first that has as many as there
are scores; else, of a network that is known to be ImageNet's, the names of its classes; else
numbers. The flags of the old label_image.py work as they did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.graph_evaluation import check_class_folders, evaluate_graph
from retrain_tools.head.labelling import Labelled, label_images
from retrain_tools.head.labels import check_labels_file, labels_of
from retrain_tools.images.folders import find_images
from retrain_tools.listing.evaluation_text import evaluation_text
from retrain_tools.listing.labelled_text import FORMS

graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=True)
graph_flags.define_run_flags()
graph_flags.define_job_flags(may_fail=False)
graph_flags.define_path(
    "labels",
    None,
    "File with one label a line, or the 2015 graph's label map; imagenet: ImageNet's 1000 classes. "
    "Default: the graph's own, or a file beside it, or imagenet for its networks.",
)
graph_flags.define_path("image", None, "An image; more can follow the flags.")
flags.DEFINE_integer("top_k", 5, "How many labels to show for each image.", lower_bound=1)
flags.DEFINE_enum("format", "text", list(FORMS), "Form of what is printed.")
graph_flags.define_path("output", None, "File for the labels, .csv or .json, instead of printing.")
flags.DEFINE_boolean(
    "evaluate", False, "Compare with the folders in --image_dir, each named after its label."
)
graph_flags.define_path(
    "metrics", "metrics.json", "File for the figures of --evaluate; none is written if it is empty."
)
flags.DEFINE_string("output_layer", None, "Tensor that gives the scores. Default: the graph's own.")
FLAGS = flags.FLAGS


def main(words: list[str]) -> command_line.Summary:
    """Run the script."""
    command_line.require("graph")
    _check_flags(words)
    words = ([FLAGS.image] if FLAGS.image else []) + words
    if FLAGS.evaluate:
        results = _evaluate()
    else:
        images = graph_flags.given_images(words)
        frozen = graph_flags.given_frozen_graph(output_layer=FLAGS.output_layer)
        results = label_images(frozen, _labels_for(frozen), images, **_options())
    failed = [result for result in results if result.error is not None]
    if FLAGS.output:
        files.write_text(FLAGS.output, FORMS[Path(FLAGS.output).suffix[1:].lower()](results))
        print(f"{len(results) - len(failed)} labelled, {len(failed)} failed: {FLAGS.output}")
    elif not FLAGS.evaluate:
        print(FORMS[FLAGS.format](results), end="")
    for result in failed:
        print(f"warning: {result.image} {result.error}", file=sys.stderr)
    if len(failed) == len(results):
        raise InputError("No image could be labelled.")
    return command_line.Summary(len(failed), {"labelled": len(results) - len(failed)})


def _check_flags(words: list[str]) -> None:
    """Raise InputError if flags do not go together, or name what is not there."""
    if FLAGS.labels:
        check_labels_file(FLAGS.labels)
    if FLAGS.output:
        ending = Path(FLAGS.output).suffix.lower()
        if ending not in (".csv", ".json"):
            raise InputError(f"--output={FLAGS.output} must end in .csv or .json.")
        if FLAGS["format"].present and not FLAGS.evaluate and ending != f".{FLAGS.format}":
            raise InputError(f"--output={FLAGS.output} says the form; leave out --format.")
        files.check_file(FLAGS.output)
    if FLAGS["metrics"].present and not FLAGS.evaluate:
        raise InputError("--metrics is for the figures of --evaluate.")
    if FLAGS.evaluate and FLAGS.metrics:
        files.check_file(FLAGS.metrics)
    if FLAGS.evaluate and (words or FLAGS.image or FLAGS.image_list or not FLAGS.image_dir):
        raise InputError(
            "--evaluate takes its images from --image_dir alone: one folder for each label."
        )
    if FLAGS.evaluate and FLAGS.format == "csv":
        raise InputError("--evaluate prints text or JSON; --output=FILE.csv takes the labels.")


def _labels_for(frozen: FrozenGraph) -> Any:
    return lambda count: labels_of(frozen, count, FLAGS.labels or None)


def _options() -> dict[str, Any]:
    said = {name: FLAGS[name].value for name in ("top_k", "on_error")}
    return {**said, "running": graph_flags.given_run_settings()}


def _evaluate() -> list[Labelled]:
    """Print the figures of a graph on folders of images, and return the labels of the images."""
    images = find_images(FLAGS.image_dir)
    check_class_folders(images)
    frozen = graph_flags.given_frozen_graph(output_layer=FLAGS.output_layer)
    result = evaluate_graph(frozen, _labels_for(frozen), images, **_options())
    figures = result.as_dict()
    text = json.dumps(figures, indent=1) + "\n"
    told = evaluation_text(result.labels, figures["test"]) if FLAGS.format == "text" else text
    print(told, end="")
    if FLAGS.metrics:
        files.write_text(FLAGS.metrics, text)
        print(f"Figures: {FLAGS.metrics}", file=sys.stderr)
    return result.labelled


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()
