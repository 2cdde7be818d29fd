"""What constants hold: their size, whether they are sound, and their values as NumPy arrays."""

from __future__ import annotations

import dataclasses
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

_MOST_ELEMENTS = 2**31  # to write out; a file may claim any shape for a few values
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


class UnreadableConstantError(ValueError):
    """A TensorProto that does not hold what it says; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Constant:
    """The values of a TensorProto as they are stored.

    Attributes:
        dtype: TensorFlow's name of the type.
        shape: the dimensions.
        values: one-dimensional: of quantized numbers the integers that are stored, of strings
            bytes objects. The last one stands for all that the shape has more. TensorFlow ignores
            those that it has fewer.
    """

    dtype: str
    shape: tuple[int, ...]
    values: npt.NDArray[Any]

    @property
    def count(self) -> int:
        """How many elements the shape has."""
        return math.prod(self.shape)

    def array(self) -> npt.NDArray[Any]:
        """Return the whole array in its shape.

        One value that stands for all, as older versions wrote constants, is not written out: such
        an array is read-only and takes no memory, whatever shape a file claims.

        Raises:
            UnreadableConstantError: the shape has far more elements than fit into memory.
        """
        import numpy as np

        missing = self.count - len(self.values)
        if len(self.values) == 1 and missing:
            return np.broadcast_to(self.values[0], self.shape)
        if missing > 0:
            if self.count > _MOST_ELEMENTS:
                raise UnreadableConstantError(f"{self.count} elements are too many to spread out")
            return np.pad(self.values, (0, missing), "edge").reshape(self.shape)
        whole = self.values[: self.count].reshape(self.shape)
        return whole if whole.flags.writeable else whole.copy()


def array(tensor: Any) -> npt.NDArray[Any]:
    """Return the values of a TensorProto, as `tf.make_ndarray` does; see `Constant.array`.

    Raises:
        UnreadableConstantError: see `read_constant`; a ValueError.
    """
    return read_constant(tensor).array()


def read_constant(tensor: Any) -> Constant:
    """Return the values of a TensorProto, without writing out those that are left out.

    Raises:
        UnreadableConstantError: its shape is not fully known, NumPy has no such type, or its
            content has another size than dtype and shape say.
    """
    import numpy as np

    dtype, shape = dtype_of(tensor.dtype), shape_of(tensor)
    if shape is None:
        raise UnreadableConstantError("its shape is not fully known")
    kind = None if dtype is None else numpy_dtype(dtype)
    if dtype is None or kind is None:
        name = tensor.dtype if dtype is None else dtype.name
        raise UnreadableConstantError(f"values of type {name} cannot be read")
    count, content = math.prod(shape), tensor.tensor_content
    if content and len(content) != count * (dtype.size or 0):
        raise UnreadableConstantError(
            f"it holds {len(content)} bytes; {count} elements of {dtype.name} take "
            f"{count * (dtype.size or 0)}"
        )
    values = np.frombuffer(content, kind) if content else _listed_values(tensor, dtype, kind)
    if not len(values) and count:  # a value that is all zeros may be left out
        values = np.array([b"" if dtype.name == "string" else 0]).astype(kind)
    return Constant(dtype.name, shape, values)


def _listed_values(tensor: Any, dtype: DType, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    import numpy as np

    field = dtype.field or ""
    listed = getattr(tensor, field)
    if field == "half_val":  # the bits of each 16-bit number
        return np.array(listed, np.int32).astype(np.uint16).view(kind)
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


def constant_size(node: Any) -> tuple[int, int]:
    """Return how many weights a node holds, and the bytes of its values in memory.

    Weights are the values of a constant that is no scalar; integers as wide as shapes are, truth
    values and strings are not counted. The bytes of strings are their lengths.
    """
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
