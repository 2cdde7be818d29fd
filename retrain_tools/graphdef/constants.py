"""What constants hold: their size, whether they are sound, and their values as NumPy arrays."""

from __future__ import annotations

import functools
import itertools
import math
import struct
from typing import TYPE_CHECKING, Any

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import INT32, INT64, DType, dtype_of, numpy_dtype

if TYPE_CHECKING:  # NumPy takes as long to import as a graph to list, which needs none of it
    import numpy as np
    import numpy.typing as npt

_COMPLEX = ("scomplex_val", "dcomplex_val")  # real and imaginary parts in turn


def shape_of(tensor: Any) -> tuple[int, ...] | None:
    """Return the shape of a TensorProto; None where it is not fully known, as a value's must be."""
    dims = dims_in(tensor.tensor_shape)
    return None if dims is None or (dims and min(dims) < 0) else dims


def dims_in(proto: Any) -> tuple[int, ...] | None:
    """Return the sizes in a TensorShapeProto, -1 for an unknown one; None for an unknown rank."""
    return _dims(proto.SerializeToString())


@functools.lru_cache(maxsize=4096)
def _dims(shape: bytes) -> tuple[int, ...] | None:
    """Read a shape: a graph has many tensors and few shapes, and bytes are had at a third."""
    proto = schema.TensorShapeProto.FromString(shape)
    return None if proto.unknown_rank else tuple([dim.size for dim in proto.dim])


def is_sound(constant: Any) -> bool:
    """Tell whether a `Const` node holds what its own type and shape say.

    TensorFlow aborts the process on some constants that do not.
    """
    attributes = constant.attr
    value, said = attributes.get("value"), attributes.get("dtype")
    if value is None or said is None:
        return False
    tensor = value.tensor
    number = tensor.dtype
    dtype, shape = dtype_of(number), shape_of(tensor)
    if dtype is None or dtype.size is None or shape is None or number != said.type:
        return False
    content = len(tensor.tensor_content)
    return content == 0 or content == math.prod(shape) * dtype.size


def array(tensor: Any) -> npt.NDArray[Any]:
    """Return the values of a TensorProto, as `tf.make_ndarray` does.

    One value that stands for all, as older versions wrote constants, is not written out: such an
    array is read-only and takes no memory, whatever shape a file claims.

    Returns:
        The array; of quantized numbers the integers that are stored, of strings objects.

    Raises:
        ValueError: the shape is not fully known, or NumPy has no such type.
    """
    import numpy as np

    dtype, shape = dtype_of(tensor.dtype), shape_of(tensor)
    kind = None if dtype is None else numpy_dtype(dtype)
    if dtype is None or kind is None or shape is None:
        raise ValueError(f"no array has type {tensor.dtype} and shape {tensor.tensor_shape}")
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, kind).reshape(shape).copy()
    count = math.prod(shape)
    values = _listed_values(tensor, dtype, kind)[: max(count, 1)]  # TensorFlow ignores the rest
    if values.size == 0:  # a value that is all zeros may be left out
        values = np.array([b"" if dtype.name == "string" else 0]).astype(kind)
    if values.size == 1:
        return values.reshape(shape) if count == 1 else np.broadcast_to(values[0], shape)
    # The last value stands for all that are left out.
    return np.pad(values, (0, count - values.size), "edge").reshape(shape)


def _listed_values(tensor: Any, dtype: DType, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    import numpy as np

    field = dtype.field or ""
    listed = getattr(tensor, field)
    if field == "half_val":  # the bits of each 16-bit number
        return np.array(listed, np.uint16).view(kind)
    if field == "float8_val":
        return np.frombuffer(listed, np.uint8).view(kind)
    if field in _COMPLEX:
        parts = np.array(listed, np.float32 if field == "scomplex_val" else np.float64)
        return parts[: len(parts) // 2 * 2].view(kind)
    if field == "int_val":  # as wide as they are stored; TensorFlow cuts them down the same way
        return np.array(listed, np.int32).astype(kind)
    return np.array(list(listed), kind)


def integers(tensor: Any, most: int) -> Any:
    """Return a small TensorProto of int32 or int64 as a number or nested tuples, without NumPy.

    Returns:
        The value; None if it is of another type, of unknown shape, or of more than `most` numbers.
    """
    shape = shape_of(tensor)
    if tensor.dtype not in (INT32, INT64) or shape is None or math.prod(shape) > most:
        return None
    count = math.prod(shape)
    is_wide = tensor.dtype == INT64
    if tensor.tensor_content:
        values = struct.unpack(f"<{count}{'q' if is_wide else 'i'}", tensor.tensor_content)
    else:
        listed = tuple(tensor.int64_val if is_wide else tensor.int_val)[:count]
        last = listed[-1] if listed else 0
        values = (*listed, *[last] * (count - len(listed)))
    for size in reversed(shape[1:]):
        rows = iter(values)
        values = tuple(tuple(itertools.islice(rows, size)) for _ in range(len(values) // size))
    return values if shape else values[0]


# Of these types are shapes, axes and file names; weights are of any other, quantized ones included.
_NO_WEIGHTS = ("bool", "int32", "int64", "string", "uint32", "uint64")


def parameter_count(node: Any) -> int:
    """Return how many weights a node holds: the values of a constant that is no scalar.

    Integers as wide as shapes are, truth values and strings are not counted.
    """
    return constant_size(node)[0]


def constant_bytes(node: Any) -> int:
    """Return the bytes of a constant's values in memory; of strings, their lengths."""
    return constant_size(node)[1]


def constant_size(node: Any) -> tuple[int, int]:
    """Return the `parameter_count` and `constant_bytes` of a node."""
    value = node.attr.get("value") if node.op == "Const" else None
    if value is None:
        return 0, 0
    tensor = value.tensor
    dtype, shape = dtype_of(tensor.dtype), shape_of(tensor)
    if dtype is None or shape is None:
        return 0, 0
    count = math.prod(shape)
    weights = count if shape and dtype.name not in _NO_WEIGHTS else 0
    if dtype.name == "string":
        return weights, sum(map(len, tensor.string_val))
    return weights, count * (dtype.size or 0)
