from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.constants import Constant, UnreadableConstantError, read_constant
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.report.constants import BINS, summary

NUMBERS = [
    tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.int32, tf.int64,
    tf.uint8, tf.uint16, tf.uint32, tf.uint64, tf.bool,
]  # fmt: skip


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 4)])
def test_every_dtype_is_read_as_tensorflow_reads_it(dtype: Any, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3).astype(dtype.as_numpy_dtype)
    proto = tf.make_tensor_proto(array, dtype)
    constant = read_constant(proto)
    assert constant.dtype == dtype.name == dtype_name(proto.dtype)
    assert constant.shape == shape
    np.testing.assert_array_equal(constant.array(), array.astype(constant.values.dtype))


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.name)
def test_values_in_fields_are_read_as_those_in_bytes(dtype: Any) -> None:
    values = np.array([0, 1, 1, 0], dtype.as_numpy_dtype)
    in_bytes = tf.make_tensor_proto(values, dtype)
    in_fields = tf.make_tensor_proto(values, dtype)
    in_fields.ClearField("tensor_content")
    field = {
        "float16": "half_val", "bfloat16": "half_val", "float32": "float_val",
        "float64": "double_val", "int64": "int64_val", "bool": "bool_val",
        "uint32": "uint32_val", "uint64": "uint64_val",
    }.get(dtype.name, "int_val")  # fmt: skip
    stored = values.view(np.uint16) if field == "half_val" else values
    del getattr(in_fields, field)[:]
    getattr(in_fields, field).extend(stored.tolist())
    expected = read_constant(in_bytes).array()
    np.testing.assert_array_equal(read_constant(in_fields).array(), expected)
    np.testing.assert_array_equal(tf.make_ndarray(in_fields).astype(expected.dtype), expected)


def test_the_last_value_is_repeated_and_no_value_is_zero() -> None:
    proto = tf.make_tensor_proto(np.float32(2.5), shape=[2, 2])
    assert len(proto.float_val) + len(proto.tensor_content) <= 4
    np.testing.assert_array_equal(read_constant(proto).array(), np.full((2, 2), 2.5))
    proto = tf.make_tensor_proto([1], tf.int32, [3])
    proto.int_val[:] = [7, 9]
    proto.ClearField("tensor_content")
    assert read_constant(proto).array().tolist() == [7, 9, 9]
    proto.int_val[:] = []
    assert read_constant(proto).array().tolist() == [0, 0, 0]


def test_strings_are_read() -> None:
    constant = read_constant(tf.make_tensor_proto([b"\xff\xd8", b"x" * 99]))
    assert constant.array().tolist() == [b"\xff\xd8", b"x" * 99]
    assert summary(constant) == {"count": 2, "first": [r"\xff\xd8", "x" * 60 + "…"]}


def test_malformed_constants_say_what_is_wrong() -> None:
    proto = tf.make_tensor_proto(np.zeros((2, 3), np.float32))
    proto.tensor_content = b"12345"
    with pytest.raises(UnreadableConstantError, match="5 bytes; 6 elements of float32 take 24"):
        read_constant(proto)
    proto.ClearField("tensor_content")
    proto.float_val[:] = [1] * 7
    with pytest.raises(UnreadableConstantError, match="7 values for 6 elements"):
        summary(read_constant(proto))
    proto.tensor_shape.dim[0].size = -1
    with pytest.raises(UnreadableConstantError, match="shape is not fully known"):
        read_constant(proto)
    for dtype, name in ((20, "resource"), (0, "0"), (99, "99")):
        with pytest.raises(UnreadableConstantError, match=f"values of type {name} cannot be read"):
            read_constant(schema.TensorProto(dtype=dtype))
    with pytest.raises(UnreadableConstantError, match="type complex64 are not shown"):
        summary(read_constant(schema.TensorProto(dtype=8)))


def test_a_shape_beyond_all_memory_is_summarised_but_not_spread_out() -> None:
    proto = tf.make_tensor_proto(np.float32(3), shape=[1])
    proto.tensor_shape.dim[0].size = 2**40
    constant = read_constant(proto)
    found = summary(constant)
    assert (found["count"], found["mean"], found["bins"]) == (2**40, 3, [2**40])
    assert constant.array().shape == (2**40,)
    assert constant.array()[-1] == 3
    proto.float_val[:] = [3, 4]
    assert summary(read_constant(proto))["min"] == 3
    with pytest.raises(UnreadableConstantError, match="too many"):
        read_constant(proto).array()


def test_small_floats_are_summarised_as_numbers() -> None:
    for dtype in (tf.bfloat16, tf.dtypes.experimental.float8_e5m2):
        proto = tf.make_tensor_proto(np.array([1.5, -2, 0]).astype(dtype.as_numpy_dtype))
        found = summary(read_constant(proto))
        assert (found["min"], found["max"], found["zeros"]) == (-2, 1.5, 1)
        assert found["first"] == ["1.5", "-2", "0"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32, np.uint8])
@pytest.mark.parametrize("size", [2, 1000, 600_000])
def test_the_summary_is_numpys(dtype: Any, size: int) -> None:
    array = (np.random.default_rng(size).normal(50, 20, size)).astype(dtype)
    array[: size // 2] = 0
    found = summary(Constant("?", array.shape, array))
    wide = array.astype(np.float64)
    assert found["count"] == size
    assert (found["min"], found["max"]) == (wide.min(), wide.max())
    assert found["mean"] == pytest.approx(wide.mean(), rel=1e-9)
    assert found["std"] == pytest.approx(wide.std(), rel=1e-6)
    assert (found["zeros"], found["nan"], found["inf"]) == ((wide == 0).sum(), 0, 0)
    numbers = array if array.dtype.kind == "f" and array.dtype.itemsize > 2 else wide
    np.testing.assert_array_equal(
        found["bins"], np.histogram(numbers, BINS, (wide.min(), wide.max()))[0]
    )


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0, 1, 2], np.float32)
    found = summary(Constant("float32", (8,), values))  # the 2 stands for three elements
    assert (found["nan"], found["inf"], found["zeros"]) == (1, 2, 1)
    assert (found["min"], found["max"]) == (0, 2)
    assert found["mean"] == pytest.approx(np.mean([0, 1, 2, 2, 2]))
    assert found["std"] == pytest.approx(np.std([0, 1, 2, 2, 2]))
    assert sum(found["bins"]) == 5
    assert found["bins"][-1] == 3
    assert found["first"] == ["nan", "inf", "-inf", "0", "1", "2", "2", "2"]


def test_nothing_finite_nothing_at_all_and_values_that_overflow() -> None:
    assert "min" not in summary(Constant("float32", (3,), np.full(3, np.nan, np.float32)))
    assert summary(Constant("float32", (0,), np.zeros(0, np.float32))) == {
        "count": 0, "first": [], "zeros": 0, "nan": 0, "inf": 0,
    }  # fmt: skip
    huge = np.array([-1.7e308, 1.7e308])
    found = summary(Constant("float64", (2,), huge))
    assert (found["min"], found["max"]) == (-1.7e308, 1.7e308)
    assert "bins" not in found
    assert "std" not in found
