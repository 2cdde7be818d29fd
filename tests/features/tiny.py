"""Tiny graphs in the style of the old ones, and what they give when they are run untouched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from retrain_tools.graphdef.spec import FrozenGraph, SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from tests.images.drawn import encoded as encoded
from tests.opening import load_graph

SIZE = 16
BOTTLENECK_2015 = "pool/_reshape:0"
BOTTLENECK_PIXELS = "features:0"
_DEPTH = 256  # makes a kernel of 72 kB, large enough to be held in a variable


def write_2015_graph(path: Path) -> Path:
    """Write a graph built as inception-2015-12-05 is: for one image, with the old batch norm."""
    rng = np.random.default_rng(0)
    graph = tf.Graph()
    with graph.as_default():
        contents = tf.constant(encoded(photo(20, 30), "JPEG"), name="DecodeJpeg/contents")
        decoded = tf.raw_ops.DecodeJpeg(contents=contents, channels=3, name="DecodeJpeg")
        batch = tf.expand_dims(tf.cast(decoded, tf.float32, name="Cast"), 0, name="ExpandDims")
        resized = tf.raw_ops.ResizeBilinear(
            images=batch, size=tf.constant([SIZE, SIZE]), name="ResizeBilinear"
        )
        x = tf.multiply(tf.subtract(resized, 128.0, name="Sub"), 0.0078125, name="Mul")
        for scope, depth in (("conv", 8), ("conv_1", _DEPTH)):
            kernel = rng.normal(0, 0.2, (3, 3, x.shape[-1], depth)).astype(np.float32)
            x = tf.raw_ops.Conv2D(
                input=x, filter=kernel, strides=[1, 2, 2, 1], padding="SAME", name=scope
            )
            statistics = [rng.uniform(0.5, 1.5, depth).astype(np.float32) for _ in range(4)]
            names = ("moving_mean", "moving_variance", "beta", "gamma")
            constants = [
                tf.constant(value, name=f"{scope}/batchnorm/{name}")
                for value, name in zip(statistics, names, strict=True)
            ]
            with tf.control_dependencies([c.op for c in constants]):
                x = tf.identity(x, f"{scope}/batchnorm")  # becomes the batch norm below
            check = tf.raw_ops.CheckNumerics(
                tensor=x, message="batch norm", name=f"{scope}/CheckNumerics"
            )
            with tf.control_dependencies([check]):
                x = tf.identity(x, f"{scope}/control_dependency")
            x = tf.nn.relu(x, f"{scope}/relu")
        pooled = tf.nn.avg_pool2d(x, 4, 1, "VALID", name="pool")
        flat = tf.reshape(pooled, [1, _DEPTH], name="pool/_reshape")
        weights = rng.normal(0, 0.1, (_DEPTH, 5)).astype(np.float32)
        tf.nn.softmax(tf.matmul(flat, weights, name="softmax/logits/MatMul"), name="softmax")
    graph_def = graph.as_graph_def()
    graph_def.versions.producer = 8  # the last with the old batch norm
    graph_def.versions.min_consumer = 0
    for node in graph_def.node:
        if node.name.endswith("/batchnorm"):
            node.op = "BatchNormWithGlobalNormalization"
            node.input[:] = [node.input[0], *(name.lstrip("^") for name in node.input[1:])]
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = node.name.startswith("conv/")
    path.write_bytes(graph_def.SerializeToString())
    return path


def write_pixel_graph(path: Path, ending=None) -> Path:
    """Write a graph that takes prepared pixels at `input:0`.

    Args:
        path: where to.
        ending: from the float32 [N, 4] features to the tensor `features`; None leaves them.
    """
    rng = np.random.default_rng(1)
    graph = tf.Graph()
    with graph.as_default():
        pixels = tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], "input")
        kernel = rng.normal(0, 0.3, (3, 3, 3, 4)).astype(np.float32)
        maps = tf.nn.relu(tf.nn.conv2d(pixels, kernel, 2, "SAME", name="conv"), "maps")
        pooled = tf.reduce_mean(maps, [1, 2], name="pooled")
        tf.identity(pooled if ending is None else ending(pooled, pixels), "features")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def opened(path: Path, bottleneck: str) -> FrozenGraph:
    return load_graph(str(path), overrides=SpecOverrides(bottleneck_tensor=bottleneck))


def run_untouched(path: Path, fetch: str, feeds: dict[str, object]) -> np.ndarray:
    """Run the file as it is, in a session of its own."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(fetch, feeds)


def prepared_by_hand(data: bytes, mean: float = 127.5, std: float = 127.5) -> np.ndarray:
    """What retrain.py puts in front of a graph that takes pixels: float32 [1, h, w, 3]."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    batch = tf.cast(image, tf.float32)[tf.newaxis]
    resized = tf.raw_ops.ResizeBilinear(images=batch, size=[SIZE, SIZE])
    return ((resized - mean) * (1.0 / std)).numpy()


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth random colours: what JPEG was made for."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def fed_raw(frozen: FrozenGraph) -> FrozenGraph:
    """The graph, to be fed raw pixels."""
    raw = {"resize": "bilinear", "mean": 0.0, "std": 1.0, "encoded_input": None, "decoded": None}
    return dataclasses.replace(frozen, spec=dataclasses.replace(frozen.spec, **raw))
