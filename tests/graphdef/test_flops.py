"""Operations of layers, against TensorFlow's own statistics and published figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.flops import multiply_adds
from retrain_tools.graphdef.op_sets import LAYERS
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import plan_network
from tests.opening import read_graph_def

from .tiny_graphs import NEAR_REAL, inception_like, own, pixels_graph, real, theirs


def layers(graph_def: Any) -> dict[str, int | None]:
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(graph_def)}
    return {n.name: multiply_adds(n, shapes) for n in graph_def.node if n.op in LAYERS}


def total(graph_def: Any) -> int:
    counted = layers(graph_def)
    assert None not in counted.values()
    return sum(count or 0 for count in counted.values())


def tensorflows(graph_def: Any) -> dict[str, int]:
    """TensorFlow's count of floating-point operations, for a batch of one."""
    from tensorflow.python.framework import ops

    single = type(graph_def).FromString(graph_def.SerializeToString())
    for node in single.node:
        dims = node.attr["shape"].shape.dim if "shape" in node.attr else ()
        if len(dims) == 4 and dims[0].size == -1:
            dims[0].size = 1
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(theirs(single), name="")
    return {
        operation.name: ops.get_stats_for_node_def(graph, operation.node_def, "flops").value
        for operation in graph.get_operations()
        if operation.type in LAYERS
    }


@pytest.mark.parametrize(
    "name", ["inception_v1", "resnet_v1_50", "mobilenet_v1", "mobilenet_v2", "vgg_16"]
)
def test_every_layer_is_as_tensorflow_counts_it(name: str) -> None:
    light = plan_network(name).light
    expected = tensorflows(light)
    assert {key: 2 * (count or 0) for key, count in layers(light).items()} == expected
    assert len(expected) > 10


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_small_graphs_are_as_tensorflow_counts_them(make: Any) -> None:
    graph_def = make()
    assert {key: 2 * (c or 0) for key, c in layers(graph_def).items()} == tensorflows(graph_def)


def test_products_of_turned_and_batched_matrices() -> None:
    with tf.Graph().as_default() as graph:
        a = tf.compat.v1.placeholder(tf.float32, [5, 7], "a")
        b = tf.compat.v1.placeholder(tf.float32, [3, 5], "b")
        tf.matmul(a, b, transpose_a=True, transpose_b=True, name="turned")  # [7, 3] of sums of 5
        c = tf.compat.v1.placeholder(tf.float32, [None, 2, 4, 6], "c")
        d = tf.compat.v1.placeholder(tf.float32, [None, 2, 6, 3], "d")
        tf.raw_ops.BatchMatMulV2(x=c, y=d, name="batched")
    assert layers(own(graph.as_graph_def())) == {"turned": 3 * 5, "batched": 2 * 4 * 3 * 6}


def test_a_transposed_convolution_counts_each_value_that_goes_in() -> None:
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [1, 4, 5, 6], "x")
        kernel = tf.constant(np.ones((3, 3, 2, 6)), tf.float32)
        tf.nn.conv2d_transpose(pixels, kernel, [1, 8, 10, 2], 2, name="up")
    graph_def = own(graph.as_graph_def())
    assert layers(graph_def) == {"up": 4 * 5 * 6 * 3 * 3 * 2}


def test_layers_of_unknown_size_are_not_guessed() -> None:
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3], "x")
        tf.nn.conv2d(pixels, tf.ones([3, 3, 3, 4]), 1, "SAME", name="conv")
        tf.matmul(tf.compat.v1.placeholder(tf.float32), tf.ones([3, 2]), name="product")
    assert layers(own(graph.as_graph_def())) == {"conv": None, "product": None}


# Published multiply-adds. Open Model Zoo counts two operations for each, and the rest of the
# layers besides; torchvision counts one for each.
def test_the_graph_of_2015_against_published_figures() -> None:
    counted = total(read_graph_def(real(NEAR_REAL)))
    assert counted == pytest.approx(5.72e9, rel=0.01)  # NASNet's paper, table 2: Inception V3, 299
    assert counted == pytest.approx(11.469e9 / 2, rel=0.01)  # Open Model Zoo, googlenet-v3
    assert counted == pytest.approx(5.71e9, rel=0.01)  # torchvision, Inception_V3_Weights


def test_inception_v1_against_published_figures() -> None:
    plan = plan_network("inception_v1")
    counted = total(plan.light)
    assert counted == pytest.approx(3.016e9 / 2, rel=0.01)  # Open Model Zoo, googlenet-v1-tf
    assert counted == pytest.approx(1.50e9, rel=0.01)  # torchvision, GoogLeNet_Weights


def test_resnet_50_against_published_figures() -> None:
    # Slim strides in the last unit of a block, with which 3.48e9 is left of the paper's 3.8e9.
    # Vitis AI's Model Zoo has slim's checkpoint, as tf_resnetv1_50_imagenet_224_224_6.97G.
    assert total(plan_network("resnet_v1_50").light) == pytest.approx(6.97e9 / 2, rel=0.01)
    # Keras strides in the first unit, as the paper does: 3.86e9.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = tf.keras.applications.ResNet50(weights=None)
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec([None, 224, 224, 3]))
    counted = total(own(convert_variables_to_constants_v2(concrete).graph.as_graph_def()))
    assert counted == pytest.approx(3.86e9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("inception_v1", 6.619e6),  # Open Model Zoo, googlenet-v1-tf
        ("inception_v3", 23.819e6),  # Open Model Zoo, googlenet-v3
        ("resnet_v1_50", 25_557_032),  # torchvision, ResNet50_Weights
        ("vgg_16", 138_357_544),  # torchvision and Keras
    ],
)
def test_variables_against_published_numbers_of_parameters(name: str, published: float) -> None:
    counted = sum(math.prod(shape) for shape in plan_network(name).variables.values())
    assert counted == pytest.approx(published, rel=0.01)
