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
"""

from __future__ import annotations

import logging

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.graphdef.image_side import add_image_side
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import SpecOverrides, make_spec
from retrain_tools.slim.freezing import freeze_checkpoint
from retrain_tools.sources.load import Choices, open_graph

log = logging.getLogger(__name__)

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Slim's: V2 prefix, V1 file, folder, or the published .tar.gz."
)
_GRAPH = flags.DEFINE_string("graph", None, "Any other file or folder with a network.")
_OUTPUT = flags.DEFINE_string("output", None, "The frozen graph to write.")
_TAGS = flags.DEFINE_list("tags", None, "Of a SavedModel: which of its graphs, by all of its tags.")
_SIGNATURE = flags.DEFINE_string(
    "signature",
    None,
    "Of a SavedModel or MetaGraph: what to freeze; see list_tensors --signatures.",
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture", None, "The network's name, to check the checkpoint against."
)
_MOVING_AVERAGES = flags.DEFINE_boolean(
    "moving_averages", True, "Take the variables' moving averages where there are any."
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images in pixels. Default: the network's.", lower_bound=32
)
_PREPROCESS = flags.DEFINE_enum(
    "preprocess",
    "resize",
    ["resize", "slim"],
    "Resize whole images, or crop them as slim did to evaluate the network.",
)
_OF_CHECKPOINTS = (_ARCHITECTURE, _IMAGE_SIZE)


def main(_: list[str]) -> None:
    """Run the script."""
    command_line.require(_OUTPUT)
    if (_CHECKPOINT.value is None) == (_GRAPH.value is None):
        raise InputError("Name one thing to freeze: a slim --checkpoint, or a --graph.")
    if _CHECKPOINT.value is not None:
        _freeze_checkpoint(_CHECKPOINT.value)
    else:
        _freeze_graph(_GRAPH.value)


def _freeze_checkpoint(path: str) -> None:
    frozen = freeze_checkpoint(
        path,
        _ARCHITECTURE.value,
        _MOVING_AVERAGES.value,
        _IMAGE_SIZE.value,
        _PREPROCESS.value,
    )
    write_graph(_OUTPUT.value, frozen.graph_def)
    height, width = frozen.spec.image_size
    print(
        f"{_OUTPUT.value}: {frozen.network.name}, {frozen.network.num_classes} classes, "
        f"{height} × {width} pixels; bottleneck {frozen.spec.bottleneck} "
        f"({frozen.bottleneck_depth}), result {frozen.spec.final}"
    )


def _freeze_graph(path: str) -> None:
    for holder in _OF_CHECKPOINTS:
        if holder.value is not None:
            raise InputError(f"--{holder.name} is for --checkpoint.")
    opened, entry = open_graph(path, choices=Choices(_TAGS.value, _SIGNATURE.value))
    if "network" in opened.details:  # a checkpoint of slim after all
        _freeze_checkpoint(path)
        return
    frozen = opened.freeze()
    if frozen.warning:
        log.warning("%s", frozen.warning)
    inputs = list(frozen.inputs.values())
    if frozen.note is not None:  # a network that takes images, and how they are scaled
        spec, _ = make_spec(frozen.graph_def, path, entry, SpecOverrides())
        if spec.encoded_input is None:
            add_image_side(frozen.graph_def, spec)
            spec, _ = make_spec(frozen.graph_def, path, entry, SpecOverrides())
        if spec.encoded_input is not None and spec.encoded_input not in inputs:
            inputs.insert(0, spec.encoded_input)
    write_graph(_OUTPUT.value, frozen.graph_def)
    outputs = ", ".join(frozen.outputs.values())
    print(f"{_OUTPUT.value}: {opened.kind}; {', '.join(inputs)} in, {outputs} out")


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
