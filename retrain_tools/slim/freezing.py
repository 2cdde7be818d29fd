"""A slim checkpoint's arrays to a frozen graph that takes encoded images as well as pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import strip_defaults
from retrain_tools.graphdef.image_side import add_image_side
from retrain_tools.graphdef.note import Note, write_note
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.slim.folding import Array
from retrain_tools.slim.networks import PREPROCESSING, BuiltNetwork, build_network, network_info
from retrain_tools.slim.preprocessing import evaluation_side
from retrain_tools.slim.recognise import recognise
from retrain_tools.slim.variables import Shapes, select_variables


class _Variables(Mapping[str, Array]):
    """A checkpoint's variables, each read when it is asked for: VGG's are half a gigabyte."""

    def __init__(self, names: Mapping[str, str], read: Callable[[str], Array]) -> None:
        """Remember the name to read each variable under, and what reads it."""
        self._names, self._read = names, read

    def __getitem__(self, name: str) -> Array:
        return self._read(self._names[name])

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def freeze_network(
    shapes: Shapes,
    read: Callable[[str], Array],
    where: str,
    *,
    architecture: str | None = None,
    moving_averages: bool = True,
    image_size: tuple[int, int] | None = None,
    preprocess: str = "resize",
) -> Any:
    """Recognise the network of a checkpoint, and build its frozen graph.

    `DecodeJpeg/contents:0` takes an encoded image, `input:0` pixels. In front of the network stands
    its image side: decode, resize or crop, and the scaling that it was trained with. AlexNet, which
    was never published, gets Inception's. The graph's note says all that.

    Args:
        shapes: of all variables in the checkpoint, by name.
        read: reads a variable.
        where: the checkpoint, for error messages.
        architecture: the network's name, to have the checkpoint checked against it.
        moving_averages: read the moving averages of variables where the checkpoint has them.
        image_size: (height, width) in pixels; None for the network's own.
        preprocess: `resize` the whole image, aspect not kept, or crop as `slim` evaluated.

    Returns:
        The `schema.GraphDef`.

    Raises:
        InputError: see `recognise` and `build_network`; or the checkpoint is of another network
            than `architecture`.
    """
    if architecture is not None:
        network_info(architecture)
    network = recognise(shapes)
    if architecture not in (None, network.name):
        raise InputError(f"{where} is a checkpoint of {network.name}, not of {architecture}.")
    variables = _Variables(select_variables(shapes, moving_averages), read)
    built = build_network(network.name, variables, image_size, network.num_classes, network.width)
    side = network_info(network.name).image_size
    _attach_image_side(built, network.name, image_size or (side, side), preprocess)
    return built.graph_def


def _attach_image_side(
    built: BuiltNetwork, name: str, size: tuple[int, int], preprocess: str
) -> None:
    """Put the image side before a network, and the note about it into its graph."""
    prepared = PREPROCESSING[network_info(name).preprocessing or "inception"]
    known: dict[str, Any] = {
        "mean": prepared.mean,
        "std": prepared.std,
        "final": built.predictions,
        "end_points": built.end_points,
    }
    spec = GraphSpec(
        encoded_input=None,
        decoded=None,
        resized=None,
        pixel_input=built.input,
        image_size=size,
        bottleneck=built.bottleneck,
        **known,
    )
    slims = evaluation_side(prepared, size) if preprocess == "slim" else None
    add_image_side(built.graph_def, spec, slims)
    for node in built.graph_def.node:
        strip_defaults(node)
    note = Note(source=name, preprocess=preprocess, bottleneck=built.bottleneck, **known)
    write_note(built.graph_def, built.input, note)
