"""Nodes made by hand are those that TensorFlow makes, and are made without it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import new_constant, new_node, shape_proto, strip_defaults
from retrain_tools.graphdef.constants import array
from retrain_tools.graphdef.dtypes import FLOAT32, STRING
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import own


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float64", "int32", "int64", "uint8", "int8", "int16", "uint16", "uint32", "bool"],
)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (2, 2)])
def test_a_constant_is_the_one_that_tensorflow_makes(dtype: str, shape: tuple[int, ...]) -> None:
    value = (np.arange(np.prod(shape, dtype=int)).reshape(shape) + 1).astype(dtype)
    node = new_constant("c", value)
    tensor, theirs = node.attr["value"].tensor, own(tf.make_tensor_proto(value))
    if value.size > 1 and not theirs.tensor_content:  # TensorFlow lists numbers of a few types
        np.testing.assert_array_equal(array(tensor), value)
    else:
        assert tensor == theirs
    assert node.attr["dtype"].type == tf.as_dtype(dtype).as_datatype_enum
    assert (node.name, node.op, list(node.input)) == ("c", "Const", [])


@pytest.mark.parametrize(
    "value",
    [
        np.array(1.5, np.float16),
        np.array([1.5, 2.0], np.float16),
        np.array(1 + 2j, np.complex64),
        np.array([1.5], tf.bfloat16.as_numpy_dtype),
        np.array(7, np.uint64),
        np.array([3, 4], np.int8).view(tf.qint8.as_numpy_dtype),
    ],
    ids=["half", "halves", "complex", "bfloat16", "uint64", "quantized"],
)
def test_tensorflow_reads_a_constant_of_any_type(value: np.ndarray) -> None:
    tensor = new_constant("c", value).attr["value"].tensor
    theirs = tf.compat.v1.AttrValue.FromString(
        schema.AttrValue(tensor=tensor).SerializeToString()
    ).tensor
    found = tf.make_ndarray(theirs)
    assert found.dtype == value.dtype
    assert found.tobytes() == value.tobytes()


def test_strings_are_written_one_by_one() -> None:
    for value in (np.array([b"a", b"\xff\xd8"], object), np.array(["a", "é"])):
        tensor = new_constant("c", value).attr["value"].tensor
        expected = [v if isinstance(v, bytes) else v.encode() for v in value]
        assert (tensor.dtype, list(tensor.string_val)) == (STRING, expected)


def test_a_type_that_tensorflow_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="no type for NumPy's datetime64"):
        new_constant("c", np.array(["2015-12-05"], "datetime64[D]"))


def test_attributes_are_written_as_the_op_takes_them() -> None:
    node = new_node(
        "c", "Conv2D", ["x", "k"], T=FLOAT32, strides=[1, 2, 2, 1], padding="SAME",
        use_cudnn_on_gpu=False,
    )  # fmt: skip
    assert node.attr["T"].type == FLOAT32
    assert list(node.attr["strides"].list.i) == [1, 2, 2, 1]
    assert node.attr["padding"].s == b"SAME"
    assert node.attr["use_cudnn_on_gpu"].WhichOneof("value") == "b"
    norm = new_node("n", "FusedBatchNorm", ["x"], epsilon=0.5)
    assert norm.attr["epsilon"].f == 0.5
    pixels = new_node("p", "Placeholder", dtype=FLOAT32, shape=(None, 8, 8, 3))
    assert [d.size for d in pixels.attr["shape"].shape.dim] == [-1, 8, 8, 3]
    same = new_node("q", "Placeholder", shape=pixels.attr["shape"])
    assert same.attr["shape"] == pixels.attr["shape"]
    with pytest.raises(KeyError):
        new_node("p", "Placeholder", size=3)


@pytest.mark.parametrize("shape", [None, [], [None, 3], [2, 0]])
def test_shapes_are_those_of_tensorflow(shape: list[int | None] | None) -> None:
    assert shape_proto(shape) == own(tf.TensorShape(shape).as_proto())


def test_defaults_are_stripped_and_nothing_else() -> None:
    node = new_node(
        "c", "Conv2D", ["x", "k"], T=FLOAT32, strides=[1, 1, 1, 1], padding="SAME",
        data_format="NHWC", use_cudnn_on_gpu=False, dilations=[1, 1, 1, 1],
    )  # fmt: skip
    node.attr["_note"].s = b"kept"
    strip_defaults(node)
    assert sorted(node.attr) == ["T", "_note", "padding", "strides", "use_cudnn_on_gpu"]
    custom = schema.NodeDef(name="x", op="NoSuchOp")
    custom.attr["T"].type = FLOAT32
    strip_defaults(custom)
    assert list(custom.attr) == ["T"]


def test_the_whole_room_runs_without_tensorflow() -> None:
    program = (
        "import importlib, pkgutil, sys, retrain_tools.graphdef as room\n"
        "for module in pkgutil.walk_packages(room.__path__, 'retrain_tools.graphdef.'):\n"
        "    importlib.import_module(module.name)\n"
        "from retrain_tools.graphdef.build import new_constant, strip_defaults\n"
        "strip_defaults(new_constant('c', 1.0))\n"
        "assert 'tensorflow.python.tf2' not in sys.modules\n"
        "assert 'retrain_tools.quiet_tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
