"""Label images with a frozen graph: the best labels of each and their scores.

  python -m retrain_tools.label_image --graph=retrained/output_graph.pb photo.jpg folder/
  python -m retrain_tools.label_image --graph=inception-2015-12-05 cropped_panda.jpg

Every image of a folder is labelled. The flags of the old label_image.py work as they did.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.head.labelling import Labelled, label_images
from retrain_tools.head.labels import find_labels, read_labels
from retrain_tools.images.folders import find_images
from retrain_tools.sources.load import load_graph

_GRAPH = flags.DEFINE_string(
    "graph", None, "Graph file, slim checkpoint, or the name of a catalogued network."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "One label a line, or the 2015 graph's label map. Default: beside the graph."
)
_IMAGE = flags.DEFINE_string("image", None, "An image; more can follow the flags.")
_TOP = flags.DEFINE_integer("top_k", 5, "How many labels to show for each image.", lower_bound=1)
_FORMAT = flags.DEFINE_enum("format", "text", ["text", "json", "csv"], "Form of the output.")
_MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "Where catalogued graphs are kept. Default: the user's cache folder."
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer", None, "Tensor that takes the image. Default: the graph's own."
)
_OUTPUT_LAYER = flags.DEFINE_string(
    "output_layer", None, "Tensor that gives the scores. Default: the graph's own."
)
_INPUT_HEIGHT = flags.DEFINE_integer("input_height", None, "Height of the graph's images.")
_INPUT_WIDTH = flags.DEFINE_integer("input_width", None, "Width of the graph's images.")
_INPUT_MEAN = flags.DEFINE_float("input_mean", None, "Subtracted from pixels of 0 to 255.")
_INPUT_STD = flags.DEFINE_float("input_std", None, "What pixels are divided by after that.")


def main(arguments: list[str]) -> None:
    """Run the script."""
    command_line.require(_GRAPH)
    places = ([_IMAGE.value] if _IMAGE.value else []) + arguments
    if not places:
        raise InputError("Name images or folders of images after the flags.")
    paths = []
    for place in places:
        paths += [i.path for i in find_images(place)] if Path(place).is_dir() else [place]
    overrides = SpecOverrides(
        input_layer=_INPUT_LAYER.value,
        output_layer=_OUTPUT_LAYER.value,
        input_height=_INPUT_HEIGHT.value,
        input_width=_INPUT_WIDTH.value,
        input_mean=_INPUT_MEAN.value,
        input_std=_INPUT_STD.value,
    )
    frozen = load_graph(_GRAPH.value, _MODEL_DIR.value, overrides)
    labels = _LABELS.value or find_labels(frozen)
    results = label_images(frozen, lambda count: read_labels(labels, count), paths, _TOP.value)
    {"text": _print_text, "json": _print_json, "csv": _print_csv}[_FORMAT.value](results)
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
    command_line.run(main)


if __name__ == "__main__":
    script()
