r"""Export any loaded graph to another form, run that, and compare it with its source.

  python -m retrain_tools.export_graph --graph=classify_image_graph_def.pb --to=keras \
      --output=inception.keras
  python -m retrain_tools.export_graph --graph=retrained/output_graph.pb --to=saved_model \
      --output=serving/flowers/1 --labels=retrained/output_labels.txt

--to=saved_model is for TensorFlow Serving: `serving_default` takes encoded images, `pixels` takes
prepared pixels, in batches; both give the outputs and the labels. It can be a --graph again.
--to=tflite and --to=onnx (pip install tf2onnx onnx onnxruntime) take prepared pixels, in batches.
--to=graphdef is the frozen graph itself, which takes encoded images as well.
--to=keras rebuilds a convolutional network, layer by layer, as a functional Keras 3 model that can
be trained on. Nodes that no layer of Keras computes are named.

What was written is opened again with its own runtime, and run on the same images as the untouched
graph: those of --image_dir or after the flags (the first eight), or photos that are drawn. The
largest difference is printed; above --tolerance the exit status is 1.

A graph that takes no images is exported with what it is fed as inputs, to any form but keras, and
compared on random values.
"""

from __future__ import annotations

import dataclasses
import sys

from absl import flags

from retrain_tools import command_line, graph_flags
from retrain_tools.engine.shapes import tensor_shape
from retrain_tools.errors import InputError
from retrain_tools.export.exported import QUANTIZATIONS, ExportOptions
from retrain_tools.export.exporting import (
    TARGETS,
    check_target,
    export_model,
    for_images,
    wanted_tensors,
)
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.labels import labels_of

graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=True)
flags.DEFINE_enum("to", None, list(TARGETS), "The form to export to.")
graph_flags.define_path("output", None, "The file or folder to write.")
flags.DEFINE_list(
    "outputs",
    None,
    "Tensors that the export gives. Default: the graph's result, or its bottleneck.",
)
graph_flags.define_path(
    "labels",
    None,
    "For a SavedModel: file with one label a line. Default: the graph's own, or a file beside it.",
)
flags.DEFINE_enum(
    "quantize",
    "none",
    list(QUANTIZATIONS),
    "For TensorFlow Lite: weights as float16, or as int8 (dynamic). The difference is printed.",
)
flags.DEFINE_float("tolerance", 1e-4, "Largest difference from the source to accept.", 0.0)
FLAGS = flags.FLAGS

_DIFFERENT = 1  # exit status


def main(words: list[str]) -> None:
    """Run the script."""
    command_line.require("graph", "to", "output")
    check_target(FLAGS.to, FLAGS.output)
    model = dataclasses.replace(graph_flags.given_model(), overrides=graph_flags.given_overrides())
    frozen = for_images(model)
    has_images = FLAGS.image_dir or FLAGS.image_list or words
    options = ExportOptions(
        outputs=FLAGS.outputs or (),
        labels=_labels(frozen) if frozen else FLAGS.labels or (),
        images=graph_flags.given_images(words) if has_images else (),
        quantize=FLAGS.quantize,
        on_error=FLAGS.on_error,
        running=graph_flags.given_run_settings(),
    )
    found = export_model(model, FLAGS.output, FLAGS.to, options, frozen)
    print(found.summary())
    sys.stdout.flush()
    if found.difference > FLAGS.tolerance:
        sys.exit(_DIFFERENT)


def _labels(frozen: FrozenGraph) -> list[str]:
    """Return the labels of the graph's result; none where they would be numbers."""
    final = frozen.spec.final
    shape = None if final is None else tensor_shape(frozen.graph_def, final)
    count = shape[-1] if shape else None
    is_first = wanted_tensors(frozen, FLAGS.outputs or ())[0] == final
    if FLAGS.to != "saved_model" or not is_first or count is None:
        if FLAGS.labels:
            raise InputError("--labels are for a SavedModel whose first output is of classes.")
        return []
    labels = labels_of(frozen, count, FLAGS.labels)
    return [] if labels == [str(number) for number in range(count)] else labels


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()
