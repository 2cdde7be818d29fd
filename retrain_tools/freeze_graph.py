r"""Freeze a network into a graph that every tool here takes, and TensorFlow 1 as well.

  python -m retrain_tools.freeze_graph --checkpoint=inception_v3_2016_08_28.tar.gz \
      --output=inception_v3.pb
  python -m retrain_tools.freeze_graph --graph=saved_model_folder --output=network.pb

--checkpoint takes a checkpoint of slim, which has no graph: the network is recognised by its
variables. Its graph takes an encoded image at DecodeJpeg/contents:0 (decoded, resized, scaled as
the network was trained) or prepared pixels, in batches, at input:0.

--graph takes whatever else has variables: a SavedModel or Hub module, a MetaGraph (.meta) with its
checkpoint, a Keras model (.keras, .h5), an archive of one of these. Names stay as they are; where
the scaling of pixels is known, the graph takes encoded images as well.

Of a training graph (.meta) the prediction is frozen: what its loss and accuracy judge. Everything
that has to be fed for it is printed. Where the prediction cannot be told, --output_node_names says
what it is.
"""

from __future__ import annotations

import dataclasses

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.sources.freezing.write import write_frozen
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.model import Model
from retrain_tools.text_tables import Style, aligned

graph_flags.define_graph_flags()
graph_flags.define_path(
    "checkpoint",
    None,
    "Slim's, instead of --graph: V2 prefix, V1 file, folder, or the published .tar.gz.",
)
graph_flags.define_path("output", None, "The frozen graph to write.")
flags.DEFINE_string("architecture", None, "The network's name, to check the checkpoint against.")
flags.DEFINE_boolean(
    "moving_averages", True, "Take the variables' moving averages where there are any."
)
flags.DEFINE_integer(
    "image_size", None, "Side of the images in pixels. Default: the network's.", lower_bound=32
)
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Run the script."""
    command_line.require("output")
    if (FLAGS.checkpoint is None) == (FLAGS.graph is None):
        raise InputError("Name one thing to freeze: a slim --checkpoint, or a --graph.")
    if FLAGS.preprocess == "none":
        raise InputError("--preprocess=none is for reading features: a frozen graph scales itself.")
    files.check_file(FLAGS.output)
    overrides = graph_flags.given_overrides()
    if FLAGS.image_size is not None:
        overrides = dataclasses.replace(
            overrides, input_height=FLAGS.image_size, input_width=FLAGS.image_size
        )
    model = graph_flags.given_model(
        FLAGS.checkpoint or FLAGS.graph,
        architecture=FLAGS.architecture,
        moving_averages=FLAGS.moving_averages,
        keeps_frozen=False,
        must_be_slim=FLAGS.checkpoint is not None,
    )
    print(_freeze_slim(model, overrides) if model.slim_network else _freeze(model, overrides))


def _freeze_slim(model: Model, overrides: SpecOverrides) -> str:
    frozen = model.frozen(overrides)
    write_graph(FLAGS.output, frozen.graph_def)
    spec = frozen.spec
    shapes = {tensor.name: tensor.shape or (None,) for tensor in list_tensors(frozen.graph_def)}
    height, width = spec.image_size
    return (
        f"{FLAGS.output}: {model.slim_network}, {shapes[spec.final or ''][-1]} classes, "
        f"{height} × {width} pixels; bottleneck {spec.bottleneck} "
        f"({shapes[spec.bottleneck][-1]}), result {spec.final}"
    )


def _freeze(model: Model, overrides: SpecOverrides) -> str:
    if FLAGS.image_size is not None:
        raise InputError(f"{argument('image_size')} is for slim checkpoints.")
    inputs, outputs = write_frozen(model, FLAGS.output, overrides)
    taken, given = ", ".join(tensor.name for tensor in inputs), ", ".join(outputs)
    said = f"{FLAGS.output}: {model.description}; {taken} in, {given} out"
    if model.signatures or model.kind not in (Kind.META_GRAPH, Kind.CHECKPOINT):
        return said
    # Of a training graph, nothing but the graph says what its result needs.
    lines = [(t.name, t.dtype, t.shape_text, _DEFAULTS.get(t.op, "")) for t in inputs]
    return f"{said}\nTo feed:\n{aligned(lines, Style(), heading=False)}".rstrip("\n")


_DEFAULTS = {"PlaceholderWithDefault": "or nothing, for its default"}


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
