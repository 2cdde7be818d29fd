"""Inception v1 and v2 (also known as GoogLeNet and BN-Inception), and what all Inceptions share.

Szegedy et al. 2014, "Going Deeper with Convolutions" (arXiv:1409.4842), table 1, and Ioffe and
Szegedy 2015, "Batch Normalization" (arXiv:1502.03167), figure 5; both here with batch norm.
"""

from __future__ import annotations

from collections.abc import Sequence

from retrain_tools.slim.folding import Norm
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Tensor, Variant
from retrain_tools.slim.rows import AvgPool, Branches, Conv, MaxPool, Row, convs

NORM = Norm(epsilon=0.001, gamma=False)

_STEM = (
    MaxPool("MaxPool_2a_3x3", 3, 2),
    Conv("Conv2d_2b_1x1", 1, 64),
    Conv("Conv2d_2c_3x3", 3, 192),
    MaxPool("MaxPool_3a_3x3", 3, 2),
)


def _v1_block(
    c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pooled: int, last: str = "0b_3x3"
) -> Branches:
    """The columns of the paper's table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj.

    Slim's "5×5" is a 3×3, which for historical reasons is what the published weights have.
    """
    return (
        convs((1, c1)),
        convs((1, c3_reduce), (3, c3)),
        [*convs((1, c5_reduce)), Conv(f"Conv2d_{last}", 3, c5)],
        [MaxPool("MaxPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, pooled)],
    )


_V1: dict[str, Branches | MaxPool] = {
    "Mixed_3b": _v1_block(64, 96, 128, 16, 32, 32),
    "Mixed_3c": _v1_block(128, 128, 192, 32, 96, 64),
    "MaxPool_4a_3x3": MaxPool("MaxPool_4a_3x3", 3, 2),
    "Mixed_4b": _v1_block(192, 96, 208, 16, 48, 64),
    "Mixed_4c": _v1_block(160, 112, 224, 24, 64, 64),
    "Mixed_4d": _v1_block(128, 128, 256, 24, 64, 64),
    "Mixed_4e": _v1_block(112, 144, 288, 32, 64, 64),
    "Mixed_4f": _v1_block(256, 160, 320, 32, 128, 128),
    "MaxPool_5a_2x2": MaxPool("MaxPool_5a_2x2", 2, 2),
    "Mixed_5b": _v1_block(256, 160, 320, 32, 128, 128, last="0a_3x3"),  # sic
    "Mixed_5c": _v1_block(384, 192, 384, 48, 128, 128),
}


def _v2_block(
    c1: int, c3_reduce: int, c3: int, d3_reduce: int, d3: int, pool: AvgPool | MaxPool, pooled: int
) -> Branches:
    """The columns of figure 5: #1×1, #3×3 reduce, #3×3, double #3×3 reduce, double #3×3, pool."""
    return (
        convs((1, c1)),
        convs((1, c3_reduce), (3, c3)),
        convs((1, d3_reduce), (3, d3), (3, d3)),
        [pool, Conv("Conv2d_0b_1x1", 1, pooled)],
    )


def _v2_reduction(c3_reduce: int, c3: int, d3_reduce: int, d3: int) -> Branches:
    """A block with stride 2, without 1×1 branch and pool projection."""
    return (
        [*convs((1, c3_reduce)), Conv("Conv2d_1a_3x3", 3, c3, 2)],
        [*convs((1, d3_reduce), (3, d3)), Conv("Conv2d_1a_3x3", 3, d3, 2)],
        [MaxPool("MaxPool_1a_3x3", 3, 2)],
    )


_AVG = AvgPool("AvgPool_0a_3x3", 3)
_MAX = MaxPool("MaxPool_0a_3x3", 3)
_V2 = {
    "Mixed_3b": _v2_block(64, 64, 64, 64, 96, _AVG, 32),
    "Mixed_3c": _v2_block(64, 64, 96, 64, 96, _AVG, 64),
    "Mixed_4a": _v2_reduction(128, 160, 64, 96),
    "Mixed_4b": _v2_block(224, 64, 96, 96, 128, _AVG, 128),
    "Mixed_4c": _v2_block(192, 96, 128, 96, 128, _AVG, 128),
    "Mixed_4d": _v2_block(160, 128, 160, 128, 160, _AVG, 96),
    "Mixed_4e": _v2_block(96, 128, 192, 160, 192, _AVG, 96),
    "Mixed_5a": _v2_reduction(128, 192, 192, 256),
    "Mixed_5b": _v2_block(352, 192, 320, 160, 224, _AVG, 128),
    "Mixed_5c": _v2_block(352, 192, 320, 192, 224, _MAX, 128),
}


def inception_v1(scope: str, variant: Variant) -> Network:
    """Lay out Inception v1."""
    net = Network(scope, variant, NORM)
    x = net.chain(net.image, (Conv("Conv2d_1a_7x7", 7, 64, 2), *_STEM), end_points="")
    for name, block in _V1.items():
        if isinstance(block, MaxPool):
            x = net.end_point(name, net.pool(x, block))
        else:
            x = net.mixed(x, name, block)
    return classify(net, x, "AvgPool_0a_7x7/AvgPool", "AvgPool_0a_7x7", layer="Conv2d_0c_1x1")


def inception_v2(scope: str, variant: Variant) -> Network:
    """Lay out Inception v2."""
    net = Network(scope, variant, NORM)
    x = net.separable_conv(net.image, "Conv2d_1a_7x7", 7, 64, 2, multiplier=8)
    x = net.chain(net.end_point("Conv2d_1a_7x7", x), _STEM, end_points="")
    for name, block in _V2.items():
        x = net.mixed(x, name, block)
    return classify(net, x, "AvgPool_1a_7x7/AvgPool", "AvgPool_1a")


def classify(
    net: Network, x: Tensor, pool: str, pooled_as: str, layer: str = "Conv2d_1c_1x1"
) -> Network:
    """Lay out the classifier of v1, v2, v3 and the MobileNets: a mean, then a 1x1 convolution.

    Args:
        net: the network.
        x: the last block.
        pool: node of the mean over the grid.
        pooled_as: end point of the mean.
        layer: scope of the convolution.
    """
    with net.scope("Logits"):
        x = net.end_point(pooled_as, net.global_pool(x, pool))
        x = net.conv(x, layer, 1, net.variant.num_classes, normed=False, activated=False)
        net.logits = net.end_point("logits", net.squeeze(x, "SpatialSqueeze"))
        net.end_point("Logits", net.logits)
    net.predictions = net.end_point("Predictions", net.slim_softmax(net.logits, "Predictions"))
    return net


def classify_flat(net: Network, x: Tensor, pool: str) -> Network:
    """Lay out the classifier of v4 and Inception-ResNet: the mean `pool`, then a matrix product."""
    with net.scope("Logits"):
        x = net.end_point("global_pool", net.global_pool(x, pool))
        x = net.end_point("PreLogitsFlatten", net.flatten(x, "PreLogitsFlatten/flatten/Reshape"))
        net.logits = net.fully_connected(x, "Logits", net.variant.num_classes)
        net.end_point("Logits", net.end_point("logits", net.logits))
        net.predictions = net.end_point("Predictions", net.softmax(net.logits, "Predictions"))
    return net


def auxiliary(pool: str, last: str) -> Sequence[Row]:
    """Return the first rows of an auxiliary classifier; two of them have these names."""
    return (
        AvgPool(pool, 5, 3, "VALID"),
        Conv("Conv2d_1b_1x1", 1, 128),
        Conv(last, 5, 768, 1, "VALID"),
    )


def classify_early(net: Network, x: Tensor, rows: Sequence[Row], layer: str) -> None:
    """Lay out the auxiliary classifier of v4 and Inception-ResNet, whose last layer is `layer`."""
    with net.scope("AuxLogits"):
        x = net.squeeze(net.chain(x, rows), "SpatialSqueeze")
        net.end_point("AuxLogits", net.fully_connected(x, layer, net.variant.num_classes))
