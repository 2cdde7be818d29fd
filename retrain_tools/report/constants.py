"""The numbers of a constant and a summary of them, without TensorFlow; broken ones are named."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 24
_FIRST_VALUES = 8
_PART = 2**18  # values summarised at a time
_MOST_ELEMENTS = 2**31  # for materialising one; a file may state any shape beside a single value

# TensorFlow's types.proto. Names are those that tf.DType prints.
DTYPE_NAMES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    29: "int4",
    30: "uint4",
}
_STRING, _BFLOAT16, _HALF = 7, 14, 19

# The dtype of the bytes in tensor_content (always little-endian here) and the field with values.
_STORED: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_val"),
    2: ("<f8", "double_val"),
    3: ("<i4", "int_val"),
    4: ("u1", "int_val"),
    5: ("<i2", "int_val"),
    6: ("i1", "int_val"),
    9: ("<i8", "int64_val"),
    10: ("?", "bool_val"),
    11: ("i1", "int_val"),
    12: ("u1", "int_val"),
    13: ("<i4", "int_val"),
    14: ("<u2", "half_val"),
    15: ("<i2", "int_val"),
    16: ("<u2", "int_val"),
    17: ("<u2", "int_val"),
    19: ("<f2", "half_val"),
    22: ("<u4", "uint32_val"),
    23: ("<u8", "uint64_val"),
}


class UnreadableConstantError(ValueError):
    """A constant whose proto does not hold what it says; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Constant:
    """The values of one TensorProto as stored.

    Attributes:
        dtype: TensorFlow's name of the type.
        shape: the dimensions.
        values: one-dimensional; fewer than the shape holds if the last one is repeated, as
            TensorFlow stores constants that end in equal values. bytes objects for strings.
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

        Raises:
            UnreadableConstantError: the shape says far more elements than a memory holds.
        """
        missing = self.count - len(self.values)
        if missing and self.count > _MOST_ELEMENTS:
            raise UnreadableConstantError(f"{self.count} elements are too many to spread out")
        return np.pad(self.values, (0, missing), mode="edge").reshape(self.shape)


def dtype_name(number: int) -> str:
    """Return TensorFlow's name of a DataType; those of references (over 100) end in `_ref`."""
    if number > 100:
        return f"{dtype_name(number - 100)}_ref"
    return DTYPE_NAMES.get(number, f"type {number}")


def read_constant(proto: Any) -> Constant:
    """Return the values of a TensorProto, of any class that has its fields.

    Raises:
        UnreadableConstantError: no shape, a type without numbers, or another amount of data than
            the shape asks for.
    """
    if proto.tensor_shape.unknown_rank or any(d.size < 0 for d in proto.tensor_shape.dim):
        raise UnreadableConstantError("its shape is not fully known")
    shape = tuple(int(d.size) for d in proto.tensor_shape.dim)
    name, count = dtype_name(proto.dtype), math.prod(shape)
    if proto.dtype == _STRING:
        values = np.array([*proto.string_val, None], dtype=object)[:-1]  # None keeps it an array
    elif proto.dtype in _STORED:
        values = _numbers(proto, name, count)
    else:
        raise UnreadableConstantError(f"values of type {name} are not shown")
    if len(values) > count:
        raise UnreadableConstantError(f"it holds {len(values)} values for {count} elements")
    if not len(values) and count:  # TensorFlow fills a constant without values with its zero
        values = np.array([b""], dtype=object) if values.dtype == object else values.dtype.type([0])
    return Constant(name, shape, values)


def _numbers(proto: Any, name: str, count: int) -> npt.NDArray[Any]:
    stored, field = _STORED[proto.dtype]
    if proto.tensor_content:
        content = proto.tensor_content
        size = np.dtype(stored).itemsize * count
        if len(content) != size:
            raise UnreadableConstantError(
                f"it holds {len(content)} bytes; {count} elements of {name} take {size}"
            )
        values: npt.NDArray[Any] = np.frombuffer(content, dtype=stored)
    elif field == "half_val":  # bit patterns of 16 bits, each in an int32
        bits = np.array(proto.half_val, dtype=np.int64).astype("<u2")
        values = bits.view("<f2") if proto.dtype == _HALF else bits
    else:
        # int_val is int32 for all small integers: cut down as TensorFlow does, not refused.
        plain = list(getattr(proto, field))
        values = np.array(plain, dtype=np.int64 if field == "int_val" else stored).astype(stored)
    if proto.dtype == _BFLOAT16:  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values


def summary(constant: Constant) -> dict[str, Any]:
    """Return what a page says about a constant's values, ready for JSON.

    Keys: `count`; `first`, the first values as text; and for numbers also `min`, `max`, `mean` and
    `std` of the finite values (absent if there are none), `zeros`, `nan`, `inf`, and `bins`: how
    many finite values fall into each of 24 equal parts from min to max (one part if min is max,
    absent if the span exceeds a float64).
    """
    values, count = constant.values, constant.count
    first = [_value_text(v) for v in values[: min(_FIRST_VALUES, count)].tolist()]
    first += first[-1:] * (min(_FIRST_VALUES, count) - len(first))
    found: dict[str, Any] = {"count": count, "first": first}
    if values.dtype == object:
        return found
    found |= {"zeros": 0, "nan": 0, "inf": 0}
    parts = _parts(constant)
    low, high, total, mean = math.inf, -math.inf, 0, 0.0
    for part, times in parts:
        finite = _finite(part)
        found["zeros"] += times * int(part.size - np.count_nonzero(part))
        found["nan"] += times * int(np.isnan(part).sum())
        found["inf"] += times * int(np.isinf(part).sum())
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            total += times * finite.size
            with np.errstate(over="ignore"):  # huge float64 values: a mean of inf is left out
                share = times * finite.size / total
                mean += share * (float(finite.mean(dtype=np.float64)) - mean)
    if total:
        found |= {"min": low, "max": high, **_spread(parts, low, high, mean, total)}
    return found


def _parts(constant: Constant) -> list[tuple[npt.NDArray[Any], int]]:
    """Return the values in float32 or float64 arrays, each with how many times it counts.

    They are cut small so that the summary of a large constant takes no second copy of it.
    """
    values, repeats = constant.values, constant.count - len(constant.values)
    wide = values.dtype.itemsize > 2 and values.dtype.kind in "iu"
    if values.dtype.kind != "f" or values.dtype.itemsize == 2:
        values = values.astype(np.float64 if wide else np.float32)
    parts = [(values[i : i + _PART], 1) for i in range(0, len(values), _PART)]
    return [*parts, (values[-1:], repeats)] if repeats else parts


def _finite(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    finite = np.isfinite(part)
    return part if finite.all() else part[finite]


def _spread(
    parts: list[tuple[npt.NDArray[Any], int]], low: float, high: float, mean: float, total: int
) -> dict[str, Any]:
    """Return `mean`, `std` and `bins` of the finite values, without those that overflow."""
    bins = np.zeros(BINS, np.int64)
    squares = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for part, times in parts:
            finite = _finite(part)
            squares += times * float(np.square(finite - np.float64(mean)).sum())
            if low < high and math.isfinite(high - low) and low + (high - low) / BINS > low:
                wide = finite.astype(np.float64)  # 24 bins between two float32 that are neighbours
                bins += times * np.histogram(wide, bins=BINS, range=(low, high))[0]
    spread = {"mean": mean, "std": math.sqrt(squares / total)}
    found: dict[str, Any] = {key: x for key, x in spread.items() if math.isfinite(x)}
    if low == high:
        found["bins"] = [total]
    elif bins.any():
        found["bins"] = bins.tolist()
    return found


def _value_text(value: Any) -> str:
    if isinstance(value, bytes):
        text = value[:60].decode("utf-8", "backslashreplace")
        return f"{text}…" if len(value) > 60 else text
    return f"{value:.6g}" if isinstance(value, float) else str(value)
