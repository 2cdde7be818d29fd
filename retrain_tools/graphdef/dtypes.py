"""TensorFlow's element types by number and name: sizes and NumPy types, without TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy takes as long to import as a graph to list, which needs none of it
    import numpy as np

_REFERENCE = 100  # DT_FLOAT_REF is DT_FLOAT + 100, and so on (types.proto)
UNKNOWN = "?"
"""The name of a type that nothing tells, or that is of a later TensorFlow."""


@dataclasses.dataclass(frozen=True)
class DType:
    """An element type.

    Attributes:
        name: TensorFlow's Python name, `float32`.
        size: bytes of one value in `tensor_content`; 0 for strings, None for handles.
        numpy: NumPy's name of it (or that of the `ml_dtypes` package); None for handles. Quantized
            numbers have the type of the integers that they are stored as.
        field: the field of a TensorProto that holds values one by one; None if there is none.
    """

    name: str
    size: int | None
    numpy: str | None
    field: str | None


# types.proto, and tensor.proto for the fields.
_DTYPES = {
    1: DType("float32", 4, "float32", "float_val"),
    2: DType("float64", 8, "float64", "double_val"),
    3: DType("int32", 4, "int32", "int_val"),
    4: DType("uint8", 1, "uint8", "int_val"),
    5: DType("int16", 2, "int16", "int_val"),
    6: DType("int8", 1, "int8", "int_val"),
    7: DType("string", 0, "object", "string_val"),
    8: DType("complex64", 8, "complex64", "scomplex_val"),
    9: DType("int64", 8, "int64", "int64_val"),
    10: DType("bool", 1, "bool", "bool_val"),
    11: DType("qint8", 1, "int8", "int_val"),
    12: DType("quint8", 1, "uint8", "int_val"),
    13: DType("qint32", 4, "int32", "int_val"),
    14: DType("bfloat16", 2, "bfloat16", "half_val"),
    15: DType("qint16", 2, "int16", "int_val"),
    16: DType("quint16", 2, "uint16", "int_val"),
    17: DType("uint16", 2, "uint16", "int_val"),
    18: DType("complex128", 16, "complex128", "dcomplex_val"),
    19: DType("float16", 2, "float16", "half_val"),
    20: DType("resource", None, None, None),
    21: DType("variant", None, None, None),
    22: DType("uint32", 4, "uint32", "uint32_val"),
    23: DType("uint64", 8, "uint64", "uint64_val"),
    24: DType("float8_e5m2", 1, "float8_e5m2", "float8_val"),
    25: DType("float8_e4m3fn", 1, "float8_e4m3fn", "float8_val"),
    26: DType("float8_e4m3fnuz", 1, "float8_e4m3fnuz", "float8_val"),
    27: DType("float8_e4m3b11fnuz", 1, "float8_e4m3b11fnuz", "float8_val"),
    28: DType("float8_e5m2fnuz", 1, "float8_e5m2fnuz", "float8_val"),
    29: DType("int4", 1, "int4", "int_val"),
    30: DType("uint4", 1, "uint4", "int_val"),
    31: DType("int2", 1, "int2", "int_val"),
    32: DType("uint2", 1, "uint2", "int_val"),
    33: DType("float4_e2m1fn", 1, "float4_e2m1fn", "float8_val"),
}
_NAMES = {number: dtype.name for number, dtype in _DTYPES.items()}
_NAMES.update({number + _REFERENCE: f"{name}_ref" for number, name in _NAMES.items()})
_NUMBERS = {name: number for number, name in _NAMES.items()}

FLOAT32 = _NUMBERS["float32"]
FLOAT64 = _NUMBERS["float64"]
BFLOAT16 = _NUMBERS["bfloat16"]
INT32 = _NUMBERS["int32"]
UINT8 = _NUMBERS["uint8"]
INT64 = _NUMBERS["int64"]
STRING = _NUMBERS["string"]
RESOURCE = _NUMBERS["resource"]


def dtype_of(number: int) -> DType | None:
    """Return the type with this number of types.proto; None for one that is not known here."""
    return _DTYPES.get(number)


def dtype_name(number: int) -> str:
    """Return `float32` for 1, `float32_ref` for 101, and `?` for a number that is not known."""
    return _NAMES.get(number, UNKNOWN)


def dtype_number(name: str) -> int | None:
    """Return the number of the type with this name, or None."""
    return _NUMBERS.get(name)


def number_of(dtype: np.dtype[Any]) -> int:
    """Return the number of the type that has a NumPy array's values.

    Quantized numbers are told from integers as TensorFlow does it, by a field: [("qint8", int8)].

    Raises:
        ValueError: there is none.
    """
    name = dtype.names[0] if dtype.names else dtype.name
    number = _NUMBERS.get("string" if dtype.kind in "OSU" else name)
    if number is None:
        raise ValueError(f"TensorFlow has no type for NumPy's {dtype}")
    return number


def dtype_names() -> list[str]:
    """Return the names of all types, by number."""
    return [dtype.name for dtype in _DTYPES.values()]


def item_size(name: str) -> int | None:
    """Return the bytes of one value of the type with this name; None where that is not fixed."""
    number = _NUMBERS.get(name.removesuffix("_ref"))
    return _DTYPES[number].size or None if number is not None else None


def numpy_dtype(dtype: DType) -> np.dtype[Any] | None:
    """Return NumPy's type; None for handles, and for a type that the installed ml_dtypes lacks."""
    import numpy as np

    if dtype.numpy is None:
        return None
    try:
        return np.dtype(dtype.numpy)
    except TypeError:  # NumPy has no such type until ml_dtypes, which TensorFlow needs, adds it
        import ml_dtypes

        scalar = getattr(ml_dtypes, dtype.numpy, None)
        return None if scalar is None else np.dtype(scalar)


def array_dtype(dtype: DType) -> np.dtype[Any] | None:
    """Return NumPy's type as TensorFlow gives arrays: quantized numbers are told from integers."""
    import numpy as np

    plain = numpy_dtype(dtype)
    is_quantized = dtype.name.startswith(("qint", "quint"))
    return np.dtype([(dtype.name, plain)]) if is_quantized else plain
