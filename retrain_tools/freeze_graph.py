r"""Freeze a slim checkpoint into a graph that every tool here takes; the network is recognised.

  python -m retrain_tools.freeze_graph --checkpoint=inception_v3_2016_08_28.tar.gz \
      --output=inception_v3.pb

The graph takes an encoded picture at DecodeJpeg/contents:0 (decoded, resized, scaled as the network
was trained) or prepared pixels, in batches, at input:0.
"""

from __future__ import annotations

from absl import flags

from retrain_tools import command_line
from retrain_tools.graphdef.save import write_graph
from retrain_tools.slim.freezing import freeze_checkpoint

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "V2 prefix, V1 file, folder, or the published .tar.gz."
)
_OUTPUT = flags.DEFINE_string("output", None, "The frozen graph to write.")
_ARCHITECTURE = flags.DEFINE_string(
    "architecture", None, "The network's name, to check the checkpoint against."
)
_MOVING_AVERAGES = flags.DEFINE_boolean(
    "moving_averages", True, "Take the variables' moving averages where there are any."
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the pictures in pixels. Default: the network's.", lower_bound=32
)
_PREPROCESS = flags.DEFINE_enum(
    "preprocess",
    "resize",
    ["resize", "slim"],
    "Resize whole pictures, or crop them as slim did to evaluate the network.",
)


def main(_: list[str]) -> None:
    """Run the script."""
    command_line.require(_CHECKPOINT, _OUTPUT)
    frozen = freeze_checkpoint(
        _CHECKPOINT.value,
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


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
