"""fold_batch_norms behind a MatMul, alone on Keras's form, and beside the Graph Transform Tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.transforms.fold_batch_norms import (
    fold_batch_norms,
    fold_old_batch_norms,
)
from retrain_tools.graphdef.transforms.pass_through import remove_pass_through
from retrain_tools.graphdef.weights import large_constants
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, jpeg, run
from .running import apart, assert_not_changed, op_names, oracle, run_light
from .test_fold_batch_norms import batch_normed
from .test_fold_scalings import X, convolution, fused_batch_norm, vector, written_out_by_keras

ROWS = np.random.default_rng(9).normal(0, 1, (7, 12)).astype(np.float32)


def product(turned: bool = False, scale: Any = None, bias_first: bool = False) -> Any:
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 12]))
    kernel = vector(-1, 1, 12 * 20).reshape(12, 20)
    add_constant(graph_def, "kernel", kernel.T.copy() if turned else kernel)
    add(graph_def, "c", "MatMul", ["x", "kernel"], T=tf.float32, transpose_b=turned)
    source = "c"
    if bias_first:
        add_constant(graph_def, "b", vector(-1, 1))
        add(graph_def, "biased", "BiasAdd", ["c", "b"], T=tf.float32)
        source = "biased"
    add_constant(graph_def, "scale", vector() if scale is None else scale)
    add(graph_def, "y", "Mul", [source, "scale"], T=tf.float32)
    return graph_def


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("bias_first", [False, True])
def test_a_product_is_scaled_in_its_kernel(turned: bool, bias_first: bool) -> None:
    graph_def = product(turned, bias_first=bias_first)
    light, weights = fold_batch_norms(*apart(graph_def), ["y"])
    made = ["MatMul", "BiasAdd"] if bias_first else ["MatMul"]
    assert [op for op in op_names(light) if op != "Placeholder"] == made
    expected = run(graph_def, "y:0", {"x:0": ROWS})
    found = run_light(light, weights, "y:0", {"x:0": ROWS})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_bias_of_a_product_and_a_factor_of_more_dimensions_stay() -> None:
    plain = product(bias_first=True)
    del plain.node[-2:]
    add(plain, "y", "Add", ["biased", "b"], T=tf.float32)
    assert_not_changed(fold_batch_norms, plain, ["y"])
    assert_not_changed(fold_batch_norms, product(scale=vector().reshape(1, 1, 20)), ["y"])


@pytest.mark.parametrize("make", [product, lambda: scaled(convolution())])
def test_the_tool_folds_a_factor_to_the_same_values(make: Any) -> None:
    graph_def = make()
    feeds = {"x:0": ROWS if graph_def.node[2].op == "MatMul" else X}
    theirs = oracle(graph_def, ["x"], ["y"], "fold_batch_norms")
    assert "Mul" not in op_names(theirs)
    light, weights = fold_batch_norms(*apart(graph_def), ["y"])
    assert "Mul" not in op_names(light)
    found = run_light(light, weights, "y:0", feeds)
    np.testing.assert_allclose(found, run(theirs, "y:0", feeds), rtol=0, atol=1e-5)


def scaled(graph_def: Any) -> Any:
    add_constant(graph_def, "scale", vector())
    add(graph_def, "y", "Mul", ["c", "scale"], T=tf.float32)
    return graph_def


def test_a_small_kernel_that_stands_in_the_light_graph_is_folded_into() -> None:
    graph_def = empty_graph(21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 6, 6, 3]))
    add_constant(graph_def, "kernel", vector(depth=12).reshape(1, 1, 3, 4))
    strides = [1, 1, 1, 1]
    add(graph_def, "c", "Conv2D", ["x", "kernel"], T=tf.float32, strides=strides, padding="SAME")
    add_constant(graph_def, "scale", vector(depth=4))
    add(graph_def, "y", "Mul", ["c", "scale"], T=tf.float32)
    light, weights = fold_batch_norms(*apart(graph_def), ["y"])
    assert op_names(light) == ["Placeholder", "Placeholder", "Conv2D"]
    expected = run(graph_def, "y:0", {"x:0": X})
    found = run_light(light, weights, "y:0", {"x:0": X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_form_of_keras_is_folded_without_another_transform() -> None:
    graph_def = written_out_by_keras()
    light, weights = fold_batch_norms(*apart(graph_def), ["out"])
    assert [op for op in op_names(light) if op != "Placeholder"] == ["Conv2D", "BiasAdd", "Relu"]
    expected = run(graph_def, "out:0", {"x:0": X})
    found = run_light(light, weights, "out:0", {"x:0": X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("scale_after", [False, True])
def test_the_tool_folds_old_batch_norms_to_the_same_values(scale_after: bool) -> None:
    graph_def, feeds = batch_normed(20, scale_after), {"x:0": X}
    light, weights = remove_pass_through(*apart(graph_def), ["c"])
    light, weights = fold_old_batch_norms(light, weights, ["c"])
    assert sorted(op_names(light)) == sorted(["Placeholder"] * 3 + ["Conv2D", "BiasAdd", "Relu"])
    transforms = "remove_nodes(op=Identity, op=CheckNumerics) fold_old_batch_norms"
    theirs = oracle(graph_def, ["x"], ["c"], transforms)
    assert "BatchNormWithGlobalNormalization" not in op_names(theirs)
    found = run_light(light, weights, "c:0", feeds)
    np.testing.assert_allclose(found, run(theirs, "c:0", feeds), rtol=0, atol=1e-5)


def test_only_old_batch_norms_are_folded_by_their_own_transform() -> None:
    assert_not_changed(fold_old_batch_norms, fused_batch_norm(convolution(), "c"), ["out"])
    assert_not_changed(fold_old_batch_norms, written_out_by_keras(), ["out"])
    assert_not_changed(fold_old_batch_norms, scaled(convolution()), ["y"])


def test_a_bias_before_an_old_batch_norm_is_folded_with_it() -> None:
    graph_def = batch_normed(20)
    add_constant(graph_def, "bias", vector(-1, 1))
    add(graph_def, "biased", "BiasAdd", ["c/Conv2D", "bias"], T=tf.float32)
    next(n for n in graph_def.node if n.name == "c/batchnorm").input[0] = "biased"
    light, weights = fold_old_batch_norms(*apart(graph_def), ["c"])
    assert set(weights) == {"c/conv2d_params", "c/batchnorm/bias"}
    expected = run(graph_def, "c:0", {"x:0": X})
    found = run_light(light, weights, "c:0", {"x:0": X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_a_whole_network_keeps_its_values() -> None:
    graph_def, feeds = inception_like(), {"DecodeJpeg/contents:0": jpeg()}
    light, weights = fold_old_batch_norms(*apart(graph_def), ["softmax"])
    assert len(weights) < len(large_constants(graph_def))
    expected = run(graph_def, "softmax:0", feeds)
    found = run_light(light, weights, "softmax:0", feeds)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
