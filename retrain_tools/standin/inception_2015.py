"""Writes a stand-in for inception-2015-12-05 offline: its every node, with random weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.build import fill_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32, INT32, STRING, UINT8
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.rows import AvgPool, Conv, Fork, MaxPool
from retrain_tools.standin import weights
from retrain_tools.standin.architecture import IMAGE_SIDE, LOGITS, MIXED, STEM, Layers
from retrain_tools.standin.photos import calibration_images

GRAPH_DEF_PRODUCER = 8
"""The last GraphDef version that may hold BatchNormWithGlobalNormalization."""

_MIN_CHANNELS = 4
_LAST_BLOCK = list(MIXED)[-1]


def make_reference_graph(
    width: float = 1.0, seed: int = 0, images: npt.NDArray[np.uint8] | None = None
) -> Any:
    """Build a graph that has the names, ops, shapes and attributes of inception-2015-12-05.

    The weights are random (see `weights`): `pool_3/_reshape:0` tells images apart, but it is not
    the feature of the real network, and the ImageNet classes of `softmax:0` mean nothing.

    Args:
        width: scales every number of channels except the 3 of an image and the 1008 logits; 1.0
            is the real network with 2048 features. At least 4 channels remain everywhere.
        seed: of the weights. On one machine, the same arguments give the same graph.
        images: uint8 [batch, 299, 299, 3], RGB, that the batch norm statistics are taken from;
            None for `photos.calibration_images()`.

    Returns:
        A GraphDef of 1004 nodes, producer version 8; about 95 MB at width 1.0.

    Raises:
        InputError: `width` outside (0, 1], or `images` of another shape or type.
    """
    if not 0 < width <= 1:
        raise InputError(f"The width has to be above 0 and at most 1.0, not {width}.")
    if images is None:
        images = calibration_images(side=IMAGE_SIDE)
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE, 3):
        raise InputError(
            f"Calibration images have to be uint8 [batch, {IMAGE_SIDE}, {IMAGE_SIDE}, 3], "
            f"not {images.dtype} {list(images.shape)}."
        )
    return _Builder(width, seed).build(images)


class _Builder:
    """Appends the nodes in the order of the original, and runs each layer on the images.

    Attributes:
        graph_def: the GraphDef so far.
        width: the factor for numbers of channels.
        rng: the source of all weights.
        values: the eager value, float32 [batch, height, width, channels], of every node that a
            later layer reads.
        uses: how often a name was asked for, to count as TensorFlow does: conv, conv_1, conv_2.
    """

    def __init__(self, width: float, seed: int) -> None:
        self.graph_def = schema.GraphDef()
        self.graph_def.versions.producer = GRAPH_DEF_PRODUCER
        self.width = width
        self.rng = np.random.default_rng(seed)
        self.values: dict[str, weights.Floats] = {}
        self.uses: Counter[str] = Counter()

    def build(self, images: npt.NDArray[np.uint8]) -> Any:
        """Return the whole graph."""
        self._add_image_side()
        self.values["Mul"] = (images.astype(np.float32) - np.float32(128)) / np.float32(128)
        [net] = self._add_layers("", STEM, "Mul")
        for block, branches in MIXED.items():
            ends: list[str] = []
            for tower, layers in branches:
                ends += self._add_layers(f"{block}/{tower}/" if tower else f"{block}/", layers, net)
            net = self._add_join(f"{block}/join", ends)
        self._add_head(net)
        return self.graph_def

    def _node(self, name: str, op: str, inputs: Sequence[str] = (), **attributes: Any) -> None:
        self.graph_def.node.append(new_node(name, op, inputs, **attributes))

    def _const(self, name: str, value: Any) -> None:
        fill_constant(self.graph_def.node.add(), name, value)

    def _add_image_side(self) -> None:
        """Add the way from JPEG bytes to float32 [1, 299, 299, 3] in [-1, 1)."""
        # Before GraphDef version 24, the shape [] of a Placeholder means "unknown".
        self._node("DecodeJpeg/contents", "Placeholder", dtype=STRING, shape=())
        self._node(
            "DecodeJpeg",
            "DecodeJpeg",
            ["DecodeJpeg/contents"],
            channels=3,
            ratio=1,
            fancy_upscaling=True,
            try_recover_truncated=False,
            acceptable_fraction=1.0,
        )
        self._node("Cast", "Cast", ["DecodeJpeg"], SrcT=UINT8, DstT=FLOAT32)
        self._const("ExpandDims/dim", np.int32(0))
        inputs = ["Cast", "ExpandDims/dim"]
        self._node("ExpandDims", "ExpandDims", inputs, T=FLOAT32, Tdim=INT32)
        self._const("ResizeBilinear/size", np.array([IMAGE_SIDE, IMAGE_SIDE], np.int32))
        inputs = ["ExpandDims", "ResizeBilinear/size"]
        self._node("ResizeBilinear", "ResizeBilinear", inputs, T=FLOAT32, align_corners=False)
        self._const("Sub/y", np.float32(128))
        self._node("Sub", "Sub", ["ResizeBilinear", "Sub/y"], T=FLOAT32)
        self._const("Mul/y", np.float32(1 / 128))
        self._node("Mul", "Mul", ["Sub", "Mul/y"], T=FLOAT32)

    def _add_layers(self, scope: str, layers: Layers, source: str) -> list[str]:
        """Add layers one after the other; return the last one's name, or both of a fork."""
        ends = [source]
        for layer in layers:
            [net] = ends
            match layer:
                case Conv():
                    ends = [self._add_conv(f"{scope}conv", layer, net)]
                case MaxPool() | AvgPool():
                    ends = [self._add_pool(f"{scope}pool", layer, net)]
                case Fork():
                    ends = [self._add_conv(f"{scope}mixed/conv", part, net) for part in layer]
        return ends

    def _add_conv(self, wanted: str, layer: Conv, source: str) -> str:
        name = self._unique(wanted)
        kernel, statistics, self.values[name] = weights.draw_conv(
            self.rng,
            self.values[source],
            layer.size if isinstance(layer.size, tuple) else (layer.size, layer.size),
            max(_MIN_CHANNELS, round(layer.channels * self.width)),
            layer.stride,
            layer.padding,
            weights.LAST_BETA if name.startswith(_LAST_BLOCK) else weights.BETA,
        )
        self._const(f"{name}/conv2d_params", kernel)
        self._node(
            f"{name}/Conv2D",
            "Conv2D",
            [source, f"{name}/conv2d_params"],
            T=FLOAT32,
            strides=[1, layer.stride, layer.stride, 1],
            padding=layer.padding,
            data_format="NHWC",
            use_cudnn_on_gpu=True,
        )
        norm = f"{name}/batchnorm"
        for part, values in statistics.items():
            self._const(f"{norm}/{part}", values)
        parts = [f"{norm}/{part}" for part in ("moving_mean", "moving_variance", "beta", "gamma")]
        self._node(
            norm,
            "BatchNormWithGlobalNormalization",
            [f"{name}/Conv2D", *parts],
            T=FLOAT32,
            variance_epsilon=weights.VARIANCE_EPSILON,
            scale_after_normalization=False,
        )
        self._node(name, "Relu", [self._add_check(name, norm)], T=FLOAT32)
        return name

    def _add_pool(self, wanted: str, layer: MaxPool | AvgPool, source: str) -> str:
        name = self._unique(wanted)
        is_max = isinstance(layer, MaxPool)
        window: dict[str, Any] = {
            "ksize": [1, layer.size, layer.size, 1],
            "strides": [1, layer.stride, layer.stride, 1],
            "padding": layer.padding,
            "data_format": "NHWC",
        }
        values = tf.constant(self.values[source])
        if is_max:
            self.values[name] = tf.raw_ops.MaxPool(input=values, **window).numpy()
        else:
            self.values[name] = tf.raw_ops.AvgPool(value=values, **window).numpy()
        self._node(
            name,
            "MaxPool" if is_max else "AvgPool",
            [self._add_check(name, source) if is_max else source],
            T=FLOAT32,
            **window,
        )
        return name

    def _add_check(self, name: str, source: str) -> str:
        """Add the check for NaN that the original has before every Relu and MaxPool."""
        check, guarded = f"{name}/CheckNumerics", f"{name}/control_dependency"
        self._node(check, "CheckNumerics", [source], T=FLOAT32, message="NaN")
        self._node(guarded, "Identity", [source, f"^{check}"], T=FLOAT32)
        return guarded

    def _add_join(self, name: str, sources: list[str]) -> str:
        self._const(f"{name}/concat_dim", np.int32(3))
        inputs = [f"{name}/concat_dim", *sources]
        self._node(name, "Concat", inputs, T=FLOAT32, N=len(sources))
        # Later blocks read the joined value only: the rest would be hundreds of megabytes.
        self.values = {name: np.concatenate([self.values[source] for source in sources], axis=3)}
        return name

    def _add_head(self, source: str) -> None:
        """Add the pooled features, "the bottleneck", and the softmax of the ImageNet classes."""
        features = int(self.values[source].shape[-1])
        self._add_pool("pool_3", AvgPool("", 8, padding="VALID"), source)
        self._const("pool_3/_reshape/shape", np.array([1, features], np.int32))
        inputs = ["pool_3", "pool_3/_reshape/shape"]
        self._node("pool_3/_reshape", "Reshape", inputs, T=FLOAT32, Tshape=INT32)
        kernel, biases = weights.draw_softmax(self.rng, features, LOGITS)
        self._const("softmax/weights", kernel)
        self._const("softmax/biases", biases)
        product, inputs = "softmax/logits/MatMul", ["pool_3/_reshape", "softmax/weights"]
        self._node(product, "MatMul", inputs, T=FLOAT32, transpose_a=False, transpose_b=False)
        inputs = [product, "softmax/biases"]
        self._node("softmax/logits", "BiasAdd", inputs, T=FLOAT32, data_format="NHWC")
        self._node("softmax", "Softmax", ["softmax/logits"], T=FLOAT32)

    def _unique(self, wanted: str) -> str:
        count = self.uses[wanted]
        self.uses[wanted] += 1
        return f"{wanted}_{count}" if count else wanted
