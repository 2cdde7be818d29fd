"""How an image enters a graph: the tensors that take it, encoded or as pixels, and its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.constants import integers
from retrain_tools.graphdef.dtypes import FLOAT32, STRING, dtype_name
from retrain_tools.graphdef.navigate import (
    attribute,
    check_made,
    constant_node,
    full_name,
    node_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import (
    DECODERS,
    FIRST_LAYERS,
    PADDINGS,
    PLACEHOLDERS,
    RESIZERS,
)
from retrain_tools.graphdef.pixel_flow import (
    CHANNELS,
    Entry,
    Shapes,
    channels_after,
    find_entry,
    is_fed,
)
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import list_tensors, shape_text
from retrain_tools.graphdef.walks import downstream, successors


class NotForImagesError(InputError):
    """No tensor of a graph takes images as they are fed here, so far as can be seen."""


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """Where images enter a graph. Tensor names carry `:0`.

    Attributes:
        pixels: float32 [N, h, w, channels], the tensor that takes prepared pixels.
        channels: 3 for RGB images, 1 for grey ones.
        size: the (height, width) that the graph itself asks for; None if it does not say.
        shape: the shape of `pixels`, as far as it is known.
        encoded: the string tensor that takes one encoded image; None if there is none.
        decoded: uint8 [H, W, channels], what decoding gives; None without `encoded`.
        placeholder: what a caller feeds in place of `pixels`, where that is made from it by
            reshaping; None where it is not.
        is_fixed: whether `pixels` is a placeholder, so that its shape cannot be another.
    """

    pixels: str
    channels: int
    size: tuple[int, int] | None
    shape: Shape | None
    encoded: str | None = None
    decoded: str | None = None
    placeholder: str | None = None
    is_fixed: bool = False


def find_inputs(
    graph_def: Any,
    nodes: dict[str, Any],
    where: str,
    input_layer: str | None,
    shapes: Shapes | None = None,
) -> ImageInput:
    """Find where images enter: by a decoder, or by a placeholder that takes pixels.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        where: its file, for error messages.
        input_layer: the tensor that takes the image, if the user named it.
        shapes: the shapes of its tensors by full name, where they are known already.

    Raises:
        InputError: there is no such tensor, or it cannot take images.
        NotForImagesError: none is seen to.
    """
    if shapes is None:
        shapes = {tensor.name: tensor.shape for tensor in list_tensors(graph_def)}
    decoders = [n for n in graph_def.node if n.op in DECODERS and n.input]
    encoded = decoded = None
    if decoders:
        encoded, decoded = full_name(decoders[0].input[0]), f"{decoders[0].name}:0"
    if input_layer is not None:
        name = check_made(input_layer, nodes, where)
        if attribute(nodes[node_name(name)], "dtype").type != STRING:
            return _named(graph_def, nodes, where, shapes, name)
        encoded = name
        decoding = (d for d in decoders if node_name(name) in upstream(nodes, [d.name]))
        decoded = next((f"{decoder.name}:0" for decoder in decoding), None)
    if encoded is not None and decoded is not None:
        # A product before the first convolution only makes an image grey, as TensorFlow does it.
        convolutions = [op for op in FIRST_LAYERS if op != "MatMul"]
        pixels = _pixels_after_decoding(graph_def, nodes, decoded, convolutions)
        pixels = pixels or _pixels_after_decoding(graph_def, nodes, decoded, FIRST_LAYERS)
        if pixels is not None:
            return _after_decoding(graph_def, nodes, where, shapes, (encoded, decoded, pixels))
    if input_layer is not None:
        raise InputError(
            f"{encoded!r} of {where} takes bytes, but no image decoded from them goes on to a "
            f"layer; name a tensor that takes pixels with {argument('input_layer')}."
        )
    return _placeholder(graph_def, nodes, where, shapes)


def image_entries(graph_def: Any, nodes: dict[str, Any], shapes: Shapes) -> list[Entry]:
    """Return where images enter by placeholders, the most likely first, those with a problem last.

    One from which a layer is seen to take images comes before one that only has their shape, RGB
    before grey, and what is fed as it is before what is reshaped.
    """
    found = []
    for node in graph_def.node:
        if node.op in PLACEHOLDERS and attribute(node, "dtype").type == FLOAT32:
            entry = find_entry(graph_def, nodes, shapes, f"{node.name}:0")
            if entry is not None:
                found.append(entry)

    def order(entry: Entry) -> tuple[bool, ...]:
        is_reshaped = entry.pixels != entry.placeholder
        return entry.problem is not None, not entry.reaches_layer, entry.channels == 1, is_reshaped

    return sorted(found, key=order)


def _placeholder(graph_def: Any, nodes: dict[str, Any], where: str, shapes: Shapes) -> ImageInput:
    entries = image_entries(graph_def, nodes, shapes)
    if not entries:
        raise NotForImagesError(
            f"No tensor of {where} is seen to take images; name it with {argument('input_layer')}. "
            f"List them: list_tensors --graph={where}"
        )
    return _taken(entries[0], nodes, where)


def _taken(entry: Entry, nodes: dict[str, Any], where: str) -> ImageInput:
    size = _own_size(nodes, entry.pixels, entry.shape)
    if entry.problem is not None:
        raise NotForImagesError(
            f"{entry.placeholder!r} of {where} {entry.problem}; images are fed as "
            f"{fed_shape((None, None), None)}; name another tensor with "
            f"{argument('input_layer')}."
        )
    other = entry.placeholder if entry.placeholder != entry.pixels else None
    channels = entry.channels or CHANNELS[0]
    return ImageInput(entry.pixels, channels, size, entry.shape, placeholder=other, is_fixed=True)


def fed_shape(size: tuple[int | None, int | None], channels: int | None) -> str:
    """Return the shape in which images are fed, as people write it."""
    sides = [side or name for side, name in zip(size, ("height", "width"), strict=True)]
    last = str(channels) if channels in CHANNELS else "3 or 1"
    return f"[?, {sides[0]}, {sides[1]}, {last}]"


def _named(
    graph_def: Any, nodes: dict[str, Any], where: str, shapes: Shapes, name: str
) -> ImageInput:
    """Return the tensor that the user named; a placeholder only if images can be fed there."""
    shape = shapes.get(name)
    if is_fed(nodes, name):
        number = attribute(nodes[node_name(name)], "dtype").type
        if number not in (0, FLOAT32):
            raise InputError(
                f"{name!r} of {where} takes {dtype_name(number)}, and images are fed as float32; "
                f"name another tensor with {argument('input_layer')}."
            )
        entry = find_entry(graph_def, nodes, shapes, name)
        if entry is not None:
            return _taken(entry, nodes, where)
    channels = channels_after(graph_def, nodes, shapes, name) or CHANNELS[0]
    found = ImageInput(name, channels, _own_size(nodes, name, shape), shape)
    if is_fed(nodes, name):
        check_shape(found, where)
    return found


def check_shape(
    images: ImageInput, where: str, size: tuple[int | None, int | None] = (None, None)
) -> None:
    """Raise InputError where images of a (height, width) cannot be fed to their tensor."""
    shape, channels = images.shape, images.channels
    if shape is None and channels in CHANNELS:
        return
    wanted = (None, *size, channels if channels in CHANNELS else CHANNELS[0])
    if shape is None or not _fits(wanted, shape):
        takes = f"images of {channels} channels" if shape is None else shape_text(shape)
        fed = fed_shape(size, channels if shape is None or len(shape) == 4 else None)
        raise InputError(
            f"{images.pixels!r} of {where} takes {takes}, and images are fed as {fed}; name "
            f"another tensor with {argument('input_layer')}."
        )


def _fits(wanted: Shape, shape: Shape) -> bool:
    pairs = zip(wanted, shape, strict=False)
    return len(wanted) == len(shape) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _after_decoding(
    graph_def: Any,
    nodes: dict[str, Any],
    where: str,
    shapes: Shapes,
    names: tuple[str, str, str],
) -> ImageInput:
    """Return the input of a graph with a decoder: the encoded, the decoded and the pixel tensor."""
    encoded, decoded, pixels = names
    channels = channels_after(graph_def, nodes, shapes, pixels)
    channels = channels or decoder_channels(nodes[node_name(decoded)]) or CHANNELS[0]
    if channels not in CHANNELS:
        raise InputError(
            f"{decoded!r} of {where} gives images of {channels} channels to {pixels!r}; only "
            "colour images (3) and grey ones (1) can be run."
        )
    shape = shapes.get(pixels)
    # The op that resizes says it; Pillow's nearest is no single op, but has a placeholder after it.
    size = _own_size(nodes, pixels, None) or _own_size(nodes, pixels, shape)
    return ImageInput(pixels, channels, size, shape, encoded, decoded)


def decoder_channels(decoder: Any) -> int:
    """Return how many channels a decoder gives; 0 for as many as are in the file."""
    return int(attribute(decoder, "channels").i)


def _pixels_after_decoding(
    graph_def: Any, nodes: dict[str, Any], decoded: str, first_layers: Collection[str]
) -> str | None:
    """Return the tensor between the image side and the network: what the first layer takes.

    Every path from the decoded image to that layer must go through it, or batches could not enter.
    """
    start = node_name(decoded)
    all_layers = [node.name for node in graph_def.node if node.op in first_layers]
    reached = downstream(successors(graph_def), [start], stop=all_layers)
    layers = [name for name in all_layers if name in reached]
    if not layers:
        return None
    first = min(layers, key=lambda name: len(upstream(nodes, [name])))  # in any order in the file
    pixels = full_name(nodes[first].input[0])
    while nodes[node_name(pixels)].op in PADDINGS:  # the first layer's own, as the ResNets have it
        pixels = full_name(nodes[node_name(pixels)].input[0])
    rest = upstream(nodes, [first], stop=[node_name(pixels)])
    return pixels if start not in rest or start == node_name(pixels) else None


def resized_tensor(nodes: dict[str, Any], pixels: str) -> str | None:
    """Return the tensor that resizing gives, upstream of the pixels; None if there is no one."""
    found = [n for n in upstream(nodes, [pixels]) if nodes[n].op in RESIZERS]
    return f"{found[0]}:0" if len(found) == 1 else None


def _own_size(nodes: dict[str, Any], pixels: str, shape: Shape | None) -> tuple[int, int] | None:
    """Return the (height, width) that the graph itself asks for; None if it does not say."""
    if shape is not None and len(shape) == 4 and shape[1] and shape[2]:
        return shape[1], shape[2]
    if (resized := resized_tensor(nodes, pixels)) is not None:
        size = constant_node(nodes, nodes[node_name(resized)].input[1])
        value = size and integers(attribute(size, "value").tensor, 2)
        if isinstance(value, tuple) and len(value) == 2:
            return value
    return None
