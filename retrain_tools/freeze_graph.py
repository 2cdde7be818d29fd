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

The flags of TensorFlow's own freeze_graph work as they did: --input_graph or --input_meta_graph
with --input_checkpoint, or --input_saved_model_dir; --output_node_names; --output_graph.
"""

from __future__ import annotations

import dataclasses

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.sources.classic_freezing import ClassicInputs, freeze_classic
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
for _name, _help in {
    "input_graph": "TensorFlow's freeze_graph: a GraphDef with variables, binary or text.",
    "input_meta_graph": "TensorFlow's freeze_graph: a MetaGraph instead.",
    "input_checkpoint": "TensorFlow's freeze_graph: the checkpoint of either.",
    "input_saved_model_dir": "TensorFlow's freeze_graph: a SavedModel instead of all that.",
    "output_graph": "TensorFlow's freeze_graph: the same as --output.",
    "input_saver": "TensorFlow's freeze_graph: not used, as nothing has to be run for it.",
}.items():
    graph_flags.define_path(_name, None, _help)
flags.DEFINE_list("saved_model_tags", None, "TensorFlow's freeze_graph: the same as --tags.")
flags.DEFINE_boolean("clear_devices", True, "TensorFlow's freeze_graph: devices always go.")
for _name in ("initializer_nodes", "variable_names_whitelist", "variable_names_denylist"):
    flags.DEFINE_list(_name, None, "TensorFlow's freeze_graph: refused, see what it says.")
flags.DEFINE_string(
    "restore_op_name", "save/restore_all", "Of --input_graph: what restores its variables, if any."
)
for _name in ("input_binary", "checkpoint_version", "filename_tensor_name"):
    flags.DEFINE_string(_name, None, "TensorFlow's freeze_graph: not used, the files tell.")
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Run the script."""
    FLAGS.output = FLAGS.output or FLAGS.output_graph
    command_line.require("output")
    classic = _classic_inputs()
    if classic.are_given:
        files.check_file(FLAGS.output)
        frozen = freeze_classic(classic)
        write_graph(FLAGS.output, frozen.graph_def)
        taken, made = (", ".join(ends.values()) for ends in (frozen.inputs, frozen.outputs))
        print(f"{FLAGS.output}: {len(frozen.graph_def.node):,} nodes; {taken} in, {made} out")
        return
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


def _classic_inputs() -> ClassicInputs:
    """Return what the flags of TensorFlow's freeze_graph name."""
    given = ClassicInputs(
        input_graph=FLAGS.input_graph,
        input_meta_graph=FLAGS.input_meta_graph,
        input_checkpoint=FLAGS.input_checkpoint,
        input_saved_model_dir=FLAGS.input_saved_model_dir,
        tags=FLAGS.saved_model_tags or FLAGS.tags,
        outputs=FLAGS.output_node_names,
        restore_op_name=FLAGS.restore_op_name,
    )
    if given.are_given and (FLAGS.graph or FLAGS.checkpoint):
        raise InputError("Name the graph by --graph or --checkpoint, or by --input_…, not by both.")
    if FLAGS.initializer_nodes:
        raise InputError("--initializer_nodes would run nodes; nothing of a graph is run here.")
    if not FLAGS.clear_devices:
        raise InputError("--noclear_devices: a frozen graph keeps no devices; leave it out.")
    for name in ("variable_names_whitelist", "variable_names_denylist"):
        if FLAGS[name].value:
            raise InputError(f"--{name}: a frozen graph has no variables left; leave it out.")
    return given


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
