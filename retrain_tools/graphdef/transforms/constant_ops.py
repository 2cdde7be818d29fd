"""What ops make of constants, in NumPy: those by which networks compute weights, shapes and axes.

Integers come out as TensorFlow has them, and so do values that are only moved. Floats are computed
in their own type, and differ from TensorFlow's by rounding, in the last bit. An op that is not
here, and one whose attributes ask for more than is here, gives None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.graphdef.dtypes import dtype_of, numpy_dtype
from retrain_tools.graphdef.navigate import attribute

_Array = npt.NDArray[Any]

# Written out, a constant may be so much larger than what it was computed from.
_MOST_GROWTH = 1 << 20

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Neg": np.negative,
    "Square": np.square,
    "Identity": np.array,
    "StopGradient": np.array,
}
_OF_FLOATS: dict[str, Callable[..., Any]] = {
    "RealDiv": np.divide,
    "Reciprocal": np.reciprocal,
    "Rsqrt": lambda x: np.ones((), x.dtype) / np.sqrt(x),
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Pow": np.power,
}


def compute(node: Any, values: Sequence[_Array]) -> _Array | None:
    """Return what a node makes of constants.

    Args:
        node: the NodeDef.
        values: the arrays of its data inputs.

    Returns:
        The array, of the type that the node makes; None where it is not computed here: the op is
        not known, or the result would be far larger than `values`.
    """
    if not values or any(value.dtype.kind not in "biuf" for value in values):
        return None
    is_float = values[0].dtype.kind == "f"
    # The ops below that are not listed give the type of their first input, or of the attribute.
    function = _ELEMENTWISE.get(node.op) or (_OF_FLOATS.get(node.op) if is_float else None)
    with np.errstate(all="ignore"):  # as TensorFlow does
        try:
            if function is not None:
                result = function(*values)
            elif node.op in _OTHERS:
                result = _OTHERS[node.op](node, *values)
            else:
                return None
        except (ValueError, IndexError, TypeError, MemoryError):
            return None  # the graph is damaged; TensorFlow says how when it runs
    return None if result is None else np.asarray(result)


def _fits(size: int, *sources: _Array) -> bool:
    return size <= _MOST_GROWTH + sum(source.size for source in sources)


def _sizes(value: _Array) -> tuple[int, ...]:
    return tuple(int(size) for size in value.reshape(-1))


def _cast(node: Any, value: _Array) -> _Array | None:
    if attribute(node, "Truncate").b:
        return None
    wanted = dtype_of(attribute(node, "DstT").type)
    kind = None if wanted is None else numpy_dtype(wanted)
    if kind is None or kind.kind not in "biuf" or (value.dtype.kind == "f" and kind.kind in "iu"):
        return None  # of floats beyond the range, each machine makes its own
    return value.astype(kind)


def _squeeze(node: Any, value: _Array) -> _Array:
    axes = tuple(attribute(node, "squeeze_dims").list.i)
    return np.squeeze(value, axes or None)


def _pack(node: Any, *values: _Array) -> _Array:
    return np.stack(values, attribute(node, "axis").i)


def _fill(_: Any, shape: _Array, value: _Array) -> _Array | None:
    sizes = _sizes(shape)
    return np.full(sizes, value) if _fits(math.prod(sizes)) else None


def _tile(_: Any, value: _Array, times: _Array) -> _Array | None:
    total = value.size * math.prod(_sizes(times))
    return np.tile(value, _sizes(times)) if _fits(total, value) else None


def _range(_: Any, start: _Array, limit: _Array, delta: _Array) -> _Array | None:
    if start.dtype.kind not in "iu" or not delta.item():
        return None
    numbers = range(start.item(), limit.item(), delta.item())
    return np.array(numbers, start.dtype) if _fits(len(numbers)) else None


def _slice(_: Any, value: _Array, begin: _Array, size: _Array) -> _Array:
    places = zip(_sizes(begin), _sizes(size), strict=True)
    return value[tuple(slice(b, None if s < 0 else b + s) for b, s in places)]


def _strided_slice(
    node: Any, value: _Array, begin: _Array, end: _Array, steps: _Array
) -> _Array | None:
    masks = {
        key: attribute(node, f"{key}_mask").i
        for key in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    if masks["ellipsis"] or masks["new_axis"]:
        return None
    index: list[Any] = []
    bounds = zip(_sizes(begin), _sizes(end), _sizes(steps), strict=True)
    for place, (first, last, step) in enumerate(bounds):
        bit = 1 << place
        if masks["shrink_axis"] & bit:
            index.append(first)
            continue
        index.append(
            slice(
                None if masks["begin"] & bit else first, None if masks["end"] & bit else last, step
            )
        )
    return value[tuple(index)]


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduced(node: Any, value: _Array, axes: _Array) -> Any:
        keep = attribute(node, "keep_dims").b
        return function(value, _sizes(axes), keepdims=keep).astype(value.dtype)

    return reduced


_OTHERS: dict[str, Callable[..., Any]] = {
    "Cast": _cast,
    "Reshape": lambda _, value, shape: value.reshape(_sizes(shape)),
    "ExpandDims": lambda _, value, axis: np.expand_dims(value, _sizes(axis)),
    "Squeeze": _squeeze,
    "Transpose": lambda _, value, order: value.transpose(_sizes(order)),
    "Pack": _pack,
    "Concat": lambda _, axis, *values: np.concatenate(values, axis.item()),
    "ConcatV2": lambda _, *values: np.concatenate(values[:-1], values[-1].item()),
    "Fill": _fill,
    "Tile": _tile,
    "Range": _range,
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "Sum": _reduction(np.sum),
    "Prod": _reduction(np.prod),
    "Max": _reduction(np.max),
    "Min": _reduction(np.min),
}
