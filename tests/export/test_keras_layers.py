"""Each op as a Keras layer, against TensorFlow on the untouched graph; and what has no layer."""

from __future__ import annotations

import re

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.export.keras_model import to_keras
from retrain_tools.quiet_tensorflow import tf
from tests.export.toys import RESULT, SIZE, network, values
from tests.graphdef.tiny_graphs import run

raw = tf.raw_ops
KERNEL = values(3, 3, 3, 6, seed=1)
V = [values(6, seed=seed) for seed in range(4)]
VARIANCE = values(6, seed=9, low=0.3, high=2)


def conv(x, **more):
    return raw.Conv2D(**{
        "input": x, "filter": KERNEL, "strides": [1, 1, 1, 1], "padding": "SAME", **more
    })  # fmt: skip


def fused_norm(x, version="V3", **more):
    made = getattr(raw, f"FusedBatchNorm{version}")
    arguments = {"scale": V[0], "offset": V[1], "mean": V[2], "variance": VARIANCE}
    return made(x=x, **arguments, **{"is_training": False, "epsilon": 0.01, **more})


def written_norm(x):
    """As Keras 3 writes one out."""
    scale = tf.math.rsqrt(tf.constant(VARIANCE) + 1e-3) * V[0]
    return x * scale + (V[1] - V[2] * scale)


CASES = {
    "Conv2D": (conv, ["Conv2D"]),
    "a stride and VALID": (lambda x: conv(x, strides=[1, 2, 3, 1], padding="VALID"), ["Conv2D"]),
    "a bias": (lambda x: tf.nn.bias_add(conv(x), V[0]), ["Conv2D"]),
    "a bias by Add": (lambda x: raw.Add(x=V[0], y=conv(x)), ["Conv2D"]),
    "one number is no bias": (lambda x: conv(x) + 0.5, ["Conv2D", "Rescaling"]),
    "dilated": (lambda x: conv(x, dilations=[1, 2, 2, 1]), ["Conv2D"]),
    "groups": (lambda x: conv(x, filter=values(3, 3, 1, 6)), ["Conv2D"]),
    "explicit padding": (
        lambda x: conv(x, padding="EXPLICIT", explicit_paddings=[0, 0, 1, 2, 0, 3, 0, 0]),
        ["ZeroPadding2D", "Conv2D"],
    ),
    "depthwise": (
        lambda x: tf.nn.bias_add(
            raw.DepthwiseConv2dNative(
                input=x, filter=values(3, 3, 3, 2), strides=[1, 2, 2, 1], padding="SAME"
            ),
            V[0],
        ),
        ["DepthwiseConv2D"],
    ),
    "V1": (lambda x: fused_norm(conv(x), "")[0], ["Conv2D", "BatchNormalization"]),
    "V2": (
        lambda x: fused_norm(conv(x), "V2")[0],
        ["Conv2D", "BatchNormalization"],
    ),
    "V3 before a convolution": (
        lambda x: fused_norm(tf.concat([x, x], 3))[0],
        ["Concatenate", "BatchNormalization"],
    ),
    "written out": (lambda x: written_norm(conv(x)), ["Conv2D", "BatchNormalization"]),
    "without a convolution": (
        lambda x: written_norm(tf.concat([x, x], -1)),
        ["Concatenate", "BatchNormalization"],
    ),
    "one scale": (lambda x: 2 - (x / 3 + 1) * 0.5, ["Rescaling"]),
    "an offset for each channel": (lambda x: tf.constant(V[0][:3]) - x, ["Rescaling"]),
    "poolings": (
        lambda x: tf.nn.max_pool2d(tf.nn.avg_pool2d(x, 3, 2, "SAME"), [1, 2], 1, "VALID"),
        ["AveragePooling2D", "MaxPooling2D"],
    ),
    "global": (lambda x: tf.reduce_mean(x, [1, 2]), ["GlobalAveragePooling2D"]),
    "global and kept": (
        lambda x: tf.reduce_max(x, [-2, 1], keepdims=True),
        ["GlobalMaxPooling2D"],
    ),
    "a classifier": (
        lambda x: tf.nn.softmax(
            tf.linalg.matmul(tf.reshape(x, [-1, 192]), values(4, 192), transpose_b=True)
            + V[0][:4]
        ),
        ["Flatten", "Dense", "Activation"],
    ),
    "a shape worked out": (
        lambda x: tf.reshape(x, [tf.shape(x)[0], 16, 12]),
        ["Reshape"],
    ),
    "squeezed": (
        lambda x: tf.expand_dims(tf.squeeze(tf.nn.avg_pool2d(x, 8, 8, "VALID"), [1, 2]), 1),
        ["AveragePooling2D", "Flatten", "Reshape"],
    ),
    "padded": (
        lambda x: raw.PadV2(
            input=x, paddings=[[0, 0], [1, 2], [3, 0], [0, 0]], constant_values=0.0
        ),
        ["ZeroPadding2D"],
    ),
    "joined in the old way": (
        lambda x: raw.Concat(concat_dim=3, values=[x, x + 1.0]),
        ["Rescaling", "Concatenate"],
    ),
    "merged": (
        lambda x: tf.add_n([tf.nn.relu(x) * tf.sigmoid(x), tf.maximum(x, tf.tanh(x) - x), x]),
        ["ReLU", "Activation", "Multiply", "Activation", "Subtract", "Maximum", "Add"],
    ),
    "activations": (
        lambda x: tf.nn.elu(tf.nn.leaky_relu(tf.nn.relu6(x * 9.0) - 3.0, 0.3)),
        ["Rescaling", "ReLU", "Rescaling", "LeakyReLU", "Activation"],
    ),
    "more activations": (
        lambda x: tf.nn.log_softmax(tf.nn.selu(tf.nn.softplus(tf.nn.softsign(x)))),
        ["Activation"] * 4,
    ),
    "at least 0": (lambda x: tf.maximum(x, 0.0), ["ReLU"]),
    "permuted": (lambda x: tf.transpose(x, [0, 3, 1, 2]), ["Permute"]),
    "resized": (
        lambda x: tf.compat.v1.image.resize_nearest_neighbor(tf.image.resize(x, [16, 8]), [32, 8]),
        ["UpSampling2D", "UpSampling2D"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_layer_computes_what_the_op_computes(case, tmp_path):
    build, kinds = CASES[case]
    frozen = network(tmp_path, build)
    model = to_keras(frozen, [RESULT]).model
    assert sorted(type(layer).__name__ for layer in model.layers[1:]) == sorted(kinds)
    pixels = values(3, SIZE, SIZE, 3, seed=5)
    expected = run(frozen.graph_def, RESULT, {"input:0": pixels})
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(model.predict(pixels, verbose=0), expected, atol=1e-5)


def lrn(x):
    return raw.LRN(input=x, name="norm")


REFUSED = {
    "no such layer": (
        lambda x: tf.math.erf(lrn(lrn(x)), name="erf"),
        "LRN (norm, norm_1); Erf (erf)",
    ),
    "many": (
        lambda x: lrn(lrn(lrn(lrn(lrn(x))))),
        "LRN (norm, norm_1, norm_2 and 2 more)",
    ),
    "training": (
        lambda x: fused_norm(conv(x), is_training=True)[0] + 1.0,
        "FusedBatchNormV3 (FusedBatchNormV3 normalizes by its batch (is_training=true))",
    ),
    "channels first": (
        lambda x: conv(
            tf.transpose(conv(x), [0, 3, 1, 2]), filter=values(1, 1, 6, 6), data_format="NCHW",
            name="c",
        ),
        "Conv2D (c has data_format=NCHW, not NHWC)",
    ),
    "a computed kernel": (
        lambda x: conv(x, filter=tf.reshape(x, [3, 3, 3, -1], name="r"), name="c"),
        "Reshape (r makes a shape that is not known, or not one for each image); Conv2D (c takes "
        "'r', which is no constant)",
    ),
    "a mean of channels": (
        lambda x: tf.reduce_mean(x, [3], name="m"),
        "Mean (m reduces the axes [3] of 4, not height and width of an image)",
    ),
    "images mixed": (
        lambda x: tf.reshape(x, [-1, 3], name="r"),
        "Reshape (r does not keep the images of a batch apart)",
    ),
    "a part of each": (
        lambda x: tf.multiply(x, values(8, 1, 3), name="m"),
        "Mul (m takes a constant that is neither one number nor one for each channel)",
    ),
    "an exponent": (lambda x: tf.minimum(x, 3.0, name="m"), "Minimum (m takes a constant)"),
    "legacy resizing": (
        lambda x: tf.compat.v1.image.resize_bilinear(x, [16, 16], name="r"),
        "ResizeBilinear (r counts pixels in another way than Keras)",
    ),
    "no multiple": (
        lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, [12, 16], name="r"),
        "ResizeNearestNeighbor (r resizes 8×8 to 12×16, no multiple)",
    ),
    "padded channels": (
        lambda x: tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 1]], name="p"),
        "Pad (p pads [[0, 0], [0, 0], [0, 0], [0, 1]] with 0, not height and width with 0)",
    ),
    "permuted images": (
        lambda x: tf.transpose(x, [1, 0, 2, 3], name="t"),
        "Transpose (t has perm=[1, 0, 2, 3], which moves the images of a batch)",
    ),
    "joined with constants": (
        lambda x: raw.ConcatV2(values=[x, values(1, SIZE, SIZE, 3)], axis=3, name="j"),
        "ConcatV2 (j joins images, or constants)",
    ),
    "another output": (
        lambda x: tf.split(x, 3, 3, name="s")[1] + 1.0,
        "Split (s); AddV2 (add takes another output than the first of a node)",
    ),
    "strides and dilations": (
        lambda x: conv(x, strides=[1, 2, 2, 1], dilations=[1, 2, 2, 1], name="c"),
        "Conv2D (c is refused by Keras: ",
    ),
    "an explicit pooling": (
        lambda x: raw.MaxPool(
            input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="EXPLICIT",
            explicit_paddings=[0, 0, 1, 1, 1, 1, 0, 0], name="p",
        ),
        "MaxPool (p has padding=EXPLICIT)",
    ),
    "a pooling of channels": (
        lambda x: tf.nn.max_pool(x, [1, 1, 1, 3], [1, 1, 1, 3], "VALID", name="p"),
        "MaxPool (p has ksize=[1, 1, 1, 3])",
    ),
    "a transposed vector": (
        lambda x: tf.linalg.matmul(
            tf.reshape(x, [-1, 192], name="flat"), values(3, 4), transpose_a=True, name="m"
        ),
        "MatMul (m transposes what it takes)",
    ),
    "a quotient": (lambda x: tf.divide(x, x, name="q"), "RealDiv (q has no layer for two tensors)"),
    "another type": (lambda x: tf.cast(x, tf.float64, name="c"), "Cast (c changes the type)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_layer_is_named(case, tmp_path):
    build, told = REFUSED[case]
    frozen = network(tmp_path, build)
    start = f"{frozen.path} cannot become a Keras model, which has no layer for {told}"
    with pytest.raises(InputError, match=re.escape(start)) as error:
        to_keras(frozen, [RESULT])
    assert str(error.value).endswith(
        ". Take a tensor before them with outputs, or another form: saved_model."
    )
