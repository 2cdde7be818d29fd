"""Networks without golden values against Keras's definitions of the same papers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import BuiltNetwork, build_network, plan_network
from tests.slim.golden import draw_images, draw_variables, run

_CLASSES = 7
_TOLERANCE = 1e-4  # of the tensor's standard deviation

Weights = dict[str, np.ndarray]


def _set(layer: Any, weights: Weights, scope: str) -> None:
    """Give a Keras layer the slim variables of a scope."""
    order = ["depthwise_weights", "weights", "biases"]
    if type(layer).__name__ == "BatchNormalization":
        order = ["gamma", "beta", "moving_mean", "moving_variance"]
    arrays = [weights[f"{scope}/{part}"] for part in order if f"{scope}/{part}" in weights]
    wanted = [weight.shape for weight in layer.get_weights()]
    layer.set_weights([array.reshape(shape) for array, shape in zip(arrays, wanted, strict=True)])


def _error(values: np.ndarray, expected: Any) -> float:
    expected = np.asarray(expected)
    return float(np.abs(values.reshape(expected.shape) - expected).max() / expected.std())


def _drawn(name: str, size: int, width: float = 1.0) -> tuple[Weights, BuiltNetwork]:
    weights = draw_variables(plan_network(name, _CLASSES, width).variables)
    return weights, build_network(name, weights, size, width=width)


def _part(model: Any, *layers: str) -> Any:
    outputs = [model.get_layer(layer).output for layer in layers]
    return tf.keras.Model(model.input, outputs if len(outputs) > 1 else outputs[0])


@pytest.mark.parametrize("width", [1.0, 1.4, 0.35])
def test_mobilenet_v2(width: float) -> None:
    size = 96
    weights, built = _drawn("mobilenet_v2", size, width)
    model = tf.keras.applications.MobileNetV2(
        (size, size, 3), width, weights=None, classes=_CLASSES
    )
    first_and_last = {
        "Conv1": "Conv",
        "bn_Conv1": "Conv/BatchNorm",
        "Conv_1": "Conv_1",
        "Conv_1_bn": "Conv_1/BatchNorm",
        "predictions": "Logits/Conv2d_1c_1x1",
    }
    for layer in model.layers:
        if layer.get_weights():
            block, _, part = layer.name.replace("_BN", "/BatchNorm").rpartition("_")
            inside = f"{block.replace('block_', 'expanded_conv_')}/{part}"
            _set(layer, weights, f"MobilenetV2/{first_and_last.get(layer.name, inside)}")

    images = draw_images(size)
    layers = {"expanded_conv_project_BN": "layer_2", "block_9_add": "layer_11"}
    expected = _part(model, *layers, "out_relu")(images, training=False)
    fetches = {layer: built.end_points[layer] for layer in (*layers.values(), "layer_19")}
    values = run(built.graph_def, fetches, images)

    for layer, known in zip(layers.values(), expected, strict=False):
        assert _error(values[layer], known) < _TOLERANCE
    # With drawn weights, rounding grows tenfold in the last eight blocks, smoothly.
    assert _error(values["layer_19"], expected[-1]) < 10 * _TOLERANCE


def test_resnet_v2() -> None:
    size = 97
    weights, built = _drawn("resnet_v2_50", size)
    model = tf.keras.applications.ResNet50V2(
        input_shape=(size, size, 3), weights=None, classes=_CLASSES
    )
    outside = {"conv1_conv": "conv1", "post_bn": "postnorm", "predictions": "logits"}
    parts = {"preact_bn": "preact", "0_conv": "shortcut"}
    for layer in model.layers:
        if layer.get_weights():
            scope = outside.get(layer.name)
            if scope is None:
                stage, unit, part = layer.name.split("_", 2)
                conv = f"conv{part.replace('_conv', '').replace('_bn', '/BatchNorm')}"
                block, number = int(stage.removeprefix("conv")) - 1, unit.removeprefix("block")
                scope = f"block{block}/unit_{number}/bottleneck_v2/{parts.get(part, conv)}"
            _set(layer, weights, f"resnet_v2_50/{scope}")

    images = draw_images(size)
    layers = ("conv1_conv", "pool1_pool", "avg_pool")
    conv1, pool1, cut = (np.asarray(x) for x in _part(model, *layers)(images, training=False))

    # Keras pads before its first pool with zeros, slim with nothing; what follows is the same.
    pooled = "resnet_v2_50/pool1/MaxPool:0"
    first = run(built.graph_def, {"conv1": built.end_points["resnet_v2_50/conv1"]}, images)
    rest = run(built.graph_def, {"cut": built.bottleneck}, pool1, feed=pooled)
    assert _error(first["conv1"], conv1) < _TOLERANCE
    assert _error(rest["cut"], cut) < _TOLERANCE


def test_inception_resnet_v2() -> None:
    size = 75
    weights, built = _drawn("inception_resnet_v2", size)
    model = tf.keras.applications.InceptionResNetV2(
        input_shape=(size, size, 3), weights=None, classes=_CLASSES
    )
    scopes = list(dict.fromkeys(re.sub("(/BatchNorm)?/[a-z_]+$", "", name) for name in weights))
    named = re.compile(r"(block\d+_\d+|Block8)/Conv2d_1x1$|Conv2d_7b|Logits")
    unnamed = [scope for scope in scopes if not named.search(scope)]
    for kind, suffix in (("conv2d", ""), ("batch_normalization", "/BatchNorm")):
        # Keras numbers the layers that it does not name in the order in which they were made.
        layers = [layer for layer in model.layers if re.fullmatch(rf"{kind}(_\d+)?", layer.name)]
        layers.sort(key=lambda layer: int(re.sub(r"\D", "", layer.name.removeprefix(kind)) or 0))
        for layer, scope in zip(layers, unnamed, strict=True):
            _set(layer, weights, f"{scope}{suffix}")
    repeats = {"block35": "Repeat", "block17": "Repeat_1", "block8": "Repeat_2"}
    for layer in model.layers:
        if residual := re.fullmatch(r"(block\d+)_(\d+)_conv", layer.name):
            block = f"{repeats[residual[1]]}/{residual[1]}_{residual[2]}"
            block = block.replace("Repeat_2/block8_10", "Block8")
            _set(layer, weights, f"InceptionResnetV2/{block}/Conv2d_1x1")
    last = "InceptionResnetV2/Conv2d_7b_1x1"
    _set(model.get_layer("conv_7b"), weights, last)
    _set(model.get_layer("conv_7b_bn"), weights, f"{last}/BatchNorm")

    images = draw_images(size)
    expected = _part(model, "avg_pool")(images, training=False)
    values = run(built.graph_def, {"cut": built.bottleneck}, images)

    assert _error(values["cut"], expected) < _TOLERANCE
