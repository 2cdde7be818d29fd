from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_batch_norms
from retrain_tools.graphdef.weights import large_constants, light_copy
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import EPSILON, add, add_batch_normed_conv, empty_graph, run

OLD = "BatchNormWithGlobalNormalization"
X = np.random.default_rng(5).normal(0, 1, (2, 6, 6, 3)).astype(np.float32)


def batch_normed(outputs: int, scale_after: bool = False, depthwise: bool = False) -> Any:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 6, 6, 3]))
    kernel = np.random.default_rng(6).normal(0, 0.5, (3, 3, 3, outputs)).astype(np.float32)
    add_batch_normed_conv(graph_def, "c", "x", kernel, scale_after=scale_after, depthwise=depthwise)
    return graph_def


def fold(graph_def: Any, keep: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    return fold_batch_norms(light_copy(graph_def), large_constants(graph_def), keep)


def ops(graph_def: Any) -> list[str]:
    return [node.op for node in graph_def.node]


def run_folded(graph_def: Any, fetch: str, keep: tuple[str, ...] = ()) -> Any:
    light, weights = fold(graph_def, keep)
    with tf.Graph().as_default() as graph:
        import_light(light, {name: tf.constant(value) for name, value in weights.items()})
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(fetch, {"x:0": X})


def numpy_conv(kernel: Any, depthwise: bool) -> Any:
    """A convolution of 3 × 3 with SAME padding, as its definition says."""
    padded = np.pad(X.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    total: Any = 0
    for dy in range(3):
        for dx in range(3):
            window = padded[:, dy : dy + 6, dx : dx + 6]
            if depthwise:
                product = window[..., :, None] * kernel[dy, dx]
                total = total + product.reshape(2, 6, 6, -1)
            else:
                total = total + window @ kernel[dy, dx]
    return total


@pytest.mark.parametrize("scale_after", [False, True])
@pytest.mark.parametrize("outputs", [8, 20], ids=["statistics in the graph", "statistics apart"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_folded_values_are_those_of_the_formula(
    scale_after: bool, outputs: int, depthwise: bool
) -> None:
    graph_def = batch_normed(outputs, scale_after, depthwise)
    value = {
        node.name: tf.make_ndarray(node.attr["value"].tensor).astype(np.float64)
        for node in graph_def.node
        if node.op == "Const"
    }
    convolved = numpy_conv(value["c/conv2d_params"], depthwise)
    normed = (convolved - value["c/batchnorm/moving_mean"]) / np.sqrt(
        value["c/batchnorm/moving_variance"] + EPSILON
    )
    if scale_after:
        normed = normed * value["c/batchnorm/gamma"]
    expected = np.maximum(normed + value["c/batchnorm/beta"], 0)
    np.testing.assert_allclose(run(graph_def, "c:0", {"x:0": X}), expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(run_folded(graph_def, "c:0"), expected, rtol=0, atol=2e-5)
    assert OLD not in ops(fold(graph_def)[0])


def test_folding_leaves_one_bias_and_drops_the_statistics() -> None:
    light, weights = fold(batch_normed(20))
    assert set(weights) == {"c/conv2d_params", "c/batchnorm/bias"}
    names = {node.name for node in light.node}
    assert not names & {"c/batchnorm/gamma", "c/batchnorm/moving_mean"}
    assert all(value.dtype == np.float32 for value in weights.values())


def shared_kernel() -> Any:
    graph_def = batch_normed(20)
    inputs = ["x", "c/conv2d_params"]
    add(graph_def, "d", "Conv2D", inputs, T=tf.float32, strides=[1, 1, 1, 1], padding="SAME")
    return graph_def


def shared_convolution() -> Any:
    graph_def = batch_normed(20)
    add(graph_def, "d", "Relu", ["c/Conv2D"], T=tf.float32)
    return graph_def


def computed_statistics() -> Any:
    graph_def = batch_normed(20)
    [node] = [node for node in graph_def.node if node.name == "c/batchnorm/beta"]
    value = add(graph_def, "b", "Const")
    value.CopyFrom(node)
    value.name = "b"
    node.Clear()
    node.name, node.op = "c/batchnorm/beta", "Sin"
    node.input.append("b")
    node.attr["T"].type = tf.float32.as_datatype_enum
    return graph_def


def no_convolution() -> Any:
    graph_def = batch_normed(20)
    [node] = [node for node in graph_def.node if node.op == OLD]
    add(graph_def, "between", "Relu", ["c/Conv2D"], T=tf.float32)
    node.input[0] = "between"
    return graph_def


@pytest.mark.parametrize(
    "make", [shared_kernel, shared_convolution, computed_statistics, no_convolution]
)
def test_what_cannot_be_folded_stays_as_it_is(make: Any) -> None:
    graph_def = make()
    light, weights = fold(graph_def)
    assert ops(light).count(OLD) == 1
    kernel = large_constants(graph_def)["c/conv2d_params"]
    np.testing.assert_array_equal(weights["c/conv2d_params"], kernel)
    expected = run(graph_def, "c:0", {"x:0": X})
    np.testing.assert_array_equal(run_folded(graph_def, "c:0"), expected)


def test_a_kept_convolution_is_not_folded() -> None:
    graph_def = batch_normed(20)
    expected = run(graph_def, "c/Conv2D:0", {"x:0": X})
    np.testing.assert_array_equal(run_folded(graph_def, "c/Conv2D:0", ("c/Conv2D",)), expected)


def test_a_kernel_of_another_layout_is_not_folded() -> None:
    graph_def = batch_normed(20)
    [node] = [node for node in graph_def.node if node.op == "Conv2D"]
    node.attr["data_format"].s = b"NCHW"
    assert OLD in ops(fold(graph_def)[0])


def test_folding_changes_neither_the_graph_nor_the_weights() -> None:
    light, weights = light_copy(batch_normed(20)), large_constants(batch_normed(20))
    before = light.SerializeToString(deterministic=True)
    arrays = {name: value.copy() for name, value in weights.items()}
    fold_batch_norms(light, weights)
    assert light.SerializeToString(deterministic=True) == before
    assert set(weights) == set(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(weights[name], value)
