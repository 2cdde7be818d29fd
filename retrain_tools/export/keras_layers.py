"""One node, or one and its bias, as a Keras layer with the node's own weights.

What each op becomes is in `LAYERS`; an op that is not in it has no layer. Layers are those that
Keras users write: Conv2D, DepthwiseConv2D, Dense, BatchNormalization, pooling, merging and
activation. They are channels last and float32, whatever Keras's own settings are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrain_tools.export.keras_nodes import (
    Body,
    NoLayerError,
    check_nhwc,
    known,
    sizes,
    vector,
)
from retrain_tools.export.keras_scalings import SCALINGS, batch_norm, scaling
from retrain_tools.graphdef.navigate import attribute, full_name
from retrain_tools.graphdef.op_sets import FUSED_BATCH_NORMS, OLD_BATCH_NORM

_BIASES = ("BiasAdd", "Add", "AddV2")
_LAST = "channels_last"


class LayerMaker:
    """Makes the layers of one node.

    Attributes:
        body: the graph.
        node: the node.
        inputs: the Keras tensors that it computes with, constants left out.
        last: the last node that the layer computes: `node`, or one after it.
    """

    def __init__(self, keras: Any, name: str, body: Body, node: Any, inputs: Sequence[Any]) -> None:
        self._keras, self._name = keras, name
        self.body, self.node, self.inputs = body, node, list(inputs)
        self.last = node

    def layer(self, kind: str, weights: Sequence[Any] = (), **arguments: Any) -> Any:
        """Make a layer, give it its weights, and return what it makes of the input."""
        made = getattr(self._keras.layers, kind)(name=self._name, dtype="float32", **arguments)
        several = kind in ("Add", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")
        result = made(self.inputs if several else self.inputs[0])
        if weights:
            made.set_weights([np.asarray(weight, np.float32) for weight in weights])
        return result

    def before(self, kind: str, **arguments: Any) -> None:
        """Put a layer without weights before the node's own."""
        made = getattr(self._keras.layers, kind)(
            name=f"{self._name}_{kind.lower()}", dtype="float32", **arguments
        )
        self.inputs[0] = made(self.inputs[0])

    def bias(self, channels: int) -> list[Any]:
        """Take the bias that the only node after this one adds: [bias], or [] if none does."""
        after = self.body.only_consumer(self.node)
        if after is None or after.op not in _BIASES or attribute(after, "data_format").s == b"NCHW":
            return []
        for name in after.input[:2]:
            value = vector(self.body.constant(name), channels)
            if value is not None and value.shape == (channels,):
                self.last = after
                return [value]
        return []


def _convolution(make: LayerMaker) -> Any:
    node = make.node
    kernel = known(make.body, node, 1)
    height, width, taken, filters = kernel.shape
    if node.op == "DepthwiseConv2dNative":
        bias = make.bias(taken * filters)
        own = {"depth_multiplier": filters}
    else:
        bias = make.bias(filters)
        own = {"filters": filters, "groups": make.inputs[0].shape[-1] // taken}
    padding, strides = _padding(make), sizes(node, "strides")
    return make.layer(
        "DepthwiseConv2D" if node.op == "DepthwiseConv2dNative" else "Conv2D",
        [kernel, *bias],
        kernel_size=(height, width),
        strides=strides,
        padding=padding,
        dilation_rate=sizes(node, "dilations"),
        use_bias=bool(bias),
        data_format=_LAST,
        **own,
    )


def _padding(make: LayerMaker) -> str:
    """Return Keras's word for a node's padding; explicit padding becomes a layer before it."""
    check_nhwc(make.node)
    padding = make.node.attr["padding"].s.decode()
    if padding != "EXPLICIT":
        return padding.lower()
    around = list(make.node.attr["explicit_paddings"].list.i)
    if any(around[:2] + around[6:]):
        raise NoLayerError(f"has explicit_paddings={around}")
    make.before("ZeroPadding2D", padding=(around[2:4], around[4:6]), data_format=_LAST)
    return "valid"


def _dense(make: LayerMaker) -> Any:
    node = make.node
    kernel = known(make.body, node, 1)
    if attribute(node, "transpose_a").b:
        raise NoLayerError("transposes what it takes")
    kernel = kernel.T if attribute(node, "transpose_b").b else kernel
    bias = make.bias(kernel.shape[1])
    return make.layer("Dense", [kernel, *bias], units=kernel.shape[1], use_bias=bool(bias))


def _pooling(make: LayerMaker) -> Any:
    check_nhwc(make.node)
    padding = make.node.attr["padding"].s.decode()
    if padding == "EXPLICIT":
        raise NoLayerError("has padding=EXPLICIT")
    return make.layer(
        "MaxPooling2D" if make.node.op == "MaxPool" else "AveragePooling2D",
        pool_size=sizes(make.node, "ksize"),
        strides=sizes(make.node, "strides"),
        padding=padding.lower(),
        data_format=_LAST,
    )


def _global_pooling(make: LayerMaker) -> Any:
    axes = known(make.body, make.node, 1).reshape(-1).tolist()
    rank = len(make.inputs[0].shape)
    if rank != 4 or sorted(axis % rank for axis in axes) != [1, 2]:
        raise NoLayerError(f"reduces the axes {axes} of {rank}, not height and width of an image")
    keeps = attribute(make.node, "keep_dims").b
    kind = "GlobalAveragePooling2D" if make.node.op == "Mean" else "GlobalMaxPooling2D"
    return make.layer(kind, keepdims=bool(keeps), data_format=_LAST)


def _reshape(make: LayerMaker) -> Any:
    target, taken = make.body.target_shape(make.node), tuple(make.inputs[0].shape[1:])
    if None in taken or math.prod(taken) != math.prod(target):
        raise NoLayerError("does not keep the images of a batch apart")
    if len(target) == 1 and len(taken) > 1:
        return make.layer("Flatten", data_format=_LAST)
    return make.layer("Reshape", target_shape=target)


def _permute(make: LayerMaker) -> Any:
    order = known(make.body, make.node, 1).reshape(-1).tolist()
    if order[0] != 0:
        raise NoLayerError(f"has perm={order}, which moves the images of a batch")
    return make.layer("Permute", dims=tuple(order[1:]))


def _zero_padding(make: LayerMaker) -> Any:
    around = known(make.body, make.node, 1).tolist()
    filled = known(make.body, make.node, 2) if make.node.op == "PadV2" else np.zeros(())
    if len(around) != 4 or any(around[0] + around[3]) or float(filled) != 0:
        raise NoLayerError(f"pads {around} with {float(filled):g}, not height and width with 0")
    return make.layer("ZeroPadding2D", padding=(around[1], around[2]), data_format=_LAST)


def _concatenate(make: LayerMaker) -> Any:
    place = 0 if make.node.op == "Concat" else len(make.node.input) - 1
    axis, rank = int(known(make.body, make.node, place)), len(make.inputs[0].shape)
    parts = [name for index, name in enumerate(make.node.input) if index != place]
    if any(make.body.constant(name) is not None for name in parts) or axis % rank == 0:
        raise NoLayerError("joins images, or constants")
    if len(make.inputs) == 1:
        return make.inputs[0]
    return make.layer("Concatenate", axis=axis % rank)


def _merge(make: LayerMaker) -> Any:
    """Make a merging layer of two or more tensors; of one and a constant, a scaling."""
    node = make.node
    if len(make.inputs) >= 2:
        kind = {"AddN": "Add", "AddV2": "Add", "BiasAdd": "Add", "Mul": "Multiply"}
        kind |= {"Add": "Add", "Sub": "Subtract", "Maximum": "Maximum", "Minimum": "Minimum"}
        if node.op not in kind:
            raise NoLayerError("has no layer for two tensors")
        return make.layer(kind[node.op])
    if node.op == "AddN":
        return make.inputs[0]
    if node.op in SCALINGS:
        channels = make.inputs[0].shape[-1]
        made, make.last = scaling(make.body, node, channels, make.layer)
        return made
    values = [make.body.constant(name) for name in node.input]
    if node.op == "Maximum" and any(v is not None and not v.any() for v in values):
        return make.layer("ReLU")
    raise NoLayerError("takes a constant")


def _activation(make: LayerMaker) -> Any:
    node = make.node
    match node.op:
        case "Relu":
            return make.layer("ReLU")
        case "Relu6":
            return make.layer("ReLU", max_value=6.0)
        case "LeakyRelu":
            slope = node.attr["alpha"].f if "alpha" in node.attr else 0.2  # nn_ops.cc
            return make.layer("LeakyReLU", negative_slope=float(slope))
        case "LogSoftmax":
            return make.layer("Activation", activation="log_softmax")
    return make.layer("Activation", activation=node.op.lower())


def _upsampling(make: LayerMaker) -> Any:
    """Make an UpSampling2D of a resize to whole multiples, where both count pixels alike."""
    node, wanted = make.node, known(make.body, make.node, 1).tolist()
    height, width = make.inputs[0].shape[1:3]
    is_nearest = node.op == "ResizeNearestNeighbor"
    alike = is_nearest or attribute(node, "half_pixel_centers").b
    if attribute(node, "align_corners").b or not alike or None in (height, width):
        raise NoLayerError("counts pixels in another way than Keras")
    if wanted[0] % height or wanted[1] % width:
        raise NoLayerError(f"resizes {height}×{width} to {wanted[0]}×{wanted[1]}, no multiple")
    return make.layer(
        "UpSampling2D",
        size=(wanted[0] // height, wanted[1] // width),
        interpolation="nearest" if is_nearest else "bilinear",
        data_format=_LAST,
    )


def _same(make: LayerMaker) -> Any:
    return make.inputs[0]


def _cast(make: LayerMaker) -> Any:
    if make.node.attr["SrcT"].type != make.node.attr["DstT"].type:
        raise NoLayerError("changes the type")
    return make.inputs[0]


LAYERS: dict[str, Callable[[LayerMaker], Any]] = {
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative"), _convolution),
    **dict.fromkeys(
        (*FUSED_BATCH_NORMS, OLD_BATCH_NORM),
        lambda make: batch_norm(make.body, make.node, make.layer),
    ),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), _reshape),
    **dict.fromkeys((*SCALINGS, "AddN", "Maximum", "Minimum"), _merge),
    **dict.fromkeys(("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid"), _activation),
    **dict.fromkeys(("Tanh", "Softplus", "Softsign", "Softmax", "LogSoftmax"), _activation),
    **dict.fromkeys(("MaxPool", "AvgPool"), _pooling),
    **dict.fromkeys(("Mean", "Max"), _global_pooling),
    **dict.fromkeys(("Pad", "PadV2"), _zero_padding),
    **dict.fromkeys(("Concat", "ConcatV2"), _concatenate),
    **dict.fromkeys(("ResizeNearestNeighbor", "ResizeBilinear"), _upsampling),
    **dict.fromkeys(("Identity", "StopGradient", "CheckNumerics"), _same),
    "PlaceholderWithDefault": _same,
    "MatMul": _dense,
    "Transpose": _permute,
    "Cast": _cast,
}
"""What makes the layer of each op."""


def sources(body: Body, node: Any) -> list[str]:
    """Return the full names of the tensors that a node's layer takes; see `Body.sources`."""
    if node.op == "PlaceholderWithDefault":
        return [full_name(node.input[0])]
    return body.sources(node)
