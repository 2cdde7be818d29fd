"""The image side of a graph: its nodes from an encoded image to the pixels that it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32, STRING, UINT8
from retrain_tools.graphdef.image_inputs import decoder_channels
from retrain_tools.graphdef.navigate import (
    attribute,
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.note import read_note, write_note
from retrain_tools.graphdef.resizing import decoding_of, resizing_nodes
from retrain_tools.graphdef.spec import TF_BILINEAR, GraphSpec


@dataclasses.dataclass(frozen=True)
class ImageSide:
    """The graph from an encoded image to prepared pixels. Tensor names carry `:0`.

    Attributes:
        graph_def: its nodes.
        encoded: string scalar: one encoded image.
        decoded: uint8 [H, W, channels].
        resized: float32 [1, h, w, channels], 0 to 255; None where the graph resizes in another way.
        pixels: float32 [1, h, w, channels], prepared; the graph may have made colour images grey.
        channels: of the decoded image: 3 for RGB, 1 for grey.
    """

    graph_def: Any
    encoded: str
    decoded: str
    resized: str | None
    pixels: str
    channels: int


def image_side(graph_def: Any, spec: GraphSpec) -> ImageSide:
    """Return the graph's own image side, or for a graph that takes pixels, retrain.py's."""
    if spec.encoded_input is None or spec.decoded is None:
        return make_image_side(spec, {node.name for node in graph_def.node})
    nodes = nodes_by_name(graph_def)
    wanted = upstream(nodes, [spec.pixel_input])
    channels = decoder_channels(nodes[node_name(spec.decoded)]) or spec.channels
    side = copy_nodes(graph_def, lambda node: node.name in wanted)
    for node in side.node:  # an image in a Const is only an example; a Placeholder is fed the same
        if node.name == node_name(spec.encoded_input):
            node.CopyFrom(new_node(node.name, "Placeholder", dtype=STRING))
    names = spec.encoded_input, spec.decoded, spec.resized, spec.pixel_input
    return ImageSide(side, *names, channels)


def make_image_side(spec: GraphSpec, taken: Collection[str]) -> ImageSide:
    """Build the image side that retrain.py put in front of graphs that take pixels.

    Decode to RGB (or to grey, for a network of one channel), resize (aspect not kept) with
    TensorFlow 1's bilinear defaults or as the spec says, subtract the mean, multiply by 1/std.

    Args:
        spec: gives image size, resize, mean and std.
        taken: node names that must not be used again.
    """
    resize = "ResizeBilinear" if spec.resize in (None, TF_BILINEAR) else "Resize"
    name = {
        base: unique_name(base, taken)
        for base in ("DecodeJpeg", "Cast", "ExpandDims", resize, "Sub", "Mul")
    }
    decoding = {"channels": spec.channels, **decoding_of(spec.resize)}
    side = schema.GraphDef()
    encoded = f"{name['DecodeJpeg']}/contents"
    resized, dim = name[resize], f"{name['ExpandDims']}/dim"
    mean, scale = f"{name['Sub']}/y", f"{name['Mul']}/y"
    side.node.extend(
        [
            new_node(encoded, "Placeholder", dtype=STRING),
            new_node(name["DecodeJpeg"], "DecodeJpeg", [encoded], **decoding),
            new_node(name["Cast"], "Cast", [name["DecodeJpeg"]], SrcT=UINT8, DstT=FLOAT32),
            new_constant(dim, np.int32(0)),
            new_node(name["ExpandDims"], "ExpandDims", [name["Cast"], dim], T=FLOAT32),
            *resizing_nodes(resized, name["ExpandDims"], spec.resize, spec.image_size),
            new_constant(mean, np.asarray(spec.mean, np.float32)),
            new_node(name["Sub"], "Sub", [resized, mean], T=FLOAT32),
            new_constant(scale, np.float32(1.0 / spec.std)),
            new_node(name["Mul"], "Mul", [name["Sub"], scale], T=FLOAT32),
        ]
    )
    return ImageSide(
        side,
        f"{encoded}:0",
        f"{name['DecodeJpeg']}:0",
        f"{resized}:0",
        f"{name['Mul']}:0",
        spec.channels,
    )


def add_image_side(graph_def: Any, spec: GraphSpec, side: ImageSide | None = None) -> None:
    """Give a graph that takes pixels an encoded input as well; `graph_def` is changed.

    Its placeholder then takes what decoding and scaling give, unless it is fed. A graph whose
    pixel input is computed, or takes nothing but batches, stays as it is.

    Args:
        graph_def: the graph.
        spec: its pixel input, image size and scaling.
        side: what to put in front; None for `make_image_side`.
    """
    pixels = nodes_by_name(graph_def)[node_name(spec.pixel_input)]
    dims = attribute(pixels, "shape").shape.dim
    if pixels.op != "Placeholder" or (dims and dims[0].size not in (1, -1)):
        return
    side = side or make_image_side(spec, {node.name for node in graph_def.node})
    shape = pixels.attr["shape"] if dims else (None, *spec.image_size, spec.channels)
    inputs = [node_name(side.pixels)]
    node = new_node(pixels.name, "PlaceholderWithDefault", inputs, dtype=FLOAT32, shape=shape)
    for key in pixels.attr:
        if key.startswith("_"):  # a note
            node.attr[key].CopyFrom(pixels.attr[key])
    pixels.CopyFrom(node)
    graph_def.node.extend(side.graph_def.node)
    if spec.resize is not None and (note := read_note(graph_def)) is not None:
        write_note(graph_def, pixels.name, dataclasses.replace(note, preprocess=spec.resize))
