"""Shapes of the layers of image networks: convolutions, pooling, normalisation, images."""

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
)
from retrain_tools.graphdef.shapes.elementwise import matrix_product, same_and_range, stretched

_ONES = (1,) * 4
_NO_PADDING = (0,) * 8  # before and after, for each dimension

# Where the batch, height, width and channels are.
_LAYOUTS = {"NHWC": (0, 1, 2, 3), "NCHW": (0, 2, 3, 1)}


def _layout(call: Call) -> tuple[int, int, int, int]:
    layout = _LAYOUTS.get(call.text("data_format", "NHWC"))
    if layout is None:
        raise NoShapeError
    return layout


def _placed(layout: Sequence[int], dims: Sequence[Dim]) -> Shape:
    """Put batch, height, width and channels where the layout has them."""
    batch, height, width, channels = dims
    made = (batch, height, width, channels) if layout[3] == 3 else (batch, channels, height, width)
    return checked(made)


def _four(call: Call, key: str, default: int | None = None) -> Sequence[int]:
    """Return an attribute with one positive number for each dimension."""
    numbers = call.ints(key)
    if not numbers and default is not None:
        return (default,) * 4
    if len(numbers) != 4 or min(numbers) < 1:
        raise NoShapeError
    return numbers


def _slid(size: Dim, window: Dim, stride: int, dilation: int, padding: str, around: int) -> Dim:
    """Return in how many places a window can be (GetWindowedOutputSize in TensorFlow's sources)."""
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


def _slid_over(
    call: Call, layout: Sequence[int], shape: Shape, window: Shape, dilated: bool
) -> tuple[Dim, Dim]:
    """Return the height and width of the result of a convolution or pooling."""
    strides, padding = _four(call, "strides"), call.text("padding")
    dilations = _four(call, "dilations", 1) if dilated else _ONES
    around: Sequence[int] = _NO_PADDING
    if padding == "EXPLICIT":
        around = call.ints("explicit_paddings")
        if len(around) != len(_NO_PADDING) or min(around) < 0:
            raise NoShapeError

    def slid(place: int, size: Dim) -> Dim:
        room = around[2 * place] + around[2 * place + 1]
        return _slid(shape[place], size, strides[place], dilations[place], padding, room)

    return slid(layout[1], window[0]), slid(layout[2], window[1])


def convolution(call: Call) -> Shape:
    """Kernels of [height, width, channels, results]; the input may have several groups of them."""
    shape, kernel = call.of_rank(0, 4), call.of_rank(1, 4)
    layout = _layout(call)
    channels, taken = shape[layout[3]], kernel[2]
    if channels is not None and taken is not None and (taken < 1 or channels % taken):
        raise NoShapeError
    height, width = _slid_over(call, layout, shape, kernel[:2], dilated=True)
    return _placed(layout, (shape[layout[0]], height, width, kernel[3]))


def depthwise_convolution(call: Call) -> Shape:
    """Kernels of [height, width, channels, results for each channel]."""
    shape, kernel = call.of_rank(0, 4), call.of_rank(1, 4)
    layout = _layout(call)
    channels = merge_dims(shape[layout[3]], kernel[2])
    height, width = _slid_over(call, layout, shape, kernel[:2], dilated=True)
    return _placed(layout, (shape[layout[0]], height, width, times(channels, kernel[3])))


def pooling(call: Call) -> Shape:
    """A window over each channel."""
    shape, layout = call.of_rank(0, 4), _layout(call)
    window = _four(call, "ksize")
    batch, channels = (layout[0], layout[3])
    if {window[batch], call.ints("strides")[batch], window[channels]} != {1}:
        raise NoShapeError  # pooling across channels is an exotic thing
    height, width = _slid_over(
        call, layout, shape, (window[layout[1]], window[layout[2]]), dilated=False
    )
    return _placed(layout, (shape[batch], height, width, shape[channels]))


def pooling_with_places(call: Call) -> list[Shape | None]:
    """The largest values and where they were."""
    return [pooling(call)] * 2


def upside_down_convolution(call: Call) -> Shape:
    """A transposed convolution, which is told how large its result is."""
    sizes = call.vector(0)
    if len(sizes) != 4:
        raise NoShapeError
    return checked(sizes)


def normalised_with_statistics(call: Call) -> list[Shape | None]:
    """FusedBatchNorm: the values, then means and variances; what V3 keeps besides is not said."""
    shape = call.of_rank(0, 4)
    place = _layout(call)[3]
    channels = shape[place]
    for index in range(1, 5):
        # Means and variances may be empty where they are worked out from the batch.
        if index < 3 or not call.flag("is_training", True):
            channels = merge_dims(channels, call.of_rank(index, 1)[0])
    values = (*shape[:place], channels, *shape[place + 1 :])
    return [values, *([(channels,)] * 4), None][: call.outputs]


def normalised(call: Call) -> Shape:
    """BatchNormWithGlobalNormalization: as the input, with as many channels as there are means."""
    shape = call.of_rank(0, 4)
    channels = shape[3]
    for index in range(1, 5):
        channels = merge_dims(channels, call.of_rank(index, 1)[0])
    return (*shape[:3], channels)


def normalised_locally(call: Call) -> Shape:
    """LRN: as the input."""
    return call.of_rank(0, 4)


def resized(call: Call) -> Shape:
    """Images of the height and width that the second input says."""
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
    """One image, of a size that only the file says."""
    return (None, None, call.integer("channels") or None)


def decoded_frames(call: Call) -> Shape:  # noqa: ARG001  (the form of a rule)
    """The frames of a GIF."""
    return (None, None, None, 3)


def decoded_image_or_frames(call: Call) -> Shape | None:
    """DecodeImage: for a GIF all frames, unless it was told to take the first."""
    return None if call.flag("expand_animations", True) else decoded(call)


def two_scalars(call: Call) -> list[Shape | None]:  # noqa: ARG001  (the form of a rule)
    """The ends of a range."""
    return [(), ()]


def _with_range(rule: Rule) -> Rule:
    """Return the rule of the quantized op: the same result, and the scalars that say its range."""

    def quantized(call: Call) -> list[Shape | None]:
        result = rule(call)
        return [None if isinstance(result, list) else result, (), ()]

    return quantized


RULES: dict[str, Rule] = {
    "Conv2D": convolution,
    "DepthwiseConv2dNative": depthwise_convolution,
    **mapping(pooling, "AvgPool", "MaxPool"),
    "MaxPoolWithArgmax": pooling_with_places,
    "Conv2DBackpropInput": upside_down_convolution,
    **mapping(normalised_with_statistics, "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"),
    "BatchNormWithGlobalNormalization": normalised,
    "LRN": normalised_locally,
    **mapping(resized, *RESIZERS),
    "CropAndResize": cropped,
    **mapping(decoded, "DecodeBmp", "DecodeJpeg", "DecodePng", "DecodeAndCropJpeg"),
    "DecodeGif": decoded_frames,
    "DecodeImage": decoded_image_or_frames,
    **mapping(_with_range(convolution), "QuantizedConv2D"),
    **mapping(_with_range(pooling), "QuantizedAvgPool", "QuantizedMaxPool"),
    "QuantizedMatMul": _with_range(matrix_product),
    **mapping(_with_range(stretched), "QuantizedAdd", "QuantizedMul"),
    **mapping(
        same_and_range,
        *("QuantizeDownAndShrinkRange", "QuantizedRelu", "QuantizedRelu6", "QuantizedReluX"),
        *("QuantizedBiasAdd", "Requantize"),
    ),
    "RequantizationRange": two_scalars,
}
