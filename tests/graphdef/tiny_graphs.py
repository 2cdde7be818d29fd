"""Small graphs made node by node, in the style of 2015, and running them as they are."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retrain_tools.graphdef import schema
from retrain_tools.quiet_tensorflow import tf

SIZE = 8
CHANNELS = 20, 8  # what the two branches of `mixed` make; their sum is the bottleneck's depth
DEPTH = sum(CHANNELS)
CLASSES = 5
EPSILON = 0.001

_DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def real(path: str) -> Path:
    """A file of the real material, or a skipped test where that is not at hand."""
    file = (_DATA / path).resolve()
    if not file.exists():
        pytest.skip(f"real material is not here: {file}")
    return file


NEAR_REAL = "inception-2015-12-05/near_real_graph_def.pb"
MOBILENET = "mobilenet_v1_0.25_128/frozen_graph.pb"
MOBILENET_QUANTIZED = "mobilenet_v1_0.25_128/quantized_graph.pb"
MOBILENET_RETRAINED = "mobilenet_v1_0.25_128/retrained_graph.pb"


def own(message: Any) -> Any:
    """A message of TensorFlow's as the package's own class."""
    return getattr(schema, type(message).__name__).FromString(message.SerializeToString())


def theirs(graph_def: Any) -> Any:
    """A graph as TensorFlow's own class."""
    return tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString())


def add(graph_def: Any, name: str, op: str, inputs: Sequence[str] = (), **attributes: Any) -> Any:
    node = graph_def.node.add(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        field = node.attr[key]
        match value:
            case bool():
                field.b = value
            case int():
                field.i = value
            case float():
                field.f = value
            case str():
                field.s = value.encode()
            case list():
                field.list.i.extend(value)
            case tf.TensorShape():
                field.shape.CopyFrom(own(value.as_proto()))
            case _:
                field.type = value.as_datatype_enum
    return node


def add_constant(graph_def: Any, name: str, value: Any) -> Any:
    tensor = tf.make_tensor_proto(value)
    node = add(graph_def, name, "Const", dtype=tf.as_dtype(tensor.dtype))
    node.attr["value"].tensor.CopyFrom(own(tensor))
    return node


def empty_graph(producer: int = 8) -> Any:
    graph_def = schema.GraphDef()
    graph_def.versions.producer = producer
    return graph_def


def jpeg(seed: int = 0, width: int = 21, height: int = 13) -> bytes:
    """A smooth image, so that it survives JPEG."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def add_batch_normed_conv(
    graph_def: Any,
    name: str,
    source: str,
    kernel: Any,
    stride: int = 1,
    scale_after: bool = False,
    depthwise: bool = False,
    seed: int = 0,
) -> None:
    rng = np.random.default_rng(seed)
    outputs = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
    add_constant(graph_def, f"{name}/conv2d_params", kernel)
    add(
        graph_def,
        f"{name}/Conv2D",
        "DepthwiseConv2dNative" if depthwise else "Conv2D",
        [source, f"{name}/conv2d_params"],
        T=tf.float32,
        strides=[1, stride, stride, 1],
        padding="SAME",
    )
    norm = f"{name}/batchnorm"
    values = {
        "moving_mean": rng.normal(0, 0.3, outputs),
        "moving_variance": rng.uniform(0.2, 2.0, outputs),
        "beta": rng.normal(0.2, 0.3, outputs),
        "gamma": rng.uniform(0.5, 1.5, outputs),
    }
    for part, value in values.items():
        add_constant(graph_def, f"{norm}/{part}", value.astype(np.float32))
    add(
        graph_def,
        norm,
        "BatchNormWithGlobalNormalization",
        [f"{name}/Conv2D", *(f"{norm}/{part}" for part in values)],
        T=tf.float32,
        variance_epsilon=EPSILON,
        scale_after_normalization=scale_after,
    )
    check, guarded = f"{name}/CheckNumerics", f"{name}/control_dependency"
    add(graph_def, check, "CheckNumerics", [norm], T=tf.float32, message="NaN")
    add(graph_def, guarded, "Identity", [norm, f"^{check}"], T=tf.float32)
    add(graph_def, name, "Relu", [guarded], T=tf.float32)


def inception_like(
    example: bytes | None = None,
    reshape: Sequence[int] = (1, DEPTH),
    producer: int = 8,
    size: int | None = SIZE,
) -> Any:
    """The 2015 graph in little: its names, ops, old batch norms and one hard-coded batch of 1.

    Args:
        example: JPEG bytes to hold in a Const as the input; None for a Placeholder.
        reshape: what the bottleneck is reshaped to.
        producer: GraphDef version.
        size: side of the prepared image; None for a graph that takes it from a placeholder.
    """
    rng = np.random.default_rng(1)
    graph_def = empty_graph(producer)
    if example is None:
        shape = tf.TensorShape([])
        add(graph_def, "DecodeJpeg/contents", "Placeholder", dtype=tf.string, shape=shape)
    else:
        add_constant(graph_def, "DecodeJpeg/contents", example)
    add(graph_def, "DecodeJpeg", "DecodeJpeg", ["DecodeJpeg/contents"], channels=3)
    add(graph_def, "Cast", "Cast", ["DecodeJpeg"], SrcT=tf.uint8, DstT=tf.float32)
    add_constant(graph_def, "ExpandDims/dim", np.int32(0))
    add(graph_def, "ExpandDims", "ExpandDims", ["Cast", "ExpandDims/dim"], T=tf.float32)
    if size is None:
        add(graph_def, "ResizeBilinear/size", "Placeholder", dtype=tf.int32)
    else:
        add_constant(graph_def, "ResizeBilinear/size", np.array([size, size], np.int32))
    inputs = ["ExpandDims", "ResizeBilinear/size"]
    add(graph_def, "ResizeBilinear", "ResizeBilinear", inputs, T=tf.float32)
    add_constant(graph_def, "Sub/y", np.float32(128))
    add(graph_def, "Sub", "Sub", ["ResizeBilinear", "Sub/y"], T=tf.float32)
    add_constant(graph_def, "Mul/y", np.float32(1 / 128))
    add(graph_def, "Mul", "Mul", ["Sub", "Mul/y"], T=tf.float32)

    def kernel(*shape: int) -> Any:
        return rng.normal(0, 0.4, shape).astype(np.float32)

    wide, narrow = CHANNELS
    add_batch_normed_conv(graph_def, "conv", "Mul", kernel(3, 3, 3, narrow), stride=2)
    source = kernel(1, 1, narrow, wide)
    add_batch_normed_conv(graph_def, "mixed/conv", "conv", source, scale_after=True, seed=2)
    add_constant(graph_def, "mixed/join/concat_dim", np.int32(3))
    inputs = ["mixed/join/concat_dim", "mixed/conv", "conv"]
    add(graph_def, "mixed/join", "Concat", inputs, T=tf.float32, N=2)
    ksize, strides = [1, SIZE // 2, SIZE // 2, 1], [1, 1, 1, 1]
    pooling = {"ksize": ksize, "strides": strides, "padding": "VALID"}
    add(graph_def, "pool_3", "AvgPool", ["mixed/join"], T=tf.float32, **pooling)
    add_constant(graph_def, "pool_3/_reshape/shape", np.array(reshape, np.int32))
    inputs = ["pool_3", "pool_3/_reshape/shape"]
    add(graph_def, "pool_3/_reshape", "Reshape", inputs, T=tf.float32, Tshape=tf.int32)
    add_constant(graph_def, "softmax/weights", kernel(DEPTH, CLASSES))
    add_constant(graph_def, "softmax/biases", kernel(CLASSES))
    inputs = ["pool_3/_reshape", "softmax/weights"]
    add(graph_def, "softmax/logits/MatMul", "MatMul", inputs, T=tf.float32)
    inputs = ["softmax/logits/MatMul", "softmax/biases"]
    add(graph_def, "softmax/logits", "BiasAdd", inputs, T=tf.float32)
    add(graph_def, "softmax", "Softmax", ["softmax/logits"], T=tf.float32)
    return graph_def


def reverse_nodes(graph_def: Any) -> Any:
    """The same graph with every node before what it takes."""
    result = schema.GraphDef()
    result.versions.CopyFrom(graph_def.versions)
    result.node.extend(reversed(list(graph_def.node)))
    return result


def pixels_graph() -> Any:
    """A graph that takes pixels and ends in a convolution of 1 × 1, made by TensorFlow."""
    v1 = tf.compat.v1
    rng = np.random.default_rng(3)
    with tf.Graph().as_default() as graph:
        pixels = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], "input")
        kernel = tf.constant(rng.normal(0, 0.3, (3, 3, 3, 6)), tf.float32, name="w1")
        net = tf.nn.relu(tf.nn.conv2d(pixels, kernel, 2, "SAME", name="conv"), name="relu")
        net = tf.nn.avg_pool2d(net, 4, 1, "VALID", name="pool")
        kernel = tf.constant(rng.normal(0, 0.3, (1, 1, 6, CLASSES)), tf.float32, name="w2")
        net = tf.nn.conv2d(net, kernel, 1, "SAME", name="fc")
        net = tf.squeeze(net, [1, 2], name="squeezed")
        tf.nn.softmax(net, name="probabilities")
    return own(graph.as_graph_def())


def run(graph_def: Any, fetches: Any, feeds: Mapping[str, Any]) -> Any:
    """Run a graph as it stands."""
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(theirs(graph_def), name="")
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(fetches, dict(feeds))


def write(graph_def: Any, path: Path) -> Path:
    path.write_bytes(graph_def.SerializeToString())
    return path
