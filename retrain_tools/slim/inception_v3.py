"""Inception v3.

Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision" (arXiv:1512.00567),
table 1 and figures 5, 6, 7 and 10; figure 8 is the auxiliary classifier.
"""

from __future__ import annotations

from retrain_tools.slim.inception import NORM, auxiliary, classify
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Variant
from retrain_tools.slim.rows import AvgPool, Branches, Conv, Fork, MaxPool, convs

STEM = (
    Conv("Conv2d_1a_3x3", 3, 32, 2, "VALID"),
    Conv("Conv2d_2a_3x3", 3, 32, 1, "VALID"),
    Conv("Conv2d_2b_3x3", 3, 64),
    MaxPool("MaxPool_3a_3x3", 3, 2, "VALID"),
    Conv("Conv2d_3b_1x1", 1, 80, 1, "VALID"),
    Conv("Conv2d_4a_3x3", 3, 192, 1, "VALID"),
    MaxPool("MaxPool_5a_3x3", 3, 2, "VALID"),
)


def _grid_35(
    pooled: int, first_5x5: str = "Conv2d_0a_1x1", second_5x5: str = "Conv2d_0b_5x5"
) -> Branches:
    """Figure 5, except that one branch keeps its 5x5 convolution."""
    return (
        convs((1, 64)),
        [Conv(first_5x5, 1, 48), Conv(second_5x5, 5, 64)],
        convs((1, 64), (3, 96), (3, 96)),
        [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, pooled)],
    )


def _grid_17(c: int) -> Branches:
    """Figure 6: a 7x7 convolution as 1x7 and 7x1; `c` is the number of channels inside."""
    return (
        convs((1, 192)),
        convs((1, c), ((1, 7), c), ((7, 1), 192)),
        convs((1, c), ((7, 1), c), ((1, 7), c), ((7, 1), c), ((1, 7), 192)),
        [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, 192)],
    )


def _grid_8(second_half: str) -> Branches:
    """Figure 7: the last 3x3 convolutions as 1x3 beside 3x1."""
    return (
        convs((1, 320)),
        [
            *convs((1, 384)),
            Fork(Conv("Conv2d_0b_1x3", (1, 3), 384), Conv(second_half, (3, 1), 384)),
        ],
        [
            *convs((1, 448), (3, 384)),
            Fork(Conv("Conv2d_0c_1x3", (1, 3), 384), Conv("Conv2d_0d_3x1", (3, 1), 384)),
        ],
        [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, 192)],
    )


# Figure 10: half the grid, more channels. Slim calls two of the 3x3 convolutions 1x1.
_GRID_35_TO_17: Branches = (
    [Conv("Conv2d_1a_1x1", 3, 384, 2, "VALID")],
    [*convs((1, 64), (3, 96)), Conv("Conv2d_1a_1x1", 3, 96, 2, "VALID")],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)
_GRID_17_TO_8: Branches = (
    [*convs((1, 192)), Conv("Conv2d_1a_3x3", 3, 320, 2, "VALID")],
    [
        *convs((1, 192), ((1, 7), 192), ((7, 1), 192)),
        Conv("Conv2d_1a_3x3", 3, 192, 2, "VALID"),
    ],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)

# The odd names are in the published checkpoints.
MIXED: dict[str, Branches] = {
    "Mixed_5b": _grid_35(pooled=32),
    "Mixed_5c": _grid_35(pooled=64, first_5x5="Conv2d_0b_1x1", second_5x5="Conv_1_0c_5x5"),
    "Mixed_5d": _grid_35(pooled=64),
    "Mixed_6a": _GRID_35_TO_17,
    "Mixed_6b": _grid_17(128),
    "Mixed_6c": _grid_17(160),
    "Mixed_6d": _grid_17(160),
    "Mixed_6e": _grid_17(192),
    "Mixed_7a": _GRID_17_TO_8,
    "Mixed_7b": _grid_8(second_half="Conv2d_0b_3x1"),
    "Mixed_7c": _grid_8(second_half="Conv2d_0c_3x1"),
}


def inception_v3(scope: str, variant: Variant) -> Network:
    """Lay out Inception v3."""
    net = Network(scope, variant, NORM)
    x = net.chain(net.image, STEM, end_points="")
    for name, block in MIXED.items():
        x = net.mixed(x, name, block)
    if variant.aux_logits:
        with net.scope("AuxLogits"):
            early = net.chain(
                net.end_points["Mixed_6e"], auxiliary("AvgPool_1a_5x5", "Conv2d_2a_5x5")
            )
            classes = variant.num_classes
            early = net.conv(early, "Conv2d_2b_1x1", 1, classes, normed=False, activated=False)
            net.end_point("AuxLogits", net.squeeze(early, "SpatialSqueeze"))
    return classify(net, x, "AvgPool_1a_8x8/AvgPool", "PreLogits")
