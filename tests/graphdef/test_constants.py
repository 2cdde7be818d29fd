from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.constants import (
    array,
    constant_size,
    integers,
    is_sound,
)
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import add, add_constant, empty_graph

TYPES = ("float32", "float64", "float16", "int32", "int64", "int8", "uint8", "uint16", "int16")
TYPES += ("uint32", "uint64", "bool", "complex64", "complex128")
ARRAYS = st.sampled_from(TYPES).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


def mine(tensor: Any) -> Any:
    return schema.TensorProto.FromString(tensor.SerializeToString())


@settings(deadline=None)
@given(ARRAYS)
def test_values_are_as_they_were_written(values: Any) -> None:
    tensor = mine(tf.make_tensor_proto(values))
    np.testing.assert_array_equal(array(tensor), values)
    assert array(tensor).dtype == values.dtype


@settings(deadline=None)
@given(ARRAYS, st.integers(0, 5))
def test_values_listed_one_by_one_are_read_as_tensorflow_reads_them(values: Any, kept: int) -> None:
    tensor = tf.compat.v1.make_tensor_proto(values)
    field = {"float16": "half_val", "bool": "bool_val", "complex64": "scomplex_val"}.get(
        values.dtype.name
    )
    tensor.tensor_content = b""
    flat = values.ravel()[:kept]
    if field == "half_val":
        tensor.half_val[:] = flat.view(np.uint16).tolist()
    elif values.dtype.name in ("complex64", "complex128"):
        field = field or "dcomplex_val"
        parts = [part for value in flat.tolist() for part in (value.real, value.imag)]
        getattr(tensor, field)[:] = parts
    else:
        names = {"float32": "float_val", "float64": "double_val", "int64": "int64_val"}
        names |= {"uint32": "uint32_val", "uint64": "uint64_val", "bool": "bool_val"}
        getattr(tensor, names.get(values.dtype.name, "int_val"))[:] = flat.tolist()
    np.testing.assert_array_equal(array(mine(tensor)), tf.make_ndarray(tensor))


def test_strings_and_brain_floats() -> None:
    strings = tf.make_tensor_proto([[b"a", b"bc"], [b"", b"\xff"]])
    assert array(mine(strings)).tolist() == [[b"a", b"bc"], [b"", b"\xff"]]
    brain = tf.make_tensor_proto([1.5, -2.0], tf.bfloat16)
    assert array(mine(brain)).astype(np.float32).tolist() == [1.5, -2.0]


def test_one_value_for_all_takes_no_memory() -> None:
    tensor = schema.TensorProto(dtype=1, float_val=[2.5])
    for _ in range(3):
        tensor.tensor_shape.dim.add().size = 1_000_000
    found = array(tensor)
    assert found.shape == (1_000_000,) * 3
    assert found[5, 6, 7] == 2.5


def test_a_shape_that_is_not_known_has_no_values() -> None:
    tensor = schema.TensorProto(dtype=1, float_val=[2.5])
    tensor.tensor_shape.dim.add().size = -1
    with pytest.raises(ValueError, match="its shape is not fully known"):
        array(tensor)


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from((np.int32, np.int64)),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
)
def test_integers_without_numpy(values: Any) -> None:
    def nested(value: Any) -> Any:
        return tuple(map(nested, value)) if isinstance(value, list) else value

    tensor = tf.make_tensor_proto(values)
    if 0 not in values.shape[1:]:
        assert integers(mine(tensor), 27) == nested(values.tolist())
    assert integers(mine(tensor), values.size - 1) is None


def test_integers_are_of_two_types() -> None:
    assert integers(mine(tf.make_tensor_proto([1.0])), 9) is None
    filled = schema.TensorProto(dtype=3, int_val=[7])
    filled.tensor_shape.dim.add().size = 3
    assert integers(filled, 9) == (7, 7, 7)


@pytest.mark.parametrize(
    ("value", "parameters", "size"),
    [
        (np.zeros((3, 3, 2), np.float32), 18, 72),
        (np.zeros((4,), np.float16), 4, 8),
        (np.float32(128), 0, 4),
        (np.zeros((4,), np.int32), 0, 16),
        (np.zeros((2, 2), np.uint8), 4, 4),
        (np.array([b"abc", b"d"]), 0, 4),
        (np.zeros((0, 5), np.float32), 0, 0),
    ],
)
def test_parameters_and_bytes(value: Any, parameters: int, size: int) -> None:
    node = add_constant(empty_graph(), "c", value)
    assert constant_size(node) == (parameters, size)
    assert is_sound(node)


def test_other_nodes_hold_nothing() -> None:
    for op in ("Relu", "Const"):
        node = add(empty_graph(), "a", op)
        assert (constant_size(node), is_sound(node)) == ((0, 0), False)
