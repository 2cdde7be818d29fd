"""MobileNet v1 and v2, of any width.

Howard et al. 2017, "MobileNets" (arXiv:1704.04861), table 1, and Sandler et al. 2018,
"MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv:1801.04381), table 2.
"""

from __future__ import annotations

from retrain_tools.slim.folding import Norm
from retrain_tools.slim.inception import classify
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Tensor, Variant

_NORM = Norm(epsilon=0.001, gamma=True)

_V1_FIRST_CHANNELS = 32
# Stride of the depthwise half, channels of the pointwise half.
_V1 = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *5 * ((1, 512),),
    (2, 1024),
    (1, 1024),
)
_V1_LEAST_CHANNELS = 8

_V2_FIRST_CHANNELS = 32
# Expansion t, channels c, repeats n, stride s of the first of them: the columns of the paper.
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_V2_LAST_CHANNELS = 1280


def mobilenet_v1(scope: str, variant: Variant) -> Network:
    """Lay out MobileNet v1: convolutions of each channel, then across channels."""
    net = Network(scope, variant, _NORM, "Relu6")

    def channels(count: int) -> int:
        return max(int(count * variant.width), _V1_LEAST_CHANNELS)

    x = net.conv(net.image, "Conv2d_0", 3, channels(_V1_FIRST_CHANNELS), 2)
    net.end_point("Conv2d_0", x)
    for number, (stride, count) in enumerate(_V1, 1):
        depthwise, pointwise = f"Conv2d_{number}_depthwise", f"Conv2d_{number}_pointwise"
        x = net.end_point(depthwise, net.depthwise(x, depthwise, 3, stride))
        x = net.end_point(pointwise, net.conv(x, pointwise, 1, channels(count)))
    return classify(net, x, "AvgPool_1a/AvgPool", "AvgPool_1a")


def mobilenet_v2(scope: str, variant: Variant) -> Network:
    """Lay out MobileNet v2: wide inside a block, narrow and linear between blocks."""
    net = Network(scope, variant, _NORM, "Relu6")
    x = net.conv(net.image, "Conv", 3, _divisible_by_8(_V2_FIRST_CHANNELS * variant.width), 2)
    net.end_point("layer_1", x)
    block = 0
    for expansion, count, repeats, first_stride in _V2:
        for repeat in range(repeats):
            name = f"expanded_conv_{block}" if block else "expanded_conv"
            block += 1
            with net.scope(name):
                channels = _divisible_by_8(count * variant.width)
                stride = 1 if repeat else first_stride
                x = _expanded_conv(net, x, f"layer_{block + 1}", expansion, channels, stride)
    # Slim does not make the last layer narrower (its finegrain_classification_mode).
    last = _divisible_by_8(_V2_LAST_CHANNELS * max(1.0, variant.width))
    x = net.end_point(f"layer_{block + 2}", net.conv(x, "Conv_1", 1, last))
    return classify(net, x, "AvgPool", "global_pool")


def _expanded_conv(
    net: Network, x: Tensor, layer: str, expansion: int, channels: int, stride: int
) -> Tensor:
    inside = x
    if expansion > 1:
        inside = net.conv(x, "expand", 1, expansion * x.shape[2])
        net.end_point(f"{layer}/expansion_output", inside)
    inside = net.depthwise(inside, "depthwise", 3, stride)
    net.end_point(f"{layer}/depthwise_output", inside)
    out = net.conv(inside, "project", 1, channels, activated=False)
    if stride == 1 and out.shape == x.shape:
        out = net.add(out, x)
    net.end_point(f"{layer}/output", out)
    return net.end_point(layer, out)


def _divisible_by_8(channels: float) -> int:
    """Round to a multiple of 8, at least 8, and not down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
