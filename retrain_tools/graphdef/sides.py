"""A graph cut at the pixel input: the image side, per image, and the body, in batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from retrain_tools.errors import InputError
from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.navigate import (
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.graphdef.transforms.batch import make_batchable
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_batch_norms
from retrain_tools.graphdef.transforms.pass_through import remove_pass_through
from retrain_tools.graphdef.weights import Weights, large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf


@dataclasses.dataclass(frozen=True)
class ImageSide:
    """The graph from an encoded image to prepared pixels. Tensor names carry `:0`.

    Attributes:
        graph_def: its nodes.
        encoded: string scalar: one encoded image.
        decoded: uint8 [H, W, 3].
        resized: float32 [1, h, w, 3], 0 to 255; None where the graph resizes in another way.
        pixels: float32 [1, h, w, 3], prepared.
    """

    graph_def: Any
    encoded: str
    decoded: str
    resized: str | None
    pixels: str


def image_side(graph_def: Any, spec: GraphSpec) -> ImageSide:
    """Return the graph's own image side, or for a graph that takes pixels, retrain.py's."""
    if spec.encoded_input is None or spec.decoded is None:
        return make_image_side(spec, {node.name for node in graph_def.node})
    wanted = upstream(nodes_by_name(graph_def), [spec.pixel_input])
    side = copy_nodes(graph_def, lambda node: node.name in wanted)
    for node in side.node:  # an image in a Const is only an example; a Placeholder is fed the same
        if node.name == node_name(spec.encoded_input):
            node.CopyFrom(new_node(node.name, "Placeholder", dtype=tf.string))
    return ImageSide(side, spec.encoded_input, spec.decoded, spec.resized, spec.pixel_input)


def make_image_side(spec: GraphSpec, taken: Collection[str]) -> ImageSide:
    """Build the image side that retrain.py put in front of graphs that take pixels.

    Decode to RGB, resize with TensorFlow 1's bilinear defaults (aspect not kept), subtract the
    mean, multiply by 1/std.

    Args:
        spec: gives image size, mean and std.
        taken: node names that must not be used again.
    """
    name = {
        base: unique_name(base, taken)
        for base in ("DecodeJpeg", "Cast", "ExpandDims", "ResizeBilinear", "Sub", "Mul")
    }
    side = tf.compat.v1.GraphDef()
    encoded = f"{name['DecodeJpeg']}/contents"
    dim, size = f"{name['ExpandDims']}/dim", f"{name['ResizeBilinear']}/size"
    mean, scale = f"{name['Sub']}/y", f"{name['Mul']}/y"
    f32, u8 = tf.float32, tf.uint8
    side.node.extend(
        [
            new_node(encoded, "Placeholder", dtype=tf.string),
            new_node(name["DecodeJpeg"], "DecodeJpeg", [encoded], channels=3),
            new_node(name["Cast"], "Cast", [name["DecodeJpeg"]], SrcT=u8, DstT=f32),
            new_constant(dim, np.int32(0)),
            new_node(name["ExpandDims"], "ExpandDims", [name["Cast"], dim], T=f32),
            new_constant(size, np.array(spec.image_size, np.int32)),
            new_node(name["ResizeBilinear"], "ResizeBilinear", [name["ExpandDims"], size], T=f32),
            new_constant(mean, np.asarray(spec.mean, np.float32)),
            new_node(name["Sub"], "Sub", [name["ResizeBilinear"], mean], T=f32),
            new_constant(scale, np.float32(1.0 / spec.std)),
            new_node(name["Mul"], "Mul", [name["Sub"], scale], T=f32),
        ]
    )
    return ImageSide(
        side,
        f"{encoded}:0",
        f"{name['DecodeJpeg']}:0",
        f"{name['ResizeBilinear']}:0",
        f"{name['Mul']}:0",
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
    entrance = nodes_by_name(graph_def)[node_name(spec.pixel_input)]
    dims = entrance.attr["shape"].shape.dim if "shape" in entrance.attr else []
    if entrance.op != "Placeholder" or (dims and dims[0].size not in (1, -1)):
        return
    side = side or make_image_side(spec, {node.name for node in graph_def.node})
    shape = tf.compat.v1.AttrValue()
    shape.shape.CopyFrom(tf.TensorShape([None, *spec.image_size, 3]).as_proto())
    if dims:
        shape.CopyFrom(entrance.attr["shape"])
    inputs = [node_name(side.pixels)]
    node = new_node(entrance.name, "PlaceholderWithDefault", inputs, dtype=tf.float32, shape=shape)
    for key in entrance.attr:
        if key.startswith("_"):  # a note
            node.attr[key].CopyFrom(entrance.attr[key])
    entrance.CopyFrom(node)
    graph_def.node.extend(side.graph_def.node)


def body(graph_def: Any, spec: GraphSpec, fetches: Sequence[str]) -> tuple[Any, Weights]:
    """Return the part from the pixel input to `fetches`, ready for batches and for speed.

    It comes as a light graph and its weights, for `import_light`.

    The pixel input becomes a float32 [None, h, w, 3] placeholder of the same name; shapes that
    are hard-coded for one image are opened; old batch norms are folded into their kernels (the
    same numbers to 1e-5 relative) and nodes that only pass values on are taken out.

    Raises:
        InputError: a fetch is not computed from the pixel input.
    """
    nodes = nodes_by_name(graph_def)
    entrance = node_name(spec.pixel_input)
    wanted = upstream(nodes, fetches, stop=[entrance])
    for fetch in fetches:
        if (
            entrance not in upstream(nodes, [fetch], stop=[entrance])
            or node_name(fetch) == entrance
        ):
            raise InputError(
                f"{fetch!r} is not computed from {spec.pixel_input!r}, where images enter the "
                "network, so it is not a feature of an image; choose a tensor further on."
            )
    part = light_copy(graph_def, lambda node: node.name in wanted)
    weights = large_constants(graph_def, lambda node: node.name in wanted)
    for node in part.node:
        if node.name == entrance:
            node.CopyFrom(new_node(entrance, "Placeholder", dtype=tf.float32))
            shape = tf.TensorShape([None, *spec.image_size, 3])
            node.attr["shape"].shape.CopyFrom(shape.as_proto())
    fetched = [node_name(fetch) for fetch in fetches]
    part = remove_pass_through(part, keep=fetched)
    part, weights = fold_batch_norms(part, weights, keep=fetched)
    return make_batchable(part, spec.pixel_input), weights
