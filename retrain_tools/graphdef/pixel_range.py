"""Which range of pixels a network takes: from its note, the catalogue, or its own arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.image_inputs import ImageInput
from retrain_tools.graphdef.navigate import (
    constant_value,
    full_name,
    node_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import FIRST_LAYERS, PADDINGS, PASS_THROUGH, RESIZERS
from retrain_tools.graphdef.view import view_of
from retrain_tools.graphdef.walks import downstream, successors

Mean = float | tuple[float, ...]

_KEEPING = (*PASS_THROUGH, *PADDINGS, *RESIZERS, "Cast", "Reshape", "ExpandDims", "Squeeze")
_SUMS = ("Add", "AddV2", "BiasAdd")
_QUOTIENTS = ("RealDiv", "Div", "DivNoNan")
_MOST_STEPS = 60
# keras/src/applications/imagenet_utils.py: what is subtracted of BGR in the mode `caffe`, and the
# deviations of `torch`.
_CAFFE_MEANS = (103.939, 116.779, 123.68)
_WIDEST = 6.0  # of prepared pixels, from least to largest: those of `torch` are 4.5 wide


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """What a graph makes of pixels before its first layer: scale * x + offset for each channel.

    `is_reversed` says that the channels are in the reverse order then.
    """

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    is_reversed: bool = False

    @property
    def does_nothing(self) -> bool:
        """Whether the first layer takes the pixels as they are."""
        return not self.is_reversed and set(self.scale) == {1.0} and set(self.offset) == {0.0}

    def of(self, low: float, high: float) -> str:
        """Return in words what it makes of pixels from `low` to `high`."""
        if self.is_reversed and _alike(self.offset, [-mean for mean in _CAFFE_MEANS], 0.1):
            return "BGR minus a mean for each colour, as Caffe's networks take them"
        ends = [sorted((s * low + o, s * high + o)) for s, o in _pairs(self.scale, self.offset)]
        order = "BGR " if self.is_reversed else ""
        return order + _range_text(ends)


@dataclasses.dataclass(frozen=True)
class PixelRange:
    """The pixels that a network takes.

    Attributes:
        tensor: where they enter.
        low, high: their least and largest value for RGB images of 0 to 255; None where nothing
            says, and a value for each colour where they differ.
        why: who says so; why it is not known.
        made: what the graph itself makes of them before its first layer, in words; empty for
            nothing.
        is_encoded: whether the graph decodes and prepares images itself.
    """

    tensor: str
    low: float | tuple[float, ...] | None
    high: float | tuple[float, ...] | None
    why: str
    made: str = ""
    is_encoded: bool = False

    @property
    def is_known(self) -> bool:
        """Whether anything says which range it is."""
        return self.low is not None

    def __str__(self) -> str:
        if self.is_encoded:
            made = f"; of 0 to 255 it makes {self.made}" if self.made else ""
            return f"encoded images go in, which the graph prepares itself{made}"
        made = f", of which the graph makes {self.made}" if self.made else ""
        if self.low is None or self.high is None:
            return f"unknown: {self.why}"
        text = _range_text([list(pair) for pair in _pairs(_tuple(self.low), _tuple(self.high))])
        return f"{text} at {self.tensor}{made}: {self.why}"


def pixel_range(
    graph_def: Any,
    nodes: dict[str, Any],
    images: ImageInput,
    scaling: tuple[Mean, float] | None,
    why: str,
) -> PixelRange:
    """Tell which pixels a network takes.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        images: where images enter.
        scaling: the mean and divisor that somebody knows of; None where nobody does.
        why: who knows them.
    """
    start = images.decoded or images.pixels
    made = arithmetic(graph_def, nodes, start, images.pixels if images.encoded else None)
    if images.encoded is not None:
        text = "" if made is None or made.does_nothing else made.of(0, 255)
        return PixelRange(images.pixels, 0.0, 255.0, "the graph decodes them", text, True)
    if scaling is None and made is not None:
        scaling, why = _told_by(made), "its own arithmetic before the first layer shows it"
    if scaling is None:
        return PixelRange(
            images.pixels,
            None,
            None,
            "nothing in the file says it; -1 to 1 is fed unless --input_mean and --input_std say "
            "otherwise",
        )
    mean, std = scaling
    low = tuple((0 - m) / std for m in _tuple(mean))
    high = tuple((255 - m) / std for m in _tuple(mean))
    text = ""
    if made is not None and not made.does_nothing:
        text = _after_mean(made, low, high)
    return PixelRange(images.pixels, _single(low), _single(high), why, text)


def shown_scaling(graph_def: Any, nodes: dict[str, Any], pixels: str) -> tuple[float, float] | None:
    """Return the mean and divisor that the graph's own arithmetic shows; None where it does not.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        pixels: the tensor that takes them.

    Example:
        >>> shown_scaling(graph_def, nodes, "x:0")  # of a graph that begins with x / 127.5 - 1
        (0.0, 1.0)
    """
    made = arithmetic(graph_def, nodes, pixels)
    return None if made is None else _told_by(made)


def _told_by(made: Arithmetic) -> tuple[float, float] | None:
    """Return the mean and divisor by which pixels are fed to a graph of this arithmetic.

    Networks are trained on pixels that are 1 to 5 wide from least to largest, or on bytes minus a
    mean. What makes that of bytes takes bytes, and what makes it of 0 to 1 takes 0 to 1.

    Returns:
        None where the arithmetic shows neither.
    """
    scale = max(map(abs, made.scale))
    if 0.9 <= 255 * scale <= _WIDEST or (scale == 1.0 and min(made.offset) < -50):
        return 0.0, 1.0
    if 1.5 <= scale <= _WIDEST:
        return 0.0, 255.0
    return None


def arithmetic(
    graph_def: Any, nodes: dict[str, Any], start: str, end: str | None = None
) -> Arithmetic | None:
    """Return what a graph makes of pixels between two tensors.

    Args:
        graph_def: the graph.
        nodes: its nodes by name.
        start: where the pixels are.
        end: where they are prepared; None for what the first layer takes.

    Returns:
        None where it is more than one product and one sum for each channel.
    """
    if end is None:
        end = _first_layer_takes(graph_def, nodes, start)
    scale, offset, is_reversed = _tuple(1.0), _tuple(0.0), False
    name = end
    for _ in range(_MOST_STEPS):
        if name is None or name == start:
            break
        node = nodes[node_name(name)]
        name, step = _step(nodes, node, start)
        if step is None:
            return None
        # What comes later is applied to what this node gives: later(step(x)).
        inner = step.scale, step.offset
        if is_reversed:
            inner = inner[0][::-1], inner[1][::-1]
        offset = tuple(s * o + later for (s, later), o in _zip(scale, offset, inner[1]))
        scale = tuple(s * i for s, i in _pairs(scale, inner[0]))
        is_reversed ^= step.is_reversed
    return Arithmetic(scale, offset, is_reversed) if name == start else None


def _first_layer_takes(graph_def: Any, nodes: dict[str, Any], start: str) -> str | None:
    layers = [node.name for node in graph_def.node if node.op in FIRST_LAYERS]
    reached = downstream(successors(view_of(graph_def)), [node_name(start)], stop=layers)
    found = [name for name in layers if name in reached]
    if not found:
        return None
    first = min(found, key=lambda name: len(upstream(nodes, [name])))
    return full_name(nodes[first].input[0])


def _step(nodes: dict[str, Any], node: Any, start: str) -> tuple[str | None, Arithmetic | None]:
    """Return the input of a node that the pixels come by, and what the node does to them."""
    inputs = [full_name(name) for name in node.input if not name.startswith("^")]
    if not inputs:
        return None, None
    if node.op in _KEEPING:
        return inputs[0], Arithmetic()
    if node.op in ("Reverse", "ReverseV2", "StridedSlice"):
        return inputs[0], Arithmetic(is_reversed=True) if _reverses(nodes, node, inputs) else None
    if node.op == "Pack":  # as Keras 3 reverses channels
        source = _stacked_in_reverse(nodes, inputs)
        return source, None if source is None else Arithmetic(is_reversed=True)
    if len(inputs) != 2:
        return None, None
    values = [None if name == start else _value(nodes, name) for name in inputs]
    left, right = values
    number = right if left is None else left
    if number is None or (left is not None and right is not None):
        return None, None
    is_first = left is None  # the pixels are the first input
    before = inputs[0] if is_first else inputs[1]
    if node.op in _SUMS:
        return before, Arithmetic(offset=number)
    if node.op == "Mul":
        return before, Arithmetic(number)
    if node.op == "Sub" and is_first:
        return before, Arithmetic(offset=tuple(-n for n in number))
    if node.op == "Sub":
        return before, Arithmetic(_tuple(-1.0), number)
    if node.op in _QUOTIENTS and is_first and all(number):
        return before, Arithmetic(tuple(1 / n for n in number))
    return None, None


def _reverses(nodes: dict[str, Any], node: Any, inputs: Sequence[str]) -> bool:
    """Tell whether a node puts the last axis in the reverse order, and does nothing else."""
    if node.op == "StridedSlice":
        strides = _value(nodes, inputs[3]) if len(inputs) == 4 else None
        return strides is not None and strides[-1] == -1 and set(strides[:-1]) <= {1.0}
    axes = _value(nodes, inputs[1]) if len(inputs) == 2 else None
    if node.op == "Reverse":  # array_ops.cc: a truth value for each axis
        return axes is not None and axes[-1] == 1 and not any(axes[:-1])
    return axes in ((3.0,), (-1.0,))


def _stacked_in_reverse(nodes: dict[str, Any], inputs: Sequence[str]) -> str | None:
    """Return the images whose channels 2, 1, 0 are stacked; None for anything else."""
    slices = [nodes[node_name(name)] for name in inputs]
    if any(node.op != "StridedSlice" or len(node.input) != 4 for node in slices):
        return None
    begins = [_value(nodes, node.input[1]) for node in slices]
    sources = {full_name(node.input[0]) for node in slices}
    is_reverse = [begin and begin[-1] for begin in begins] == [2, 1, 0]
    return sources.pop() if is_reverse and len(sources) == 1 else None


def _value(nodes: Mapping[str, Any], name: str, depth: int = 8) -> tuple[float, ...] | None:
    """Return a constant of at most four numbers, or what a square root or the like makes of one."""
    node = nodes.get(node_name(name))
    if node is None or not depth:
        return None
    if node.op in ("Const", "Identity"):
        try:
            held = constant_value(nodes, name)
        except ValueError:  # damaged, or of a type that NumPy does not have
            return None
        if held is None or held.dtype.kind not in "fiub" or not 1 <= held.size <= 4:
            return None
        return tuple(float(number) for number in held.flatten())
    if node.op not in ("Sqrt", "Rsqrt", "Maximum", "Reshape", "Cast"):
        return None
    first = _value(nodes, node.input[0], depth - 1)
    if first is None or node.op in ("Reshape", "Cast"):
        return first
    if node.op == "Maximum":
        second = _value(nodes, node.input[1], depth - 1)
        return None if second is None else tuple(max(p) for p in _pairs(first, second))
    if min(first) <= 0:
        return None
    return tuple(n ** (0.5 if node.op == "Sqrt" else -0.5) for n in first)


def _after_mean(made: Arithmetic, low: tuple[float, ...], high: tuple[float, ...]) -> str:
    if len(low) == 1:
        return made.of(low[0], high[0])
    order = (low[::-1], high[::-1]) if made.is_reversed else (low, high)
    ends = [
        sorted((s * a + o, s * b + o))
        for (s, o), (a, b) in zip(
            _wide(_pairs(made.scale, made.offset), len(low)), _pairs(*order), strict=True
        )
    ]
    return ("BGR " if made.is_reversed else "") + _range_text(ends)


def _range_text(ends: Sequence[Sequence[float]]) -> str:
    """Return ranges as people write them: one for all channels, or one for each."""
    texts = [f"{_rounded(low)} to {_rounded(high)}" for low, high in ends]
    if len(set(texts)) == 1:
        return texts[0]
    return f"{', '.join(texts)} (each colour)"


def _rounded(number: float) -> str:
    """Return a number as -1, 0, 1 or 255 where it nearly is, for (255 - 128) / 128 is no 1."""
    near = round(number)
    return str(near) if abs(number - near) < 0.02 else f"{number:.4g}"


def _alike(values: Collection[float], others: Collection[float], most: float) -> bool:
    return len(values) == len(others) and all(
        abs(a - b) < most for a, b in zip(values, others, strict=True)
    )


def _tuple(value: Mean) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (float(value),)


def _single(values: tuple[float, ...]) -> float | tuple[float, ...]:
    return values[0] if len(values) == 1 else values


def _wide(values: Sequence[Any], count: int) -> list[Any]:
    return list(values) * count if len(values) == 1 else list(values)


def _pairs(first: Sequence[float], second: Sequence[float]) -> list[tuple[float, float]]:
    """Pair numbers for each channel, one number standing for all."""
    count = max(len(first), len(second))
    return list(zip(_wide(first, count), _wide(second, count), strict=False))


def _zip(
    scale: Sequence[float], offset: Sequence[float], inner: Sequence[float]
) -> list[tuple[tuple[float, float], float]]:
    pairs = _pairs(scale, offset)
    count = max(len(pairs), len(inner))
    return list(zip(_wide(pairs, count), _wide(inner, count), strict=False))
