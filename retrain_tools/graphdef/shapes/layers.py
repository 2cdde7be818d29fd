"""Shape rules of the layers of image networks: convolution, pooling, normalisation, images."""

from __future__ import annotations

from collections.abc import Sequence

from retrain_tools.graphdef.op_sets import RESIZERS
from retrain_tools.graphdef.shapes.call import (
    Call,
    Dim,
    NoShapeError,
    Rule,
    Shape,
    checked,
    mapping,
    merge_dims,
    times,
    with_range,
)
from retrain_tools.graphdef.shapes.elementwise import broadcasted, matrix_product, same

_ONES = (1,) * 4
_NO_PADDING = (0,) * 8  # before and after, for each dimension

# Where the batch, height, width and channels are.
_LAYOUTS = {"NHWC": (0, 1, 2, 3), "NCHW": (0, 2, 3, 1)}


def _layout(call: Call) -> tuple[int, int, int, int]:
    layout = _LAYOUTS.get(call.text("data_format", "NHWC"))
    if layout is None:
        raise NoShapeError
    return layout


def _four(call: Call, key: str, default: int | None = None) -> Sequence[int]:
    """Return an attribute with one positive number for each dimension."""
    numbers = call.ints(key)
    if not numbers and default is not None:
        return (default,) * 4
    if len(numbers) != 4 or min(numbers) < 1:
        raise NoShapeError
    return numbers


def _output_size(
    size: Dim, window: Dim, stride: int, dilation: int, padding: str, around: int
) -> Dim:
    """Return the output size of a window (GetWindowedOutputSize in TensorFlow's sources)."""
    if size is None:
        return None
    if padding == "SAME":
        return -(-size // stride)
    if padding not in ("VALID", "EXPLICIT"):
        raise NoShapeError
    if window is None:
        return None
    room = size + around - ((window - 1) * dilation + 1)
    if room < 0:
        raise NoShapeError
    return room // stride + 1


def _windowed(
    call: Call, layout: Sequence[int], window: Sequence[Dim], channels: Dim, dilated: bool
) -> Shape:
    """Return the shape that a window [height, width] makes of the input's images."""
    shape = call.of_rank(0, 4)
    strides, padding = _four(call, "strides"), call.text("padding")
    dilations = _four(call, "dilations", 1) if dilated else _ONES
    around: Sequence[int] = _NO_PADDING
    if padding == "EXPLICIT":
        around = call.ints("explicit_paddings")
        if len(around) != len(_NO_PADDING) or min(around) < 0:
            raise NoShapeError

    made: list[Dim] = [shape[layout[0]]] * 4
    made[layout[3]] = channels
    for place, size in zip(layout[1:3], window, strict=True):
        room = around[2 * place] + around[2 * place + 1]
        made[place] = _output_size(
            shape[place], size, strides[place], dilations[place], padding, room
        )
    return checked(made)


def convolution(call: Call) -> Shape:
    """Kernels [height, width, channels in, channels out]; a grouped convolution has fewer in."""
    shape, kernel = call.of_rank(0, 4), call.of_rank(1, 4)
    layout = _layout(call)
    channels, taken = shape[layout[3]], kernel[2]
    if channels is not None and taken is not None and (taken < 1 or channels % taken):
        raise NoShapeError
    return _windowed(call, layout, kernel[:2], kernel[3], dilated=True)


def depthwise_convolution(call: Call) -> Shape:
    """Kernels [height, width, channels in, channel multiplier]."""
    shape, kernel = call.of_rank(0, 4), call.of_rank(1, 4)
    layout = _layout(call)
    channels = merge_dims(shape[layout[3]], kernel[2])
    return _windowed(call, layout, kernel[:2], times(channels, kernel[3]), dilated=True)


def pooling(call: Call) -> Shape:
    """A window over each channel."""
    shape, layout = call.of_rank(0, 4), _layout(call)
    window = _four(call, "ksize")
    batch, height, width, channels = layout
    if {window[batch], call.ints("strides")[batch], window[channels]} != {1}:
        raise NoShapeError  # pooling across channels is an exotic thing
    return _windowed(call, layout, (window[height], window[width]), shape[channels], dilated=False)


def pooling_with_indices(call: Call) -> list[Shape | None]:
    """The largest values and their indices."""
    return [pooling(call)] * 2


def transposed_convolution(call: Call) -> Shape:
    """The value of the first input (Conv2DBackpropInput)."""
    sizes = call.vector(0)
    if len(sizes) != 4:
        raise NoShapeError
    return checked(sizes)


def fused_batch_norm(call: Call) -> list[Shape | None]:
    """The normalised tensor, then means and variances; V3's reserve space is unknown."""
    shape = call.of_rank(0, 4)
    place = _layout(call)[3]
    channels = shape[place]
    for index in range(1, 5):
        # Means and variances may be empty where they are worked out from the batch.
        if index < 3 or not call.flag("is_training", True):
            channels = merge_dims(channels, call.of_rank(index, 1)[0])
    values = (*shape[:place], channels, *shape[place + 1 :])
    return [values, *([(channels,)] * 4), None][: call.outputs]


def old_batch_norm(call: Call) -> Shape:
    """BatchNormWithGlobalNormalization: as the input, with as many channels as there are means."""
    shape = call.of_rank(0, 4)
    channels = shape[3]
    for index in range(1, 5):
        channels = merge_dims(channels, call.of_rank(index, 1)[0])
    return (*shape[:3], channels)


def local_response_norm(call: Call) -> Shape:
    """LRN: as the input."""
    return call.of_rank(0, 4)


def resized(call: Call) -> Shape:
    """Images of the height and width in the second input."""
    shape = call.of_rank(0, 4)
    size = call.vector(1) if call.is_known(1) else (None, None)
    if len(size) != 2:
        raise NoShapeError
    return checked((shape[0], *size, shape[3]))


def cropped(call: Call) -> Shape:
    """As many images as there are boxes (CropAndResize)."""
    shape, boxes = call.of_rank(0, 4), call.of_rank(1, 2)
    size = call.vector(3) if call.is_known(3) else (None, None)
    if len(size) != 2:
        raise NoShapeError
    return checked((merge_dims(boxes[0], call.of_rank(2, 1)[0]), *size, shape[3]))


def decoded(call: Call) -> Shape:
    """One decoded image, of unknown size."""
    return (None, None, call.integer("channels") or None)


def decoded_frames(call: Call) -> Shape:  # noqa: ARG001  (the form of a rule)
    """The frames of a GIF."""
    return (None, None, None, 3)


def decoded_image_or_frames(call: Call) -> Shape | None:
    """DecodeImage: a GIF gives all frames, unless `expand_animations` is false."""
    return None if call.flag("expand_animations", True) else decoded(call)


def two_scalars(call: Call) -> list[Shape | None]:  # noqa: ARG001  (the form of a rule)
    """A minimum and a maximum."""
    return [(), ()]


RULES: dict[str, Rule] = {
    "Conv2D": convolution,
    "DepthwiseConv2dNative": depthwise_convolution,
    **mapping(pooling, "AvgPool", "MaxPool"),
    "MaxPoolWithArgmax": pooling_with_indices,
    "Conv2DBackpropInput": transposed_convolution,
    **mapping(fused_batch_norm, "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
    "BatchNormWithGlobalNormalization": old_batch_norm,
    "LRN": local_response_norm,
    **mapping(resized, *RESIZERS),
    "CropAndResize": cropped,
    **mapping(decoded, "DecodeBmp", "DecodeJpeg", "DecodePng", "DecodeAndCropJpeg"),
    "DecodeGif": decoded_frames,
    "DecodeImage": decoded_image_or_frames,
    "QuantizedConv2D": with_range(convolution),
    **mapping(with_range(pooling), "QuantizedAvgPool", "QuantizedMaxPool"),
    "QuantizedMatMul": with_range(matrix_product),
    **mapping(with_range(broadcasted), "QuantizedAdd", "QuantizedMul"),
    **mapping(
        with_range(same),
        *("QuantizeDownAndShrinkRange", "QuantizedRelu", "QuantizedRelu6", "QuantizedReluX"),
        *("QuantizedBiasAdd", "Requantize"),
    ),
    "RequantizationRange": two_scalars,
}
