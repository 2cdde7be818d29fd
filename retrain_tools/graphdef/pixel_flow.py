"""Whether a placeholder takes images, seen from what its values flow into; and where they enter."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from retrain_tools.graphdef.navigate import attribute, full_name, node_name, upstream
from retrain_tools.graphdef.op_sets import (
    CONCATENATIONS,
    CONVOLUTIONS,
    DEPTHWISE_CONVOLUTIONS,
    OLD_BATCH_NORM,
    PADDINGS,
    PASS_THROUGH,
    PLACEHOLDERS,
    RESIZERS,
    VARIABLES,
)
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import consumers_by_tensor, shape_text
from retrain_tools.graphdef.walks import downstream, successors

CHANNELS = (3, 1)  # of the images that can be fed: RGB, grey

# The values stay what they are, and lie in another shape.
_RANK_CHANGING = ("Reshape", "Transpose", "ExpandDims")
_SHAPING = (*PASS_THROUGH, *_RANK_CHANGING)
# What may stand between the pixels and the first layer.
_PREPARING = (
    *(*_SHAPING, *PADDINGS, *RESIZERS, *CONCATENATIONS, OLD_BATCH_NORM, "Cast", "BiasAdd"),
    *("Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Maximum", "Minimum", "Square", "Pow"),
    *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "QuantizeV2", "Switch", "Merge"),
    *("Split", "SplitV", "Unpack", "Pack", "Reverse", "ReverseV2", "StridedSlice", "Slice"),
    *("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs", "SpaceToBatchND", "GatherV2"),
)
_KEEPING_RANK = tuple(op for op in _PREPARING if op not in _RANK_CHANGING)
_KERNELS = (*CONVOLUTIONS, *DEPTHWISE_CONVOLUTIONS)
# They take feature maps, [N, h, w, channels], as their first input.
_IMAGE_LAYERS = (*_KERNELS, "MaxPool", "MaxPoolV2", "AvgPool", "LRN", "SpaceToDepth")


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where images enter by way of a placeholder.

    Attributes:
        placeholder: its full tensor name.
        pixels: the tensor that takes [N, h, w, channels]: the placeholder's own, or what it is
            reshaped or transposed to.
        shape: that tensor's shape, as far as it is known.
        channels: their number; None where nothing says.
        reaches_layer: whether the pixels are seen to come to a layer that takes images.
        problem: why no image can be fed, None if one can.
    """

    placeholder: str
    pixels: str
    shape: Shape | None
    channels: int | None
    reaches_layer: bool
    problem: str | None = None


Shapes = Mapping[str, Shape | None]


def find_entry(
    graph_def: Any, nodes: dict[str, Any], shapes: Shapes, placeholder: str
) -> Entry | None:
    """Return where images enter by a placeholder; None if it is not seen to take any.

    A placeholder of four dimensions takes images if the last says 1 or 3 channels, or nothing, or
    if a convolution or pooling comes after it; one of unknown rank needs such a layer. What is one
    pixel high or wide is a series of measurements, and grey images without a layer need a size:
    masks have that shape, too. Rows of pixels, and images whose channels come first, enter where
    the graph makes [N, h, w, channels] of them: it is the same pixels there, in images' order.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        shapes: the shapes of its tensors by full name.
        placeholder: the full name of a tensor that is fed.
    """
    shape = shapes.get(placeholder)
    ops = _PREPARING if shape is not None else _KEEPING_RANK
    layers = list(_layers(graph_def, nodes, placeholder, ops))
    found = _entry(shapes, placeholder, placeholder, layers)
    if found is not None and found.problem is None:
        return found
    for reshaped in _reshaped(graph_def, nodes, shapes, placeholder):
        onward = list(_layers(graph_def, nodes, reshaped))
        inner = _entry(shapes, placeholder, reshaped, onward) if onward else None
        if inner is not None and inner.problem is None:
            return inner
    if shape is not None and len(shape) == 5 and shape[-1] in CHANNELS:
        problem = f"takes {shape_text(shape)}, several images at a time, as of a film"
        return Entry(placeholder, placeholder, shape, shape[-1], False, problem)
    return found


def channels_after(
    graph_def: Any, nodes: dict[str, Any], shapes: Shapes, pixels: str
) -> int | None:
    """Return how many channels a tensor of pixels has: by its shape, or the first kernel after."""
    shape = shapes.get(pixels)
    if shape is not None and len(shape) == 4 and shape[3] is not None:
        return shape[3]
    return _kernel_depth(shapes, list(_layers(graph_def, nodes, pixels)))


def _entry(shapes: Shapes, placeholder: str, pixels: str, layers: list[Any]) -> Entry | None:
    """Judge one tensor by its shape and the layers that its values come to."""
    shape = shapes.get(pixels)
    if shape is None and not layers:
        return None
    if shape is not None and (len(shape) != 4 or 1 in shape[1:3]):
        return None
    if shape is not None and shape[3] == 1 and not layers and None in shape[1:3]:
        return None
    channels = shape[3] if shape is not None else None
    if channels is None:
        channels = _kernel_depth(shapes, layers)
    problem = None
    if _channels_come_first(shape, layers):
        takes = "images whose channels come first" if shape is None else shape_text(shape)
        problem = f"takes {takes}, with the channels before height and width (NCHW)"
    elif channels not in (*CHANNELS, None):
        if not layers:
            return None  # four dimensions of something else
        takes = shape_text(shape or (None, None, None, channels))
        problem = f"takes {takes}, images of {channels} channels"
    return Entry(placeholder, pixels, shape, channels, bool(layers), problem)


def _channels_come_first(shape: Shape | None, layers: list[Any]) -> bool:
    formats = [attribute(layer, "data_format").s for layer in layers]
    if formats:
        return formats[0] == b"NCHW"
    return shape is not None and shape[1] in CHANNELS and shape[3] not in (*CHANNELS, None)


def _kernel_depth(shapes: Shapes, layers: list[Any]) -> int | None:
    for layer in layers:
        kernel = shapes.get(full_name(layer.input[1])) if layer.op in _KERNELS else None
        if kernel is not None and len(kernel) == 4:
            return kernel[2]
    return None


def _layers(
    graph_def: Any, nodes: dict[str, Any], start: str, through: Collection[str] = _PREPARING
) -> Iterator[Any]:
    """Yield the layers that take images and that the values of a tensor come to, nearest first.

    A walk through ops that prepare pixels, as long as nothing else that is fed is mixed in: the
    rate of a dropout divides images, and is none.
    """
    users = consumers_by_tensor(graph_def)
    others = _Others(nodes, start)
    waiting, seen = [start], {start}
    for tensor in waiting:  # which grows
        for name in users.get(tensor, ()):
            node = nodes[name]
            data = [full_name(given) for given in node.input if not given.startswith("^")]
            if node.op in _IMAGE_LAYERS:
                if data[0] == tensor:
                    yield node
            elif node.op in through and not others.in_any_of(set(data) - seen):
                made = [f"{name}:{index}" for index in range(_output_count(node))]
                waiting += [one for one in made if one not in seen]
                seen.update(made)


def _output_count(node: Any) -> int:
    for key in ("num_split", "num"):
        if key in node.attr and node.op in ("Split", "SplitV", "Unpack"):
            return int(node.attr[key].i)
    return 2 if node.op == "Switch" else 1


class _Others:
    """Tells whether a tensor depends on something that is fed or read, and not on one tensor."""

    def __init__(self, nodes: dict[str, Any], start: str) -> None:
        self._nodes = nodes
        own = upstream(nodes, [start])
        self._own = {name for name in own if self._is_source(nodes[name])}

    def in_any_of(self, tensors: set[str]) -> bool:
        above = upstream(self._nodes, tensors)
        return any(self._is_source(self._nodes[name]) for name in above - self._own)

    @staticmethod
    def _is_source(node: Any) -> bool:
        known = ("Const", "NoOp", *VARIABLES)
        return node.op in PLACEHOLDERS or (not node.input and node.op not in known)


def _reshaped(
    graph_def: Any, nodes: dict[str, Any], shapes: Shapes, placeholder: str
) -> Iterator[str]:
    """Yield the tensors [N, h, w, channels] that hold just the placeholder's values.

    Only those through which every way from the placeholder goes: else it would have to be fed too.
    """
    users, after = consumers_by_tensor(graph_def), successors(graph_def)
    waiting = [placeholder]
    for tensor in waiting:
        for name in users.get(tensor, ()):
            node, made = nodes[name], f"{name}:0"
            if node.op not in _SHAPING or full_name(node.input[0]) != tensor or made in waiting:
                continue
            waiting.append(made)
            shape = shapes.get(made)
            if shape is None or len(shape) != 4 or shape[3] not in CHANNELS:
                continue
            sides = [size is not None and size > 1 for size in shape[1:3]]
            around = downstream(after, [placeholder], stop=[name]) - upstream(nodes, [name])
            if all(sides) and not around:
                yield made


def is_fed(nodes: dict[str, Any], tensor: str) -> bool:
    """Tell whether a tensor is that of a placeholder."""
    return nodes[node_name(tensor)].op in PLACEHOLDERS
