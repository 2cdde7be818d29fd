"""A slim checkpoint to a frozen graph that takes encoded images as well as pixels."""

from __future__ import annotations

import dataclasses
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import strip_defaults
from retrain_tools.graphdef.image_side import add_image_side
from retrain_tools.graphdef.note import Note, write_note
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.slim.checkpoint import CheckpointVariables, open_checkpoint
from retrain_tools.slim.networks import PREPROCESSING, BuiltNetwork, build_network, network_info
from retrain_tools.slim.preprocessing import evaluation_side
from retrain_tools.slim.recognise import Recognised, recognise
from retrain_tools.slim.variables import select_variables


@dataclasses.dataclass(frozen=True)
class FrozenCheckpoint:
    """A frozen slim network.

    Attributes:
        graph_def: the graph; `DecodeJpeg/contents:0` takes an encoded image, `input:0` pixels.
        spec: how to use it on images.
        network: what the checkpoint was recognised as.
        bottleneck_depth: values per image in the bottleneck.
    """

    graph_def: Any
    spec: GraphSpec
    network: Recognised
    bottleneck_depth: int


def freeze_checkpoint(
    path: str,
    architecture: str | None = None,
    moving_averages: bool = True,
    image_size: int | tuple[int, int] | None = None,
    preprocess: str = "resize",
) -> FrozenCheckpoint:
    """Read a checkpoint, recognise its network, and build the frozen graph.

    In front of the network stands its image side: decode, resize or crop, and the scaling that it
    was trained with. AlexNet, which was never published, gets Inception's.

    Args:
        path: see `open_checkpoint`.
        architecture: the network's name, to have the checkpoint checked against it.
        moving_averages: read the moving averages of variables where the checkpoint has them.
        image_size: side or (height, width) in pixels; None for the network's own.
        preprocess: `resize` the whole image, aspect not kept, or crop as `slim` evaluated.

    Raises:
        InputError: see `open_checkpoint`, `recognise` and `build_network`; or the checkpoint is
            of another network than `architecture`.
    """
    network, built = _build(path, architecture, moving_averages, image_size)
    info = network_info(network.name)
    prepared = PREPROCESSING[info.preprocessing or "inception"]
    side = info.image_size if image_size is None else image_size
    size = (side, side) if isinstance(side, int) else side
    spec = GraphSpec(
        encoded_input=None,
        decoded=None,
        resized=None,
        pixel_input=built.input,
        image_size=size,
        mean=prepared.mean,
        std=prepared.std,
        bottleneck=built.bottleneck,
        final=built.predictions,
        end_points=built.end_points,
    )
    slims = evaluation_side(prepared, size) if preprocess == "slim" else None
    add_image_side(built.graph_def, spec, slims)
    for node in built.graph_def.node:
        strip_defaults(node)
    note = Note(
        network.name, preprocess, spec.mean, spec.std, spec.bottleneck, spec.final, spec.end_points
    )
    write_note(built.graph_def, built.input, note)
    return FrozenCheckpoint(built.graph_def, spec, network, built.bottleneck_depth)


def _build(
    path: str,
    architecture: str | None,
    moving_averages: bool,
    image_size: int | tuple[int, int] | None,
) -> tuple[Recognised, BuiltNetwork]:
    """Recognise the network of a checkpoint and build it with the checkpoint's variables."""
    with open_checkpoint(path) as reader:
        shapes = {name: tuple(s) for name, s in reader.get_variable_to_shape_map().items()}
        if architecture is not None:
            network_info(architecture)
        network = recognise(shapes)
        if architecture not in (None, network.name):
            raise InputError(f"{path} is a checkpoint of {network.name}, not of {architecture}.")
        names = select_variables(shapes, moving_averages)
        variables = CheckpointVariables(reader, names, path)
        return network, build_network(
            network.name, variables, image_size, network.num_classes, network.width
        )
