from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.transforms.backport_concatv2 import backport_concatv2
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, run
from .running import apart, assert_not_changed, op_names, oracle, run_light

X = np.arange(12, dtype=np.float32).reshape(2, 3, 2)


def joined(axis: Any = -1, control: bool = False) -> Any:
    """[x, 2x, x²] along an axis."""
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 3, 2]))
    add_constant(graph_def, "axis", np.asarray(axis, np.int32 if isinstance(axis, int) else None))
    add(graph_def, "double", "Add", ["x", "x"], T=tf.float32)
    add(graph_def, "square", "Mul", ["x", "x"], T=tf.float32)
    dtype = tf.as_dtype(np.asarray(axis, np.int32 if isinstance(axis, int) else None).dtype)
    inputs = ["x", "double", "square", "axis", *(["^double"] if control else [])]
    add(graph_def, "y", "ConcatV2", inputs, T=tf.float32, N=3, Tidx=dtype)
    return graph_def


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("control", [False, True])
def test_values_stay_and_are_the_tools(axis: int, control: bool) -> None:
    graph_def = joined(axis, control)
    light, weights = backport_concatv2(*apart(graph_def), ["y"])
    assert "ConcatV2" not in op_names(light)
    expected = np.concatenate([X, X + X, X * X], axis)
    np.testing.assert_array_equal(run_light(light, weights, "y:0", {"x:0": X}), expected)
    if not control:  # the tool takes the control input for the axis
        theirs = oracle(graph_def, ["x"], ["y"], "backport_concatv2")
        np.testing.assert_array_equal(run(theirs, "y:0", {"x:0": X}), expected)


def test_an_axis_of_int64_stays_and_so_does_a_graph_of_2015() -> None:
    assert_not_changed(backport_concatv2, joined(np.int64(1)), ["y"])
    assert_not_changed(backport_concatv2, inception_like(), ["softmax"])
