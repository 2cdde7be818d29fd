"""Inception-ResNet v2.

Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning" (arXiv:1602.07261), figures 15 to 19 with the stem of Inception v3, and section 3.3 on
the scaling of residuals.
"""

from __future__ import annotations

from retrain_tools.slim.inception import NORM, auxiliary, classify_early, classify_flat
from retrain_tools.slim.inception_v3 import STEM
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Tensor, Variant
from retrain_tools.slim.rows import AvgPool, Branches, Conv, MaxPool, convs

_MIXED_5B: Branches = (
    [Conv("Conv2d_1x1", 1, 96)],
    convs((1, 48), (5, 64)),
    convs((1, 64), (3, 96), (3, 96)),
    [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, 64)],
)

# Figure 16.
_BLOCK_35: Branches = (
    [Conv("Conv2d_1x1", 1, 32)],
    convs((1, 32), (3, 32)),
    convs((1, 32), (3, 48), (3, 64)),
)

# Figure 7, with k = 256, l = 256, m = 384 and n = 384 from table 1.
_MIXED_6A: Branches = (
    [Conv("Conv2d_1a_3x3", 3, 384, 2, "VALID")],
    [*convs((1, 256), (3, 256)), Conv("Conv2d_1a_3x3", 3, 384, 2, "VALID")],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)

# Figure 17.
_BLOCK_17: Branches = (
    [Conv("Conv2d_1x1", 1, 192)],
    convs((1, 128), ((1, 7), 160), ((7, 1), 192)),
)

# Figure 18.
_MIXED_7A: Branches = (
    [*convs((1, 256)), Conv("Conv2d_1a_3x3", 3, 384, 2, "VALID")],
    [*convs((1, 256)), Conv("Conv2d_1a_3x3", 3, 288, 2, "VALID")],
    [*convs((1, 256), (3, 288)), Conv("Conv2d_1a_3x3", 3, 320, 2, "VALID")],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)

# Figure 19.
_BLOCK_8: Branches = (
    [Conv("Conv2d_1x1", 1, 192)],
    convs((1, 192), ((1, 3), 224), ((3, 1), 256)),
)


def inception_resnet_v2(scope: str, variant: Variant) -> Network:
    """Lay out Inception-ResNet v2."""
    net = Network(scope, variant, NORM)
    x = net.chain(net.image, STEM, end_points="")
    x = net.mixed(x, "Mixed_5b", _MIXED_5B)
    x = _repeat(net, x, "Repeat/block35", _BLOCK_35, times=10, scale=0.17)
    x = net.mixed(x, "Mixed_6a", _MIXED_6A)
    x = _repeat(net, x, "Repeat_1/block17", _BLOCK_17, times=20, scale=0.10)
    net.end_point("PreAuxLogits", x)
    if variant.aux_logits:
        rows = auxiliary("Conv2d_1a_3x3", "Conv2d_2a_5x5")  # sic: the first is the pool
        classify_early(net, x, rows, "Logits")
    x = net.mixed(x, "Mixed_7a", _MIXED_7A)
    x = _repeat(net, x, "Repeat_2/block8", _BLOCK_8, times=9, scale=0.20)
    x = _residual(net, x, "Block8", _BLOCK_8, scale=1.0)
    x = net.end_point("Conv2d_7b_1x1", net.conv(x, "Conv2d_7b_1x1", 1, 1536))
    return classify_flat(net, x, "AvgPool_1a_8x8/AvgPool")


def _repeat(
    net: Network, x: Tensor, name: str, branches: Branches, times: int, scale: float
) -> Tensor:
    for number in range(1, times + 1):
        x = _residual(net, x, f"{name}_{number}", branches, scale)
        with net.scope(f"{name}_{number}"):
            x = net.activate(x)
    return x


def _residual(net: Network, x: Tensor, name: str, branches: Branches, scale: float) -> Tensor:
    """Lay out x + scale · (a 1x1 convolution of the joined branches)."""
    with net.scope(name):
        joined = net.branches(x, branches)
        channels = x.shape[2]
        up = net.conv(joined, "Conv2d_1x1", 1, channels, normed=False, activated=False, scale=scale)
        return net.add(x, up)
