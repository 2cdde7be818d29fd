"""ResNet v1 and v2, 50 to 152 layers.

He et al. 2015, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), table 1, and
He et al. 2016, "Identity Mappings in Deep Residual Networks" (arXiv:1603.05027), figure 1b, with
slim's one change: a block's stride is in the 3x3 convolution of its *last* unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrain_tools.slim.folding import Norm
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Tensor, Variant
from retrain_tools.slim.rows import MaxPool

# Block: channels inside a unit (four times as many leave it), stride.
_BLOCKS = {"block1": (64, 2), "block2": (128, 2), "block3": (256, 2), "block4": (512, 1)}
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Units in each block, by the number of layers."""

_NORM = Norm(epsilon=1e-5, gamma=True)

_Unit = Callable[[Network, Tensor, str, int, int], Tensor]


def resnet_v1(scope: str, variant: Variant, units: Sequence[int]) -> Network:
    """Lay out a ResNet whose convolutions are followed by batch norm and Relu."""
    net = Network(scope, variant, _NORM)
    x = net.end_point(f"{scope}/conv1", net.conv(net.image, "conv1", 7, 64, 2, "EVEN"))
    x = net.pool(x, MaxPool("pool1", 3, 2))
    x = _blocks(net, x, scope, units, "bottleneck_v1", _bottleneck_v1)
    return _classify(net, x, scope)


def resnet_v2(scope: str, variant: Variant, units: Sequence[int]) -> Network:
    """Lay out a ResNet whose units begin with batch norm and Relu, and add with neither."""
    net = Network(scope, variant, _NORM)
    x = net.conv(net.image, "conv1", 7, 64, 2, "EVEN", normed=False, activated=False)
    x = net.pool(net.end_point(f"{scope}/conv1", x), MaxPool("pool1", 3, 2))
    x = _blocks(net, x, scope, units, "bottleneck_v2", _bottleneck_v2)
    return _classify(net, net.norm_and_activation(x, "postnorm"), scope)


def _blocks(
    net: Network, x: Tensor, scope: str, units: Sequence[int], name: str, lay_out: _Unit
) -> Tensor:
    for (block, (channels, block_stride)), count in zip(_BLOCKS.items(), units, strict=True):
        for number in range(1, count + 1):
            stride = block_stride if number == count else 1
            unit = f"{block}/unit_{number}/{name}"
            with net.scope(unit):
                x = lay_out(net, x, f"{scope}/{unit}", channels, stride)
            net.end_point(f"{scope}/{unit}", x)
        net.end_point(f"{scope}/{block}", x)
    return x


def _bottleneck_v1(net: Network, x: Tensor, unit: str, channels: int, stride: int) -> Tensor:
    if x.shape[2] == 4 * channels:
        shortcut = _every_other(net, x, stride)
    else:
        shortcut = net.conv(x, "shortcut", 1, 4 * channels, stride, activated=False)
        net.end_point(f"{unit}/shortcut", shortcut)
    x = net.end_point(f"{unit}/conv1", net.conv(x, "conv1", 1, channels))
    x = net.end_point(f"{unit}/conv2", net.conv(x, "conv2", 3, channels, stride, "EVEN"))
    x = net.end_point(f"{unit}/conv3", net.conv(x, "conv3", 1, 4 * channels, activated=False))
    return net.activate(net.add(shortcut, x))


def _bottleneck_v2(net: Network, x: Tensor, unit: str, channels: int, stride: int) -> Tensor:
    before = net.norm_and_activation(x, "preact")
    if x.shape[2] == 4 * channels:
        shortcut = _every_other(net, x, stride)
    else:
        shortcut = net.conv(
            before, "shortcut", 1, 4 * channels, stride, normed=False, activated=False
        )
        net.end_point(f"{unit}/shortcut", shortcut)
    x = net.end_point(f"{unit}/conv1", net.conv(before, "conv1", 1, channels))
    x = net.end_point(f"{unit}/conv2", net.conv(x, "conv2", 3, channels, stride, "EVEN"))
    x = net.conv(x, "conv3", 1, 4 * channels, normed=False, activated=False)
    return net.add(shortcut, net.end_point(f"{unit}/conv3", x))


def _every_other(net: Network, x: Tensor, stride: int) -> Tensor:
    """Leave out rows and columns as a convolution with this stride does."""
    return x if stride == 1 else net.pool(x, MaxPool("shortcut", 1, stride))


def _classify(net: Network, x: Tensor, scope: str) -> Network:
    x = net.end_point("pool5", net.global_pool(x, "pool5"))
    x = net.conv(x, "logits", 1, net.variant.num_classes, normed=False, activated=False)
    # The end points keep the grid of 1x1 that the published definitions left in.
    net.end_point(f"{scope}/logits", net.end_point("logits", x))
    net.end_point("predictions", net.slim_softmax(x, "predictions"))
    net.logits = net.squeeze(x, "SpatialSqueeze")
    net.predictions = Tensor(net.path("predictions/Softmax"), net.logits.shape)
    return net
