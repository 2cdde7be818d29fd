from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.graphdef.dtypes import (
    dtype_name,
    dtype_names,
    dtype_number,
    dtype_of,
    item_size,
    numpy_dtype,
)
from retrain_tools.quiet_tensorflow import tf


def _theirs(name: str) -> tf.DType | None:
    """TensorFlow's type of the same number; None if it is newer than this TensorFlow."""
    try:
        return tf.as_dtype(dtype_number(name))
    except TypeError:
        return None


def test_names_and_numbers_are_tensorflows() -> None:
    for name in dtype_names():
        number = dtype_number(name)
        assert number is not None
        assert dtype_name(number) == name
        theirs = _theirs(name)
        if theirs is None:
            continue
        assert theirs.name == name
        if name not in ("resource", "variant"):
            assert tf.as_dtype(number + 100).name == dtype_name(number + 100) == f"{name}_ref"


def test_every_type_of_tensorflow_is_known() -> None:
    from tensorflow.core.framework import types_pb2

    numbers = [number for number in types_pb2.DataType.values() if 0 < number < 100]
    assert [number for number in numbers if dtype_of(number) is None] == []


@pytest.mark.parametrize(
    ("name", "size"), [("float32", 4), ("qint8", 1), ("bfloat16", 2), ("complex128", 16)]
)
def test_sizes(name: str, size: int) -> None:
    assert item_size(name) == item_size(f"{name}_ref") == size
    assert tf.as_dtype(name).size == size


@pytest.mark.parametrize("name", ["string", "resource", "variant", "?", "float999"])
def test_types_without_a_size(name: str) -> None:
    assert item_size(name) is None


@pytest.mark.parametrize("name", dtype_names())
def test_numpys_types_are_as_large_as_tensorflows(name: str) -> None:
    dtype = dtype_of(dtype_number(name) or 0)
    assert dtype is not None
    kind = numpy_dtype(dtype)
    if name in ("resource", "variant"):
        assert kind is None
    elif name == "string":
        assert kind == np.dtype(object)
    elif kind is not None:
        assert kind.itemsize == dtype.size
        theirs = _theirs(name)
        if theirs is not None and not name.startswith("q"):
            assert kind == np.dtype(theirs.as_numpy_dtype)


@pytest.mark.parametrize("number", [0, 34, 95, 100, 134, -1])
def test_unknown_numbers(number: int) -> None:
    assert dtype_of(number) is None
    assert dtype_name(number) == "?"
