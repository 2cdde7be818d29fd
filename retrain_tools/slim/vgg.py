"""VGG and AlexNet: convolutions with biases, fully connected layers as convolutions.

Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv:1409.1556), table 1, columns D and E. Krizhevsky 2014, "One weird trick for parallelizing
convolutional neural networks" (arXiv:1404.5997).
"""

from __future__ import annotations

from collections.abc import Sequence

from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Tensor, Variant
from retrain_tools.slim.rows import Conv, MaxPool

# Channels of the five blocks, each followed by a pool that halves the image.
_VGG_CHANNELS = (64, 128, 256, 512, 512)
REPEATS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of 3x3 in each block, by the number of layers."""

ALEXNET_V2 = (
    Conv("conv1", 11, 64, 4, "VALID"),
    MaxPool("pool1", 3, 2, "VALID"),
    Conv("conv2", 5, 192),
    MaxPool("pool2", 3, 2, "VALID"),
    Conv("conv3", 3, 384),
    Conv("conv4", 3, 384),
    Conv("conv5", 3, 256),
    MaxPool("pool5", 3, 2, "VALID"),
    Conv("fc6", 5, 4096, 1, "VALID"),
    Conv("fc7", 1, 4096),
)


def vgg(scope: str, variant: Variant, repeats: Sequence[int]) -> Network:
    """Lay out VGG_16 or VGG_19."""
    net = Network(scope, variant)
    x = net.image
    for number, (repeat, channels) in enumerate(zip(repeats, _VGG_CHANNELS, strict=True), 1):
        for layer in range(1, repeat + 1):
            with net.scope(f"conv{number}"):
                x = net.conv(x, f"conv{number}_{layer}", 3, channels)
            net.end_point(f"{scope}/conv{number}/conv{number}_{layer}", x)
        x = net.chain(x, [MaxPool(f"pool{number}", 2, 2, "VALID")], end_points=f"{scope}/")
    rows = [Conv("fc6", 7, 4096, 1, "VALID"), Conv("fc7", 1, 4096)]
    x = net.chain(x, rows, end_points=f"{scope}/")
    return _classify(net, x, scope)


def alexnet_v2(scope: str, variant: Variant) -> Network:
    """Lay out AlexNet of 2014: one tower, no local response normalization."""
    net = Network(scope, variant)
    return _classify(net, net.chain(net.image, ALEXNET_V2, end_points=f"{scope}/"), scope)


def _classify(net: Network, x: Tensor, scope: str) -> Network:
    x = net.conv(x, "fc8", 1, net.variant.num_classes, activated=False)
    net.logits = net.end_point("logits", net.squeeze(x, "fc8/squeezed"))
    net.end_point(f"{scope}/fc8", net.logits)
    net.predictions = net.softmax(net.logits, "predictions")  # the originals end at the logits
    return net
