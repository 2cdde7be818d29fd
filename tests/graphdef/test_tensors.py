from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.engine import shapes
from retrain_tools.engine.shapes import infer_tensors, tensor_shape, tensor_shapes
from retrain_tools.graphdef.tensors import (
    Tensor,
    consumers_by_tensor,
    graph_inputs,
    graph_outputs,
    list_tensors,
)
from retrain_tools.quiet_tensorflow import tf
from tests.opening import read_graph_def

from .tiny_graphs import (
    MOBILENET_QUANTIZED,
    NEAR_REAL,
    add,
    add_constant,
    empty_graph,
    inception_like,
    jpeg,
    own,
    pixels_graph,
    real,
    theirs,
)

Lister = Callable[[Any], list[Tensor]]
BOTH_WAYS = pytest.mark.parametrize("listed_by", [list_tensors, infer_tensors])


def names(tensors: list[Tensor]) -> list[str]:
    return [tensor.name for tensor in tensors]


@BOTH_WAYS
def test_tensors_of_a_graph_of_2015(listed_by: Lister) -> None:
    found = {tensor.name: tensor for tensor in listed_by(inception_like())}
    for expected in (
        Tensor("DecodeJpeg/contents:0", "string", None, "Placeholder"),
        Tensor("DecodeJpeg:0", "uint8", (None, None, 3), "DecodeJpeg"),
        Tensor("ExpandDims/dim:0", "int32", (), "Const"),
        Tensor("Mul:0", "float32", (1, 8, 8, 3), "Mul"),
        Tensor("conv/conv2d_params:0", "float32", (3, 3, 3, 8), "Const"),
        Tensor("conv:0", "float32", (1, 4, 4, 8), "Relu"),
        Tensor("mixed/join:0", "float32", (1, 4, 4, 28), "Concat"),
        Tensor("pool_3:0", "float32", (1, 1, 1, 28), "AvgPool"),
        Tensor("pool_3/_reshape:0", "float32", (1, 28), "Reshape"),
        Tensor("softmax:0", "float32", (1, 5), "Softmax"),
    ):
        assert found[expected.name] == expected


@BOTH_WAYS
@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_every_tensor_is_as_tensorflow_imports_it(listed_by: Lister, make: Any) -> None:
    graph_def = make()
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(theirs(graph_def), name="")
    expected = [
        Tensor(
            tensor.name,
            tensor.dtype.name,
            None if tensor.shape.rank is None else tuple(tensor.shape.as_list()),
            operation.type,
        )
        for operation in graph.get_operations()
        for tensor in operation.outputs
    ]
    assert sorted(listed_by(graph_def), key=repr) == sorted(expected, key=repr)


@BOTH_WAYS
def test_each_output_of_a_node_is_a_tensor(listed_by: Lister) -> None:
    with tf.Graph().as_default() as graph:
        tf.split(tf.compat.v1.placeholder(tf.float32, [6, 2], "x"), 3, name="parts")
        tf.no_op("nothing")
    listed = listed_by(own(graph.as_graph_def()))
    assert [name for name in names(listed) if name.startswith("parts")] == [
        "parts/split_dim:0",
        "parts:0",
        "parts:1",
        "parts:2",
    ]
    assert "nothing:0" not in names(listed)
    # What no node takes, output by output.
    outputs = graph_outputs(own(graph.as_graph_def()), listed)
    assert names(outputs) == [
        "parts:0",
        "parts:1",
        "parts:2",
    ]


@BOTH_WAYS
def test_unknown_ops_leave_the_other_shapes_alone(listed_by: Lister) -> None:
    graph_def = empty_graph(producer=24)
    shape = tf.TensorShape([None, 4])
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=shape)
    add(graph_def, "first", "NoSuchOp", ["x"], T=tf.float32)
    add(graph_def, "second", "NoSuchOpEither", ["first"], T=tf.float32)
    add(graph_def, "y", "Shape", ["x"], T=tf.float32)
    add(graph_def, "z", "Relu", ["second"], T=tf.float32)
    add(graph_def, "n", "NoOp", ["^z"])
    assert listed_by(graph_def) == [
        Tensor("x:0", "float32", (None, 4), "Placeholder"),
        Tensor("first:0", "float32", None, "NoSuchOp"),
        Tensor("second:0", "float32", None, "NoSuchOpEither"),
        Tensor("y:0", "int32", (2,), "Shape"),
        Tensor("z:0", "float32", None, "Relu"),
    ]


@BOTH_WAYS
@pytest.mark.parametrize(("producer", "scalar"), [(8, None), (24, ())])
def test_a_graph_that_tensorflow_refuses_is_listed_by_attributes(
    listed_by: Lister, producer: int, scalar: tuple[int, ...] | None
) -> None:
    graph_def = empty_graph(producer)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 4]))
    add(graph_def, "s", "Placeholder", dtype=tf.string, shape=tf.TensorShape([]))
    add_constant(graph_def, "c", np.zeros((2, 3, 5), np.float32))
    add_constant(graph_def, "scalar", np.int32(1))
    add(graph_def, "mystery", "NoSuchOp", ["x"])
    add(graph_def, "cast", "Cast", ["mystery"], SrcT=tf.float32, DstT=tf.int64)
    add(graph_def, "later", "Cast", ["mystery"]).attr["DstT"].type = 95  # not a type of today
    add(graph_def, "n", "NoOp", ["^x"])
    assert listed_by(graph_def) == [
        Tensor("x:0", "float32", (None, 4), "Placeholder"),
        Tensor("s:0", "string", scalar, "Placeholder"),
        Tensor("c:0", "float32", (2, 3, 5), "Const"),
        Tensor("scalar:0", "int32", (), "Const"),
        Tensor("mystery:0", "?", None, "NoSuchOp"),
        Tensor("cast:0", "int64", None, "Cast"),
        Tensor("later:0", "?", None, "Cast"),
    ]


def test_newer_and_missing_attributes_are_tolerated() -> None:
    graph_def = inception_like()
    for node in graph_def.node:
        if node.op == "Relu":
            node.attr["_made_by_a_later_version"].b = True
        node.attr.pop("Tshape", None)
    assert tensor_shapes(graph_def)["pool_3/_reshape:0"] == (1, 28)


def test_one_shape_is_found_by_the_rules_or_by_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    graph_def = inception_like()
    add_constant(graph_def, "square", np.eye(3, dtype=np.float32))
    add(graph_def, "inverse", "MatrixInverse", ["square"], T=tf.float32)
    assert "inverse:0" in {t.name for t in list_tensors(graph_def) if t.shape is None}
    assert tensor_shape(graph_def, "inverse:0") == (3, 3)
    assert tensor_shape(graph_def, "no_such_node:0") is None
    wanted = tensor_shapes(graph_def)

    def no_tensorflow(_: Any) -> Any:
        raise AssertionError("TensorFlow is asked")

    monkeypatch.setattr(shapes, "tensor_shapes", no_tensorflow)
    known = [tensor.name for tensor in list_tensors(graph_def) if tensor.shape is not None]
    assert "pool_3/_reshape:0" in known
    for name in known:
        assert tensor_shape(graph_def, name) == wanted[name], name


@BOTH_WAYS
@pytest.mark.parametrize("example", [None, jpeg()])
def test_inputs_and_outputs(listed_by: Lister, example: bytes | None) -> None:
    graph_def = inception_like(example)
    add(graph_def, "d", "PlaceholderWithDefault", ["Mul/y"], dtype=tf.float32)
    add(graph_def, "end", "NoOp", ["^softmax"])
    listed = listed_by(graph_def)
    assert names(graph_inputs(graph_def, listed)) == ["DecodeJpeg/contents:0", "d:0"]
    assert names(graph_outputs(graph_def, listed)) == ["softmax:0", "d:0"]


@pytest.mark.parametrize(
    ("shape", "text"),
    [(None, "unknown"), ((), "[]"), ((1, None, 2048), "[1, ?, 2048]")],
)
def test_shape_as_people_write_it(shape: tuple[int | None, ...] | None, text: str) -> None:
    assert Tensor("a:0", "float32", shape, "A").shape_text == text


@BOTH_WAYS
def test_listing_does_not_change_the_graph(listed_by: Lister) -> None:
    for graph_def in (inception_like(), pixels_graph(), unknown := empty_graph()):
        if graph_def is unknown:
            add(graph_def, "mystery", "NoSuchOp")
            add(graph_def, "empty", "Const")
        before = graph_def.SerializeToString(deterministic=True)
        listed = listed_by(graph_def)
        graph_inputs(graph_def, listed)
        graph_outputs(graph_def, listed)
        assert graph_def.SerializeToString(deterministic=True) == before


@BOTH_WAYS
def test_the_real_graph_of_2015_is_as_the_reference_lists_it(listed_by: Lister) -> None:
    listed = listed_by(read_graph_def(real(NEAR_REAL)))
    with real("../reference/inception-2015-12-05.nodes.tsv").open(encoding="utf-8") as file:
        reference = [row[:4] for row in csv.reader(file, delimiter="\t") if row[0][0] != "#"]

    def as_there(tensor: Tensor) -> str:
        if tensor.shape is None:
            return "?"
        return "x".join("?" if d is None else str(d) for d in tensor.shape) or "scalar"

    assert [
        [tensor.name.removesuffix(":0"), tensor.op, tensor.dtype, as_there(tensor)]
        for tensor in listed
    ] == reference


@BOTH_WAYS
def test_a_quantized_graph_is_listed(listed_by: Lister) -> None:
    listed = listed_by(read_graph_def(real(MOBILENET_QUANTIZED)))
    assert len(listed) == 180
    assert {tensor.dtype for tensor in listed} >= {"quint8", "float32"}
    assert Tensor("input:0", "float32", (1, 128, 128, 3), "Placeholder") in listed


def test_outputs_of_functions_and_of_lists_of_types() -> None:
    with tf.Graph().as_default() as graph:

        @tf.function(autograph=False)
        def pair(x: Any) -> Any:
            return x + 1, tf.cast(x, tf.int64)

        a, _ = pair(tf.compat.v1.placeholder(tf.float32, [2], "x"))
        tf.raw_ops.IdentityN(input=[a, tf.constant(True)], name="both")
        tf.raw_ops.SplitV(value=tf.ones([4]), size_splits=[1, 3], axis=0, num_split=2, name="parts")
    graph_def = own(graph.as_graph_def())
    mine = {tensor.name: tensor for tensor in list_tensors(graph_def)}
    for operation in graph.get_operations():
        for output in operation.outputs:
            assert mine.pop(output.name).dtype == output.dtype.name
    assert mine == {}


def test_a_damaged_number_of_outputs_is_one_output() -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "axis", np.int32(0))
    add(graph_def, "x", "Placeholder", dtype=tf.float32)
    for number, name in ((-1, "a"), (1 << 40, "b")):
        add(graph_def, name, "Split", ["axis", "x"], T=tf.float32, num_split=number)
    assert names(list_tensors(graph_def)) == ["axis:0", "x:0", "a:0", "b:0"]


def test_consumers_are_told_apart_by_output() -> None:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32)
    add_constant(graph_def, "axis", np.int32(0))
    add(graph_def, "parts", "Split", ["axis", "x"], T=tf.float32, num_split=2)
    add(graph_def, "double", "Add", ["parts:0", "parts"], T=tf.float32)
    add(graph_def, "last", "Relu", ["parts:1", "^double"], T=tf.float32)
    assert consumers_by_tensor(graph_def) == {
        "axis:0": ["parts"],
        "x:0": ["parts"],
        "parts:0": ["double"],
        "parts:1": ["last"],
    }


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("float32", (2, 3), 24),
        ("int64", (), 8),
        ("float32", (0, 3), 0),
        ("float32", (None, 3), None),
        ("float32", None, None),
        ("string", (2,), None),
        ("?", (2,), None),
    ],
)
def test_bytes(dtype: str, shape: tuple[int | None, ...] | None, size: int | None) -> None:
    assert Tensor("a:0", dtype, shape, "A").bytes == size
