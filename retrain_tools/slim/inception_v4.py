"""Inception v4.

Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning" (arXiv:1602.07261), figures 3 to 9.
"""

from __future__ import annotations

from retrain_tools.slim.inception import NORM, auxiliary, classify_early, classify_flat
from retrain_tools.slim.inception_v3 import STEM
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Variant
from retrain_tools.slim.rows import AvgPool, Branches, Conv, Fork, MaxPool, convs

# Figure 3.
_STEM = STEM[:3]
_STEM_3A: Branches = (
    [MaxPool("MaxPool_0a_3x3", 3, 2, "VALID")],
    [Conv("Conv2d_0a_3x3", 3, 96, 2, "VALID")],
)
_STEM_4A: Branches = (
    [*convs((1, 64)), Conv("Conv2d_1a_3x3", 3, 96, 1, "VALID")],
    [*convs((1, 64), ((1, 7), 64), ((7, 1), 64)), Conv("Conv2d_1a_3x3", 3, 96, 1, "VALID")],
)
_STEM_5A: Branches = (
    [Conv("Conv2d_1a_3x3", 3, 192, 2, "VALID")],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)

# Figure 4.
_INCEPTION_A: Branches = (
    convs((1, 96)),
    convs((1, 64), (3, 96)),
    convs((1, 64), (3, 96), (3, 96)),
    [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, 96)],
)

# Figure 7, with k = 192, l = 224, m = 256 and n = 384 from table 1.
_REDUCTION_A: Branches = (
    [Conv("Conv2d_1a_3x3", 3, 384, 2, "VALID")],
    [*convs((1, 192), (3, 224)), Conv("Conv2d_1a_3x3", 3, 256, 2, "VALID")],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)

# Figure 5.
_INCEPTION_B: Branches = (
    convs((1, 384)),
    convs((1, 192), ((1, 7), 224), ((7, 1), 256)),
    convs((1, 192), ((7, 1), 192), ((1, 7), 224), ((7, 1), 224), ((1, 7), 256)),
    [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, 128)],
)

# Figure 8.
_REDUCTION_B: Branches = (
    [*convs((1, 192)), Conv("Conv2d_1a_3x3", 3, 192, 2, "VALID")],
    [*convs((1, 256), ((1, 7), 256), ((7, 1), 320)), Conv("Conv2d_1a_3x3", 3, 320, 2, "VALID")],
    [MaxPool("MaxPool_1a_3x3", 3, 2, "VALID")],
)

# Figure 6.
_INCEPTION_C: Branches = (
    convs((1, 256)),
    [
        *convs((1, 384)),
        Fork(Conv("Conv2d_0b_1x3", (1, 3), 256), Conv("Conv2d_0c_3x1", (3, 1), 256)),
    ],
    [
        *convs((1, 384), ((3, 1), 448), ((1, 3), 512)),
        Fork(Conv("Conv2d_0d_1x3", (1, 3), 256), Conv("Conv2d_0e_3x1", (3, 1), 256)),
    ],
    [AvgPool("AvgPool_0a_3x3", 3), Conv("Conv2d_0b_1x1", 1, 256)],
)

# Figure 9.
_MIXED = {
    "Mixed_3a": _STEM_3A,
    "Mixed_4a": _STEM_4A,
    "Mixed_5a": _STEM_5A,
    **dict.fromkeys([f"Mixed_5{letter}" for letter in "bcde"], _INCEPTION_A),
    "Mixed_6a": _REDUCTION_A,
    **dict.fromkeys([f"Mixed_6{letter}" for letter in "bcdefgh"], _INCEPTION_B),
    "Mixed_7a": _REDUCTION_B,
    **dict.fromkeys([f"Mixed_7{letter}" for letter in "bcd"], _INCEPTION_C),
}


def inception_v4(scope: str, variant: Variant) -> Network:
    """Lay out Inception v4."""
    net = Network(scope, variant, NORM)
    x = net.chain(net.image, _STEM, end_points="")
    for name, block in _MIXED.items():
        x = net.mixed(x, name, block)
    if variant.aux_logits:
        classify_early(
            net, net.end_points["Mixed_6h"], auxiliary("AvgPool_1a_5x5", "Conv2d_2a"), "Aux_logits"
        )
    return classify_flat(net, x, "AvgPool_1a/AvgPool")
