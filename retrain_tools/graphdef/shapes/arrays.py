"""Shapes of what is joined, cut, turned and moved; the sizes are often inputs of their own."""

from __future__ import annotations

import functools
import math
from typing import Any

from retrain_tools.graphdef.op_sets import PADDINGS
from retrain_tools.graphdef.shapes.call import (
    Call,
    Dim,
    NoShapeError,
    Rule,
    Shape,
    Value,
    axis_in,
    checked,
    mapping,
    merge,
    merge_dims,
    shape_in,
    times,
)


def constant(node: Any) -> Shape | None:
    """What the constant's own value says."""
    value = node.attr.get("value")
    return None if value is None else shape_in(value.tensor.tensor_shape)


def said(call: Call) -> Shape | None:
    """What the attribute `shape` says."""
    return shape_in(call.node.attr["shape"].shape) if "shape" in call.node.attr else None


def shape_vector(call: Call) -> Shape:
    """The shape of the input, as a vector."""
    return (len(call.shape(0)),)


def shape_vectors(call: Call) -> list[Shape | None]:
    """The shapes of the inputs, each as a vector (ShapeN)."""
    return [(None,) if shape is None else (len(shape),) for shape in call.inputs]


def reshaped(call: Call) -> Shape:
    """The shape that the second input says, where -1 is what is left."""
    wanted = call.vector(1)
    unsaid = [i for i, dim in enumerate(wanted) if dim in (None, -1)]
    dims: list[Dim] = [None if dim == -1 else dim for dim in wanted]
    values = times(*shape) if (shape := call.any_shape(0)) is not None else None
    known = math.prod(dim for dim in dims if dim is not None)
    if values is not None and len(unsaid) == 1 and known > 0:
        if values % known:
            raise NoShapeError
        dims[unsaid[0]] = values // known
    elif values is not None and not unsaid and values != known:
        raise NoShapeError
    return checked(dims)


def squeezed(call: Call) -> Shape:
    """The input without dimensions of one."""
    shape = call.shape(0)
    wanted = {axis_in(len(shape), axis) for axis in call.ints("squeeze_dims")}
    if not wanted and None in shape:
        raise NoShapeError  # an unknown dimension may be one
    if any(shape[axis] not in (1, None) for axis in wanted):
        raise NoShapeError
    left = range(len(shape))
    return tuple(shape[i] for i in left if (i not in wanted if wanted else shape[i] != 1))


def expanded(call: Call) -> Shape:
    """The input with one more dimension, of one."""
    shape, axis = call.shape(0), call.value(1)
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, int):
        raise NoShapeError
    axis = axis_in(len(shape) + 1, axis)
    return (*shape[:axis], 1, *shape[axis:])


def joined(call: Call) -> Shape:
    """Tensors put together along one dimension (ConcatV2, whose axis comes last)."""
    return _joined(call, list(call.inputs[:-1]), len(call.inputs) - 1)


def joined_axis_first(call: Call) -> Shape:
    """Tensors put together along one dimension (Concat)."""
    return _joined(call, list(call.inputs[1:]), 0)


def quantized_joined(call: Call) -> list[Shape | None]:
    """QuantizedConcat: the axis, then the tensors, then the ends of their ranges."""
    count = (len(call.inputs) - 1) // 3
    return [_joined(call, list(call.inputs[1 : count + 1]), 0), (), ()]


def _joined(call: Call, parts: list[Shape | None], axis_input: int) -> Shape:
    ranks = {len(shape) for shape in parts if shape is not None}
    if len(ranks) != 1:
        raise NoShapeError
    (rank,) = ranks
    if not call.is_known(axis_input):
        return (None,) * rank
    axis = axis_in(rank, call.number(axis_input))
    size: Dim = 0
    around: Shape = (None,) * rank
    for shape in parts:
        part = (None,) * rank if shape is None else shape
        size = None if size is None or part[axis] is None else size + (part[axis] or 0)
        around = tuple(
            None if i == axis else merge_dims(a, b)
            for i, (a, b) in enumerate(zip(around, part, strict=True))
        )
    return (*around[:axis], size, *around[axis + 1 :])


def stacked(call: Call) -> Shape | None:
    """Tensors of one shape, along a new dimension (Pack)."""
    shape = functools.reduce(merge, call.inputs, None)
    if shape is None:
        return None
    axis = axis_in(len(shape) + 1, call.integer("axis"))
    return (*shape[:axis], len(call.inputs), *shape[axis:])


def unstacked(call: Call) -> list[Shape | None]:
    """The slices along one dimension (Unpack)."""
    shape = call.shape(0)
    axis = axis_in(len(shape), call.integer("axis"))
    return [(*shape[:axis], *shape[axis + 1 :])] * call.outputs


def split(call: Call) -> list[Shape | None]:
    """Equal parts along one dimension; the axis comes first."""
    shape = call.shape(1)
    if not call.is_known(0):
        return [(None,) * len(shape)] * call.outputs
    axis = axis_in(len(shape), call.number(0))
    size = shape[axis]
    if size is not None and (not call.outputs or size % call.outputs):
        raise NoShapeError
    part = None if size is None else size // call.outputs
    return [(*shape[:axis], part, *shape[axis + 1 :])] * call.outputs


def split_in_sizes(call: Call) -> list[Shape | None]:
    """Parts along one dimension of the sizes that the second input says (SplitV)."""
    shape, sizes = call.shape(0), list(call.known_vector(1))
    axis = axis_in(len(shape), call.number(2))
    size = shape[axis]
    made: list[Dim] = list(sizes)
    if -1 in sizes:
        rest = None if size is None else size - sum(part for part in sizes if part >= 0)
        made[sizes.index(-1)] = rest
    return [checked((*shape[:axis], part, *shape[axis + 1 :])) for part in made]


def turned(call: Call) -> Shape:
    """The dimensions in another order."""
    shape = call.shape(0)
    order = call.known_vector(1)
    if sorted(order) != list(range(len(shape))):
        raise NoShapeError
    return tuple(shape[i] for i in order)


def padded(call: Call) -> Shape:
    """More before and after each dimension, as the second input says."""
    if not call.is_known(1):
        return (None,) * len(call.shape(0))
    pairs = call.value(1)
    shape = call.of_rank(0, len(pairs))
    return checked(
        [None if d is None else d + a + b for d, (a, b) in zip(shape, pairs, strict=True)]
    )


def cut(call: Call) -> Shape:
    """As many values from each dimension as the third input says; -1 is all (Slice)."""
    shape = call.shape(0)
    if not call.is_known(1) or not call.is_known(2):
        return (None,) * len(shape)
    begins, sizes = call.known_vector(1), call.known_vector(2)
    made: list[Dim] = []
    for dim, begin, size in zip(shape, begins, sizes, strict=True):
        if size == -1:
            made.append(None if dim is None else dim - begin)
        else:
            if dim is not None and begin + size > dim:
                raise NoShapeError
            made.append(size)
    return checked(made)


def strided(call: Call) -> Shape:
    """Python's slicing; with `...` or new dimensions only where all that is cut is said."""
    shape = call.shape(0)
    begins, ends, steps = call.known_vector(1), call.known_vector(2), call.known_vector(3)
    bits = {key: call.integer(f"{key}_mask") for key in ("begin", "end", "shrink_axis")}
    if call.integer("ellipsis_mask") or call.integer("new_axis_mask"):
        raise NoShapeError
    if len(begins) > len(shape):
        raise NoShapeError
    made: list[Dim] = []
    for i, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        dim = shape[i]
        if bits["shrink_axis"] >> i & 1:
            if dim is not None and not -dim <= begin < dim:
                raise NoShapeError
            continue
        whole = bits["begin"] >> i & 1, bits["end"] >> i & 1
        if dim is None:
            made.append(None)
        else:
            span = slice(None if whole[0] else begin, None if whole[1] else end, step)
            made.append(len(range(*span.indices(dim))))
    return (*made, *shape[len(begins) :])


def repeated(call: Call) -> Shape:
    """Each dimension so many times over (Tile)."""
    factors = call.vector(1)
    shape = call.of_rank(0, len(factors))
    return checked([times(dim, factor) for dim, factor in zip(shape, factors, strict=True)])


def of_size(call: Call) -> Shape:
    """The shape that the first input says (Fill, random numbers)."""
    return checked(call.vector(0))


def stretched_to(call: Call) -> Shape:
    """The shape that the second input says (BroadcastTo)."""
    return checked(call.known_vector(1))


def counted(call: Call) -> Shape:
    """A vector from the first number to the second in steps of the third (Range)."""
    if not all(call.is_known(index) for index in range(3)):
        return (None,)
    start, end, step = (call.number(i) for i in range(3))
    return (len(range(start, end, step)),)


def gathered(call: Call) -> Shape:
    """Rows of the first input by the numbers in the second (Gather, GatherV2)."""
    shape, places = call.shape(0), call.shape(1)
    if call.integer("batch_dims"):
        raise NoShapeError
    axis = axis_in(len(shape), call.number(2) if len(call.inputs) > 2 else 0)
    return (*shape[:axis], *places, *shape[axis + 1 :])


def one_hot(call: Call) -> Shape:
    """One more dimension, as deep as the second input says."""
    shape, depth = call.shape(0), call.number(1)
    axis = call.integer("axis", -1)
    axis = len(shape) if axis == -1 else axis_in(len(shape) + 1, axis)
    return checked((*shape[:axis], depth, *shape[axis:]))


def largest(call: Call) -> list[Shape | None]:
    """The k largest values along the last dimension and where they were (TopK, TopKV2)."""
    shape = call.shape(0)
    count: Value = call.number(1) if len(call.inputs) > 1 else call.integer("k")
    if not shape or (shape[-1] is not None and shape[-1] < count):
        raise NoShapeError
    return [(*shape[:-1], count)] * 2


def blocks_to_batch(call: Call) -> Shape:
    """Every so many pixels as an image of their own, for dilated layers (SpaceToBatchND)."""
    shape, block = call.shape(0), call.known_vector(1)
    made: list[Dim] = [times(shape[0], *block)]
    for dim, size, (before, after) in zip(shape[1:], block, call.value(2), strict=False):
        if dim is not None and (dim + before + after) % size:
            raise NoShapeError
        made.append(None if dim is None else (dim + before + after) // size)
    return checked((*made, *shape[len(block) + 1 :]))


def batch_to_blocks(call: Call) -> Shape:
    """The reverse: what was taken apart put together again (BatchToSpaceND)."""
    shape, block = call.shape(0), call.known_vector(1)
    count = math.prod(block)
    if shape[0] is not None and shape[0] % count:
        raise NoShapeError
    made: list[Dim] = [None if shape[0] is None else shape[0] // count]
    for dim, size, (before, after) in zip(shape[1:], block, call.value(2), strict=False):
        made.append(None if dim is None else dim * size - before - after)
    return checked((*made, *shape[len(block) + 1 :]))


def quantized_reshaped(call: Call) -> list[Shape | None]:
    """QuantizedReshape: the reshaped numbers and the ends of their range."""
    return [reshaped(call), (), ()]


RULES: dict[str, Rule] = {
    **mapping(said, "PlaceholderV2", "PlaceholderWithDefault"),
    "Shape": shape_vector,
    "ShapeN": shape_vectors,
    "Reshape": reshaped,
    "QuantizedReshape": quantized_reshaped,
    "Squeeze": squeezed,
    "ExpandDims": expanded,
    "Concat": joined_axis_first,
    "ConcatV2": joined,
    "QuantizedConcat": quantized_joined,
    "Pack": stacked,
    "Unpack": unstacked,
    "Split": split,
    "SplitV": split_in_sizes,
    "Transpose": turned,
    **mapping(padded, *PADDINGS),
    "Slice": cut,
    "StridedSlice": strided,
    "Tile": repeated,
    **mapping(of_size, "Fill", "RandomStandardNormal", "RandomUniform", "TruncatedNormal"),
    "BroadcastTo": stretched_to,
    "Range": counted,
    **mapping(gathered, "Gather", "GatherV2"),
    "OneHot": one_hot,
    **mapping(largest, "TopK", "TopKV2"),
    "SpaceToBatchND": blocks_to_batch,
    "BatchToSpaceND": batch_to_blocks,
}
