"""Shape rules of array ops: reshaping, concatenating, slicing, padding; sizes are often inputs."""

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
    with_range,
)


def constant(node: Any) -> Shape | None:
    """Return the shape of a constant's value."""
    value = node.attr.get("value")
    return None if value is None else shape_in(value.tensor.tensor_shape)


def from_attribute(call: Call) -> Shape | None:
    """The attribute `shape`."""
    return shape_in(call.node.attr["shape"].shape) if "shape" in call.node.attr else None


def shape_vector(call: Call) -> Shape:
    """The shape of the input, as a vector."""
    return (len(call.shape(0)),)


def shape_vectors(call: Call) -> list[Shape | None]:
    """The shapes of the inputs, each as a vector (ShapeN)."""
    return [(None,) if shape is None else (len(shape),) for shape in call.inputs]


def reshaped(call: Call) -> Shape:
    """The value of the second input; -1 in it is worked out from the rest (Reshape)."""
    wanted = call.vector(1)
    open_dims = [i for i, dim in enumerate(wanted) if dim in (None, -1)]
    dims: list[Dim] = [None if dim == -1 else dim for dim in wanted]
    values = times(*shape) if (shape := call.any_shape(0)) is not None else None
    known = math.prod(dim for dim in dims if dim is not None)
    if values is not None and len(open_dims) == 1 and known > 0:
        if values % known:
            raise NoShapeError
        dims[open_dims[0]] = values // known
    elif values is not None and not open_dims and values != known:
        raise NoShapeError
    return checked(dims)


def squeezed(call: Call) -> Shape:
    """The input without dimensions of size 1: those of `squeeze_dims`, or all (Squeeze)."""
    shape = call.shape(0)
    wanted = {axis_in(len(shape), axis) for axis in call.ints("squeeze_dims")}
    if not wanted and None in shape:
        raise NoShapeError  # an unknown dimension may be one
    if any(shape[axis] not in (1, None) for axis in wanted):
        raise NoShapeError
    left = range(len(shape))
    return tuple(shape[i] for i in left if (i not in wanted if wanted else shape[i] != 1))


def expanded(call: Call) -> Shape:
    """The input with one more dimension of size 1 (ExpandDims)."""
    shape, axis = call.shape(0), call.value(1)
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, int):
        raise NoShapeError
    axis = axis_in(len(shape) + 1, axis)
    return (*shape[:axis], 1, *shape[axis:])


def concatenated(call: Call) -> Shape:
    """Tensors concatenated along an axis, which is the last input (ConcatV2)."""
    return _concatenated(call, list(call.inputs[:-1]), len(call.inputs) - 1)


def concatenated_axis_first(call: Call) -> Shape:
    """Tensors concatenated along an axis, which is the first input (Concat)."""
    return _concatenated(call, list(call.inputs[1:]), 0)


def quantized_concatenated(call: Call) -> list[Shape | None]:
    """The same for QuantizedConcat, whose inputs are the axis, tensors, and minima and maxima."""
    count = (len(call.inputs) - 1) // 3
    return [_concatenated(call, list(call.inputs[1 : count + 1]), 0), (), ()]


def _concatenated(call: Call, parts: list[Shape | None], axis_input: int) -> Shape:
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
    """Tensors of one shape stacked along a new axis (Pack)."""
    shape = functools.reduce(merge, call.inputs, None)
    if shape is None:
        return None
    axis = axis_in(len(shape) + 1, call.integer("axis"))
    return (*shape[:axis], len(call.inputs), *shape[axis:])


def unstacked(call: Call) -> list[Shape | None]:
    """The slices along an axis (Unpack)."""
    shape = call.shape(0)
    axis = axis_in(len(shape), call.integer("axis"))
    return [(*shape[:axis], *shape[axis + 1 :])] * call.outputs


def split(call: Call) -> list[Shape | None]:
    """Equal parts along an axis, which is the first input (Split)."""
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
    """Parts along an axis, their sizes being the second input (SplitV)."""
    shape, sizes = call.shape(0), list(call.known_vector(1))
    axis = axis_in(len(shape), call.number(2))
    size = shape[axis]
    made: list[Dim] = list(sizes)
    if -1 in sizes:
        rest = None if size is None else size - sum(part for part in sizes if part >= 0)
        made[sizes.index(-1)] = rest
    return [checked((*shape[:axis], part, *shape[axis + 1 :])) for part in made]


def transposed(call: Call) -> Shape:
    """The dimensions permuted by the second input (Transpose)."""
    shape = call.shape(0)
    order = call.known_vector(1)
    if sorted(order) != list(range(len(shape))):
        raise NoShapeError
    return tuple(shape[i] for i in order)


def padded(call: Call) -> Shape:
    """Each dimension with the paddings of the second input, before and after (Pad)."""
    if not call.is_known(1):
        return (None,) * len(call.shape(0))
    pairs = call.value(1)
    shape = call.of_rank(0, len(pairs))
    return checked(
        [None if d is None else d + a + b for d, (a, b) in zip(shape, pairs, strict=True)]
    )


def sliced(call: Call) -> Shape:
    """The sizes of the third input, where -1 is all from the begin on (Slice)."""
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


def strided_slice(call: Call) -> Shape:
    """Python's slicing, without new axes (StridedSlice)."""
    shape = call.shape(0)
    begins, ends, steps = call.known_vector(1), call.known_vector(2), call.known_vector(3)
    bits = {key: call.integer(f"{key}_mask") for key in ("begin", "end", "shrink_axis")}
    dots, count = call.integer("ellipsis_mask"), len(begins)
    if call.integer("new_axis_mask") or dots.bit_count() > 1:
        raise NoShapeError
    covered = len(shape) - count + dots.bit_count()  # by the ellipsis
    if covered < 0:
        raise NoShapeError
    made: list[Dim] = []
    axis = 0
    for i, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if dots >> i & 1:
            made += shape[axis : axis + covered]
            axis += covered
            continue
        dim = shape[axis]
        axis += 1
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
    return (*made, *shape[axis:])


def tiled(call: Call) -> Shape:
    """Each dimension times the multiple in the second input (Tile)."""
    factors = call.vector(1)
    shape = call.of_rank(0, len(factors))
    return checked([times(dim, factor) for dim, factor in zip(shape, factors, strict=True)])


def filled(call: Call) -> Shape:
    """The value of the first input (Fill, random numbers)."""
    return checked(call.vector(0))


def broadcast_to(call: Call) -> Shape:
    """The value of the second input (BroadcastTo)."""
    return checked(call.known_vector(1))


def number_range(call: Call) -> Shape:
    """A vector from start to limit in steps of delta (Range)."""
    if not all(call.is_known(index) for index in range(3)):
        return (None,)
    start, end, step = (call.number(i) for i in range(3))
    return (len(range(start, end, step)),)


def gathered(call: Call) -> Shape:
    """Slices of the first input along an axis, one for each index (Gather, GatherV2)."""
    shape, places = call.shape(0), call.shape(1)
    if call.integer("batch_dims"):
        raise NoShapeError
    axis = axis_in(len(shape), call.number(2) if len(call.inputs) > 2 else 0)
    return (*shape[:axis], *places, *shape[axis + 1 :])


def one_hot(call: Call) -> Shape:
    """The input with a new axis of the depth in the second input (OneHot)."""
    shape, depth = call.shape(0), call.number(1)
    axis = call.integer("axis", -1)
    axis = len(shape) if axis == -1 else axis_in(len(shape) + 1, axis)
    return checked((*shape[:axis], depth, *shape[axis:]))


def top_k(call: Call) -> list[Shape | None]:
    """The k largest values along the last dimension, and their indices (TopK, TopKV2)."""
    shape = call.shape(0)
    count: Value = call.number(1) if len(call.inputs) > 1 else call.integer("k")
    if not shape or (shape[-1] is not None and shape[-1] < count):
        raise NoShapeError
    return [(*shape[:-1], count)] * 2


def space_to_batch(call: Call) -> Shape:
    """Blocks of pixels moved into the batch dimension, for dilated layers (SpaceToBatchND)."""
    shape, block = call.shape(0), call.known_vector(1)
    made: list[Dim] = [times(shape[0], *block)]
    for dim, size, (before, after) in zip(shape[1:], block, call.value(2), strict=False):
        if dim is not None and (dim + before + after) % size:
            raise NoShapeError
        made.append(None if dim is None else (dim + before + after) // size)
    return checked((*made, *shape[len(block) + 1 :]))


def batch_to_space(call: Call) -> Shape:
    """The reverse of SpaceToBatchND (BatchToSpaceND)."""
    shape, block = call.shape(0), call.known_vector(1)
    count = math.prod(block)
    if shape[0] is not None and shape[0] % count:
        raise NoShapeError
    made: list[Dim] = [None if shape[0] is None else shape[0] // count]
    for dim, size, (before, after) in zip(shape[1:], block, call.value(2), strict=False):
        made.append(None if dim is None else dim * size - before - after)
    return checked((*made, *shape[len(block) + 1 :]))


RULES: dict[str, Rule] = {
    **mapping(from_attribute, "PlaceholderV2", "PlaceholderWithDefault"),
    "Shape": shape_vector,
    "ShapeN": shape_vectors,
    "Reshape": reshaped,
    "QuantizedReshape": with_range(reshaped),
    "Squeeze": squeezed,
    "ExpandDims": expanded,
    "Concat": concatenated_axis_first,
    "ConcatV2": concatenated,
    "QuantizedConcat": quantized_concatenated,
    "Pack": stacked,
    "Unpack": unstacked,
    "Split": split,
    "SplitV": split_in_sizes,
    "Transpose": transposed,
    **mapping(padded, *PADDINGS),
    "Slice": sliced,
    "StridedSlice": strided_slice,
    "Tile": tiled,
    **mapping(filled, "Fill", "RandomStandardNormal", "RandomUniform", "TruncatedNormal"),
    "BroadcastTo": broadcast_to,
    "Range": number_range,
    **mapping(gathered, "Gather", "GatherV2"),
    "OneHot": one_hot,
    **mapping(top_k, "TopK", "TopKV2"),
    "SpaceToBatchND": space_to_batch,
    "BatchToSpaceND": batch_to_space,
}
