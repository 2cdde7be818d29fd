"""fold_constants: every op against TensorFlow itself, and the Graph Transform Tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.transforms.fold_constants import fold_constants
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, own, pixels_graph, run
from .running import apart, assert_not_changed, op_names, oracle, run_light
from .test_fold_scalings import X, written_out_by_keras

RAW = tf.raw_ops
MATRIX = np.random.default_rng(11).uniform(0.5, 2, (4, 6)).astype(np.float32)
INTEGERS = np.array([[3, -5, 7], [2, 11, -13]], np.int32)


def raw(op: str, **arguments: Any) -> Callable[[], Any]:
    def make() -> Any:
        held = {
            key: tf.constant(value) if isinstance(value, np.ndarray) else value
            for key, value in arguments.items()
        }
        return getattr(RAW, op)(**held)

    return make


CASES = {
    "Add": raw("Add", x=MATRIX, y=MATRIX[:1]),
    "AddV2 of integers": raw("AddV2", x=INTEGERS, y=INTEGERS[0]),
    "Sub": raw("Sub", x=MATRIX, y=MATRIX[0]),
    "Mul of integers": raw("Mul", x=INTEGERS, y=np.array(1 << 30, np.int32)),
    "Maximum": raw("Maximum", x=MATRIX, y=np.float32(1)),
    "Minimum": raw("Minimum", x=INTEGERS, y=np.array(2, np.int32)),
    "Neg": raw("Neg", x=MATRIX),
    "Square": raw("Square", x=MATRIX),
    "RealDiv": raw("RealDiv", x=MATRIX, y=MATRIX[0]),
    "Reciprocal": raw("Reciprocal", x=MATRIX),
    "Rsqrt of doubles": raw("Rsqrt", x=MATRIX.astype(np.float64)),
    "Sqrt": raw("Sqrt", x=MATRIX),
    "Exp": raw("Exp", x=MATRIX),
    "Log": raw("Log", x=MATRIX),
    "Pow": raw("Pow", x=MATRIX, y=np.float32(1.5)),
    "Cast to floats": raw("Cast", x=INTEGERS, DstT=tf.float32),
    "Cast to int64": raw("Cast", x=INTEGERS, DstT=tf.int64),
    "Reshape": raw("Reshape", tensor=MATRIX, shape=np.array([2, -1], np.int32)),
    "ExpandDims": raw("ExpandDims", input=MATRIX, axis=np.array(-1, np.int32)),
    "Squeeze of all": raw("Squeeze", input=MATRIX.reshape(1, 4, 1, 6)),
    "Squeeze of one": raw("Squeeze", input=MATRIX.reshape(1, 4, 1, 6), axis=[2]),
    "Transpose": raw("Transpose", x=MATRIX, perm=np.array([1, 0], np.int32)),
    "Pack": lambda: RAW.Pack(values=[tf.constant(2), tf.constant(-1)]),
    "Pack of rows": lambda: RAW.Pack(values=[tf.constant(MATRIX), tf.constant(MATRIX)], axis=1),
    "Concat": lambda: RAW.Concat(concat_dim=tf.constant(1), values=[MATRIX, MATRIX]),
    "ConcatV2": lambda: RAW.ConcatV2(values=[MATRIX, MATRIX], axis=tf.constant(-2)),
    "Fill": raw("Fill", dims=np.array([3, 2], np.int32), value=np.float32(7)),
    "Tile": raw("Tile", input=INTEGERS, multiples=np.array([1, 2], np.int32)),
    "Range": lambda: RAW.Range(start=3, limit=-4, delta=-2),
    "Slice": raw(
        "Slice", input=MATRIX, begin=np.array([1, 2], np.int32), size=np.array([2, -1], np.int32)
    ),
    "StridedSlice": lambda: tf.constant(MATRIX)[1:, ::-2],
    "StridedSlice to a number": lambda: tf.constant(INTEGERS)[0, 1],
    "Sum": raw("Sum", input=INTEGERS, axis=np.array(1, np.int32)),
    "Prod": raw("Prod", input=INTEGERS, axis=np.array([0, 1], np.int32), keep_dims=True),
    "Max": raw("Max", input=MATRIX, axis=np.array([0], np.int32)),
    "Min": raw("Min", input=MATRIX, axis=np.array(-1, np.int32)),
}


def graph_of(make: Callable[[], Any]) -> Any:
    """The op's constants, the op, and an op behind it that is never computed here."""
    with tf.Graph().as_default() as graph:
        made = make()
        tf.identity(made, name="made")
        x = tf.compat.v1.placeholder(made.dtype, name="x")
        tf.add(made, x, name="y")
    return own(graph.as_graph_def())


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_each_op_gives_what_tensorflow_gives(make: Callable[[], Any]) -> None:
    graph_def = graph_of(make)
    light, weights = fold_constants(*apart(graph_def), ["y", "made"])
    assert set(op_names(light)) <= {"Const", "Placeholder", "AddV2"}
    zero = np.zeros((), run(graph_def, "made:0", {}).dtype)
    expected = run(graph_def, "y:0", {"x:0": zero})
    found = run_light(light, weights, "y:0", {"x:0": zero})
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        raw("Sin", x=MATRIX),
        raw("RealDiv", x=MATRIX.astype(np.complex64), y=MATRIX.astype(np.complex64)),
        raw("Cast", x=MATRIX, DstT=tf.int32),
        raw("Cast", x=INTEGERS, DstT=tf.bfloat16),
        raw("Cast", x=MATRIX.astype(np.float64), DstT=tf.float32, Truncate=True),
        lambda: tf.constant(MATRIX)[..., 0],
        lambda: tf.constant(MATRIX)[:, tf.newaxis],
        raw("Fill", dims=np.array([2000, 2000], np.int32), value=np.float32(7)),
        raw("Tile", input=MATRIX, multiples=np.array([1000, 1000], np.int32)),
        lambda: RAW.Range(start=0, limit=3_000_000, delta=1),
        lambda: RAW.Range(start=0.0, limit=1.0, delta=0.5),
    ],
)
def test_what_is_not_computed_here_stays(make: Callable[[], Any]) -> None:
    with tf.Graph().as_default() as graph:
        make()
    graph_def = own(graph.as_graph_def())
    assert_not_changed(fold_constants, graph_def, [graph_def.node[-1].name])


def test_a_damaged_graph_stays_for_tensorflow_to_refuse() -> None:
    graph_def = empty_graph(21)
    add_constant(graph_def, "x", MATRIX)
    add_constant(graph_def, "shape", np.array([5, 5], np.int32))
    add(graph_def, "y", "Reshape", ["x", "shape"], T=tf.float32)
    assert_not_changed(fold_constants, graph_def, ["y"])


def test_what_is_controlled_or_in_a_loop_stays() -> None:
    graph_def = empty_graph(21)
    add(graph_def, "first", "Placeholder", dtype=tf.float32)
    add_constant(graph_def, "x", MATRIX)
    add(graph_def, "y", "Neg", ["x", "^first"], T=tf.float32)
    assert_not_changed(fold_constants, graph_def, ["y"])
    with tf.Graph().as_default() as graph:
        tf.compat.v1.disable_control_flow_v2()
        tf.compat.v1.while_loop(lambda i: i < 3, lambda i: i + (tf.constant(1) + 1), [0])
    assert_not_changed(fold_constants, own(graph.as_graph_def()), ["while/Exit"])


def test_graphs_with_nothing_to_compute_stay() -> None:
    assert_not_changed(fold_constants, pixels_graph(), ["probabilities"])
    assert_not_changed(fold_constants, inception_like(), ["softmax"])


def test_the_tool_computes_the_same() -> None:
    graph_def = written_out_by_keras()
    light, weights = fold_constants(*apart(graph_def), ["out"])
    theirs = oracle(graph_def, ["x"], ["out"], "fold_constants")
    assert "Rsqrt" not in op_names(theirs)
    found = run_light(light, weights, "out:0", {"x:0": X})
    np.testing.assert_allclose(found, run(theirs, "out:0", {"x:0": X}), rtol=0, atol=1e-5)
