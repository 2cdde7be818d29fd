"""Tiny classifiers in the style of the old ones, run untouched for comparison; no product code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import shape_proto
from tests.images.drawn import encoded as encoded

SIZE = 20
DEPTH = 6
CLASSES = 3


def node(name: str, op: str, *inputs: str, **attributes) -> Any:
    result = schema.NodeDef(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        if isinstance(value, tf.DType):
            result.attr[key].type = value.as_datatype_enum
        elif isinstance(value, bool):
            result.attr[key].b = value
        elif isinstance(value, int):
            result.attr[key].i = value
        elif isinstance(value, float):
            result.attr[key].f = value
        elif isinstance(value, str):
            result.attr[key].s = value.encode()
        elif isinstance(value, tf.TensorShape):
            result.attr[key].shape.CopyFrom(shape_proto(value.as_list()))
        else:
            result.attr[key].list.i.extend(value)
    return result


def constant(name: str, value) -> Any:
    array = np.asarray(value)
    result = node(name, "Const", dtype=tf.as_dtype(array.dtype if array.dtype != object else "O"))
    result.attr["value"].tensor.MergeFromString(tf.make_tensor_proto(value).SerializeToString())
    return result


def graph_of(nodes, producer: int) -> Any:
    graph_def = schema.GraphDef(node=nodes)
    graph_def.versions.producer = producer
    return graph_def


def graph_2015() -> Any:
    """For one image: encoded input, old batch norm, a bottleneck of [1, DEPTH], a softmax."""
    rng = np.random.default_rng(0)
    f32, u8 = tf.float32, tf.uint8
    example = node("DecodeJpeg/contents", "Const", dtype=tf.string)
    example.attr["value"].tensor.MergeFromString(
        tf.make_tensor_proto(jpeg(drawn_image(0))).SerializeToString()
    )
    statistics = {
        "mean": rng.normal(0, 0.2, DEPTH),
        "variance": rng.uniform(0.5, 2.0, DEPTH),
        "beta": rng.normal(0.3, 0.2, DEPTH),
        "gamma": rng.uniform(0.5, 2.0, DEPTH),
    }
    return graph_of(
        [
            example,
            node("DecodeJpeg", "DecodeJpeg", "DecodeJpeg/contents", channels=3, ratio=1),
            node("Cast", "Cast", "DecodeJpeg", SrcT=u8, DstT=f32),
            constant("ExpandDims/dim", np.int32(0)),
            node("ExpandDims", "ExpandDims", "Cast", "ExpandDims/dim", T=f32),
            constant("ResizeBilinear/size", np.array([SIZE, SIZE], np.int32)),
            node("ResizeBilinear", "ResizeBilinear", "ExpandDims", "ResizeBilinear/size", T=f32),
            constant("Sub/y", np.float32(128)),
            node("Sub", "Sub", "ResizeBilinear", "Sub/y", T=f32),
            constant("Mul/y", np.float32(1 / 128)),
            node("Mul", "Mul", "Sub", "Mul/y", T=f32),
            constant("conv/kernel", rng.normal(0, 0.4, (3, 3, 3, DEPTH)).astype(np.float32)),
            node("conv", "Conv2D", "Mul", "conv/kernel",
                 T=f32, strides=[1, 2, 2, 1], padding="SAME", use_cudnn_on_gpu=True),
            *(constant(f"conv/{key}", v.astype(np.float32)) for key, v in statistics.items()),
            node("conv/batchnorm", "BatchNormWithGlobalNormalization", "conv",
                 *(f"conv/{key}" for key in statistics),
                 T=f32, variance_epsilon=0.001, scale_after_normalization=True),
            node("conv/check", "CheckNumerics", "conv/batchnorm", T=f32, message="batch norm"),
            node("conv/relu", "Relu", "conv/batchnorm", "^conv/check", T=f32),
            node("pool", "AvgPool", "conv/relu", T=f32,
                 ksize=[1, 10, 10, 1], strides=[1, 1, 1, 1], padding="VALID"),
            constant("pool/_reshape/shape", np.array([1, DEPTH], np.int32)),
            node("pool/_reshape", "Reshape", "pool", "pool/_reshape/shape", T=f32),
            *_classifier("pool/_reshape", rng),
        ],
        producer=8,
    )  # fmt: skip


def pixel_graph(dims: list[int | None] | None, producer: int = 21) -> Any:
    """From pixels at `input` of a shape, or of none as old files have it, to `probabilities`."""
    rng = np.random.default_rng(1)
    f32 = tf.float32
    entrance = node("input", "Placeholder", dtype=f32)
    if dims is not None:
        entrance.attr["shape"].shape.CopyFrom(shape_proto(dims))
    return graph_of(
        [
            entrance,
            constant("conv/kernel", rng.normal(0, 0.4, (3, 3, 3, DEPTH)).astype(np.float32)),
            node("conv", "Conv2D", "input", "conv/kernel",
                 T=f32, strides=[1, 5, 5, 1], padding="SAME", data_format="NHWC"),
            node("maps", "Relu6", "conv", T=f32),
            constant("pooled/axes", np.array([1, 2], np.int32)),
            node("pooled", "Mean", "maps", "pooled/axes", T=f32),
            *_classifier("pooled", rng),
        ],
        producer,
    )  # fmt: skip


def _classifier(bottleneck: str, rng) -> list[Any]:
    f32 = tf.float32
    weights = rng.normal(0, 0.5, (DEPTH, 5)).astype(np.float32)
    return [
        constant("logits/weights", weights),
        node("logits/MatMul", "MatMul", bottleneck, "logits/weights", T=f32),
        node("probabilities", "Softmax", "logits/MatMul", T=f32),
    ]


def run(graph_def, fetch: str, feeds: dict[str, object]) -> np.ndarray:
    """Run a graph by plain TensorFlow, as any old program would load it."""
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()), name=""
        )
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(fetch, feeds)


def read_graph(path) -> Any:
    return schema.GraphDef.FromString(Path(path).read_bytes())


def prepared(data: bytes, size: int = SIZE, mean: float = 127.5, std: float = 127.5) -> np.ndarray:
    """What retrain.py puts in front of a graph that takes pixels: float32 [1, size, size, 3]."""
    decoded = tf.io.decode_image(data, channels=3, expand_animations=False)
    batch = tf.cast(decoded, tf.float32)[tf.newaxis]
    resized = tf.raw_ops.ResizeBilinear(images=batch, size=[size, size])
    return ((resized - mean) * (1.0 / std)).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(axis=-1, keepdims=True)


def drawn_image(seed: int, height: int = 26, width: int = 33) -> Image.Image:
    """Smooth random colours: what JPEG was made for."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> bytes:
    return encoded(image, "JPEG")


# The ops of TensorFlow 1.4 (November 2017) that frozen image classifiers and retrain.py's own
# nodes are made of. Every one was there when retrain.py was current.
OPS_OF_TENSORFLOW_1_4 = frozenset(
    [
        "Add", "AvgPool", "BatchNormWithGlobalNormalization", "BiasAdd", "Cast", "CheckNumerics",
        "Concat", "ConcatV2", "Const", "Conv2D", "DecodeJpeg", "DepthwiseConv2dNative",
        "ExpandDims", "FusedBatchNorm", "Identity", "LRN", "MatMul", "Max", "MaxPool", "Mean",
        "Mul", "Placeholder", "PlaceholderWithDefault", "Range", "Rank", "Relu", "Relu6",
        "Reshape", "ResizeBilinear", "Rsqrt", "Shape", "Softmax", "Squeeze", "Sub",
    ]
)  # fmt: skip
