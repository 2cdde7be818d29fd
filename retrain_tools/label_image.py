"""Label images with a frozen graph: the best labels of each and their scores.

  python -m retrain_tools.label_image --graph=retrained/output_graph.pb photo.jpg folder/
  python -m retrain_tools.label_image --graph=inception-2015-12-05 cropped_panda.jpg

Images come from --image_dir, from --image_list, or after the flags; every image of a folder is
labelled. The flags of the old label_image.py work as they did.
"""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

from absl import flags

from retrain_tools import command_line, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.head.labelling import Labelled, label_images
from retrain_tools.head.labels import check_labels_file, find_labels, read_labels

graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=True)
graph_flags.define_path(
    "labels", None, "One label a line, or the 2015 graph's label map. Default: beside the graph."
)
graph_flags.define_path("image", None, "An image; more can follow the flags.")
flags.DEFINE_integer("top_k", 5, "How many labels to show for each image.", lower_bound=1)
flags.DEFINE_enum("format", "text", ["text", "json", "csv"], "Form of the output.")
flags.DEFINE_string("output_layer", None, "Tensor that gives the scores. Default: the graph's own.")
FLAGS = flags.FLAGS


def main(words: list[str]) -> None:
    """Run the script."""
    command_line.require("graph")
    if FLAGS.labels:
        check_labels_file(FLAGS.labels)
    images = graph_flags.given_images(([FLAGS.image] if FLAGS.image else []) + words)
    frozen = graph_flags.given_frozen_graph(output_layer=FLAGS.output_layer)
    results = label_images(
        frozen,
        lambda count: read_labels(FLAGS.labels or find_labels(frozen), count),
        images,
        FLAGS.top_k,
        on_error=FLAGS.on_error,
        max_image_pixels=FLAGS.max_image_pixels,
    )
    {"text": _print_text, "json": _print_json, "csv": _print_csv}[FLAGS.format](results)
    failed = [result for result in results if result.error is not None]
    for result in failed:
        print(f"warning: {result.image} {result.error}", file=sys.stderr)
    if len(failed) == len(results):
        raise InputError("No image could be labelled.")


def _print_text(results: list[Labelled]) -> None:
    for result in results:
        if len(results) > 1 and result.error is None:
            print(result.image)
        for label, score in result.best:
            print(f"{label} {score:.5f}")


def _print_json(results: list[Labelled]) -> None:
    def as_dict(result: Labelled) -> dict[str, Any]:
        best = [{"label": label, "score": score} for label, score in result.best]
        return {"image": result.image, "labels": best, "error": result.error}

    print(json.dumps([as_dict(result) for result in results], indent=1, ensure_ascii=False))


def _print_csv(results: list[Labelled]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "rank", "label", "score"])
    for result in results:
        for rank, (label, score) in enumerate(result.best, start=1):
            writer.writerow([result.image, rank, label, score])


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()
