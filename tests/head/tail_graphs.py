"""A small network with layers before and after a tensor, a branch and a shortcut around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from retrain_tools.graphdef.schema import GraphDef
from retrain_tools.graphdef.spec import FrozenGraph
from tests.opening import load_graph

from .graphs import DEPTH, constant, graph_of, node, read_graph

CUT = "first/relu:0"
BOTTLENECK = "pool/_reshape:0"
_STRIDES = {"strides": [1, 2, 2, 1], "padding": "SAME"}


def two_layers(producer: int = 8) -> GraphDef:
    """As the graph of 2015: an encoded image, old batch norms, one image at a time.

    A layer `first`, then a fused batch norm's layer `second` and a 1×1 layer `beside` of the old
    kind; their sum, less a constant for each channel, is pooled.
    """
    rng = np.random.default_rng(5)
    f32 = tf.float32
    return graph_of(
        [
            node("DecodeJpeg/contents", "Placeholder", dtype=tf.string),
            node("DecodeJpeg", "DecodeJpeg", "DecodeJpeg/contents", channels=3),
            node("Cast", "Cast", "DecodeJpeg", SrcT=tf.uint8, DstT=f32),
            constant("ExpandDims/dim", np.int32(0)),
            node("ExpandDims", "ExpandDims", "Cast", "ExpandDims/dim", T=f32),
            constant("ResizeBilinear/size", np.array([20, 20], np.int32)),
            node("ResizeBilinear", "ResizeBilinear", "ExpandDims", "ResizeBilinear/size", T=f32),
            constant("Sub/y", np.float32(128)),
            node("Sub", "Sub", "ResizeBilinear", "Sub/y", T=f32),
            constant("Mul/y", np.float32(1 / 128)),
            node("Mul", "Mul", "Sub", "Mul/y", T=f32),
            *_old_layer("first", "Mul", rng, (3, 3, 3, DEPTH)),
            *_fused_layer("second", "first/relu", rng, (3, 3, DEPTH, DEPTH)),
            *_old_layer("beside", "first/relu", rng, (1, 1, DEPTH, DEPTH)),
            node("sum", "Add", "second/relu", "beside/relu", T=f32),
            constant("shift", rng.normal(0, 0.2, DEPTH).astype(np.float32)),
            node("shifted", "Sub", "sum", "shift", T=f32),
            node("pool", "AvgPool", "shifted", T=f32,
                 ksize=[1, 5, 5, 1], strides=[1, 1, 1, 1], padding="VALID"),
            constant("pool/_reshape/shape", np.array([1, DEPTH], np.int32)),
            node("pool/_reshape", "Reshape", "pool", "pool/_reshape/shape", T=f32),
            constant("logits/weights", rng.normal(0, 0.5, (DEPTH, 5)).astype(np.float32)),
            node("logits/MatMul", "MatMul", "pool/_reshape", "logits/weights", T=f32),
            node("softmax", "Softmax", "logits/MatMul", T=f32),
        ],
        producer,
    )  # fmt: skip


def _statistics(rng: np.random.Generator) -> dict[str, np.ndarray]:
    drawn = {
        "mean": rng.normal(0, 0.2, DEPTH),
        "variance": rng.uniform(0.5, 2.0, DEPTH),
        "beta": rng.normal(0.3, 0.2, DEPTH),
        "gamma": rng.uniform(0.5, 2.0, DEPTH),
    }
    return {name: value.astype(np.float32) for name, value in drawn.items()}


def _convolution(name: str, source: str, rng: np.random.Generator, shape: Any) -> list[Any]:
    kernel = rng.normal(0, 0.3, shape).astype(np.float32)
    inputs = (source, f"{name}/kernel")
    return [
        constant(f"{name}/kernel", kernel),
        node(f"{name}/conv", "Conv2D", *inputs, T=tf.float32, **_STRIDES),
    ]


def _old_layer(name: str, source: str, rng: np.random.Generator, shape: Any) -> list[Any]:
    statistics = {f"{name}/{key}": value for key, value in _statistics(rng).items()}
    return [
        *_convolution(name, source, rng, shape),
        *(constant(key, value) for key, value in statistics.items()),
        node(f"{name}/norm", "BatchNormWithGlobalNormalization", f"{name}/conv", *statistics,
             T=tf.float32, variance_epsilon=0.001, scale_after_normalization=True),
        node(f"{name}/check", "CheckNumerics", f"{name}/norm", T=tf.float32, message="norm"),
        node(f"{name}/checked", "Identity", f"{name}/norm", f"^{name}/check", T=tf.float32),
        node(f"{name}/relu", "Relu", f"{name}/checked", T=tf.float32),
    ]  # fmt: skip


def _fused_layer(name: str, source: str, rng: np.random.Generator, shape: Any) -> list[Any]:
    statistics = {f"{name}/{key}": value for key, value in _statistics(rng).items()}
    order = [f"{name}/{key}" for key in ("gamma", "beta", "mean", "variance")]
    return [
        *_convolution(name, source, rng, shape),
        *(constant(key, value) for key, value in statistics.items()),
        node(f"{name}/norm", "FusedBatchNorm", f"{name}/conv", *order,
             T=tf.float32, epsilon=0.001, is_training=False),
        node(f"{name}/relu", "Relu", f"{name}/norm", T=tf.float32),
    ]  # fmt: skip


def values_in(graph_def: GraphDef) -> dict[str, np.ndarray]:
    """The arrays of a graph's constants."""
    return {
        node.name: tf.make_ndarray(
            tf.compat.v1.NodeDef.FromString(node.SerializeToString()).attr["value"].tensor
        )
        for node in graph_def.node
        if node.op == "Const"
    }


def folded(values: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The kernel and bias that a layer's convolution and batch norm amount to."""
    statistics = [values[f"{name}/{key}"] for key in ("mean", "variance", "beta", "gamma")]
    mean, variance, beta, gamma = (np.asarray(value, np.float64) for value in statistics)
    scale = gamma / np.sqrt(variance + 0.001)
    kernel = values[f"{name}/kernel"] * scale
    return kernel.astype(np.float32), (beta - mean * scale).astype(np.float32)


def opened(folder: Path, graph_def: GraphDef | None = None) -> FrozenGraph:
    """Write a graph, by default that of `two_layers`, and open it."""
    path = folder / "two_layers.pb"
    path.write_bytes((graph_def or two_layers()).SerializeToString())
    return load_graph(path)


def reread(path: Path) -> FrozenGraph:
    """Open a graph that was written."""
    assert read_graph(path).node
    return load_graph(path)
