"""The slim networks by name: facts about each, its variables, its graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.slim.folding import Variables
from retrain_tools.slim.inception import inception_v1, inception_v2
from retrain_tools.slim.inception_resnet_v2 import inception_resnet_v2
from retrain_tools.slim.inception_v3 import inception_v3
from retrain_tools.slim.inception_v4 import inception_v4
from retrain_tools.slim.layers import Network
from retrain_tools.slim.mobilenet import mobilenet_v1, mobilenet_v2
from retrain_tools.slim.plan import Variant
from retrain_tools.slim.resnet import RESNET_50, RESNET_101, RESNET_152, resnet_v1, resnet_v2
from retrain_tools.slim.variables import differences
from retrain_tools.slim.vgg import VGG_16, VGG_19, alexnet_v2, vgg


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How slim prepares an image for evaluation: crop or shrink, resize, (x - mean) / std.

    Resizing is bilinear with TensorFlow 1's corners (no half-pixel centres, no anti-aliasing).

    Attributes:
        central_fraction: of height and width, cut out and then resized to the image size; None to
            use the whole image.
        shorter_side: to which the image is resized, aspect kept, before the image size is cut
            out of its middle; None to resize straight to the image size, aspect not kept.
        mean: of red, green and blue, for pixels of 0 to 255.
        std: what the difference is divided by.
    """

    central_fraction: float | None
    shorter_side: int | None
    mean: tuple[float, float, float]
    std: float


# Slim's inception_preprocessing.py and vgg_preprocessing.py.
PREPROCESSING = {
    "inception": Preprocessing(0.875, None, (127.5, 127.5, 127.5), 127.5),
    "vgg": Preprocessing(None, 256, (123.68, 116.78, 103.94), 1.0),
}


@dataclasses.dataclass(frozen=True)
class NetworkInfo:
    """What is known about a network before there is a checkpoint.

    Attributes:
        name: as in slim's model zoo.
        scope: what the names of its variables begin with.
        image_size: side of the images it was published for, in pixels.
        num_classes: of the published checkpoint.
        preprocessing: key of PREPROCESSING; None for AlexNet, which was never published.
        bottleneck: the end point to cache: what the last layer classifies.
        bottleneck_depth: values per image in it, at width 1.
        classifier: scope, within `scope`, of the variables of the last layer.
        define: lays the network out.
        widths: of the published checkpoints.
    """

    name: str
    scope: str
    image_size: int
    num_classes: Literal[1000, 1001]
    preprocessing: Literal["inception", "vgg"] | None
    bottleneck: str
    bottleneck_depth: int
    classifier: str
    define: Callable[[str, Variant], Network] = dataclasses.field(repr=False)
    widths: tuple[float, ...] = (1.0,)

    @property
    def has_background(self) -> bool:
        """Whether class 0 is the background and ImageNet's thousand begin at 1."""
        return self.num_classes == 1001


def _resnets(
    version: str,
    image_size: int,
    num_classes: Literal[1000, 1001],
    preprocessing: Literal["inception", "vgg"],
    define: Callable[..., Network],
) -> list[NetworkInfo]:
    return [
        NetworkInfo(
            f"resnet_{version}_{depth}", f"resnet_{version}_{depth}", image_size, num_classes,
            preprocessing, "pool5", 2048, "logits", partial(define, units=units),
        )
        for depth, units in {50: RESNET_50, 101: RESNET_101, 152: RESNET_152}.items()
    ]  # fmt: skip


# Sizes, classes and preprocessing: the table of pre-trained models in slim's README. Its
# preprocessing factory gives the ResNets v2 that of VGG, which is not how they were trained.
_ALL = [
    NetworkInfo(
        "inception_v1", "InceptionV1", 224, 1001, "inception",
        "AvgPool_0a_7x7", 1024, "Logits/Conv2d_0c_1x1", inception_v1,
    ),
    NetworkInfo(
        "inception_v2", "InceptionV2", 224, 1001, "inception",
        "AvgPool_1a", 1024, "Logits/Conv2d_1c_1x1", inception_v2,
    ),
    NetworkInfo(
        "inception_v3", "InceptionV3", 299, 1001, "inception",
        "PreLogits", 2048, "Logits/Conv2d_1c_1x1", inception_v3,
    ),
    NetworkInfo(
        "inception_v4", "InceptionV4", 299, 1001, "inception",
        "PreLogitsFlatten", 1536, "Logits/Logits", inception_v4,
    ),
    NetworkInfo(
        "inception_resnet_v2", "InceptionResnetV2", 299, 1001, "inception",
        "PreLogitsFlatten", 1536, "Logits/Logits", inception_resnet_v2,
    ),
    *_resnets("v1", 224, 1000, "vgg", resnet_v1),
    *_resnets("v2", 299, 1001, "inception", resnet_v2),
    NetworkInfo(
        "vgg_16", "vgg_16", 224, 1000, "vgg",
        "vgg_16/fc7", 4096, "fc8", partial(vgg, repeats=VGG_16),
    ),
    NetworkInfo(
        "vgg_19", "vgg_19", 224, 1000, "vgg",
        "vgg_19/fc7", 4096, "fc8", partial(vgg, repeats=VGG_19),
    ),
    NetworkInfo(
        "alexnet_v2", "alexnet_v2", 224, 1000, None,
        "alexnet_v2/fc7", 4096, "fc8", alexnet_v2,
    ),
    NetworkInfo(
        "mobilenet_v1", "MobilenetV1", 224, 1001, "inception",
        "AvgPool_1a", 1024, "Logits/Conv2d_1c_1x1", mobilenet_v1,
        widths=(1.0, 0.75, 0.5, 0.25),
    ),
    NetworkInfo(
        "mobilenet_v2", "MobilenetV2", 224, 1001, "inception",
        "global_pool", 1280, "Logits/Conv2d_1c_1x1", mobilenet_v2,
        widths=(1.4, 1.3, 1.0, 0.75, 0.5, 0.35),
    ),
]  # fmt: skip
NETWORKS: dict[str, NetworkInfo] = {info.name: info for info in _ALL}


@dataclasses.dataclass(frozen=True)
class BuiltNetwork:
    """A frozen network. Tensor names carry `:0`.

    Attributes:
        graph_def: its nodes, weights included.
        input: prepared pixels, float32 [None, height, width, 3].
        end_points: tensors by slim's name for them, and `logits`, which the original functions
            return beside them (of the ResNets, [None, 1, 1, num_classes]).
        logits: [None, num_classes].
        predictions: [None, num_classes], the softmax of the logits.
        bottleneck: the end point to cache, [None, depth] or [None, 1, 1, depth].
        bottleneck_depth: values per image in it.
    """

    graph_def: Any
    input: str
    end_points: dict[str, str]
    logits: str
    predictions: str
    bottleneck: str
    bottleneck_depth: int


def network_info(name: str) -> NetworkInfo:
    """Return the facts about a network.

    Raises:
        InputError: there is no network of that name.
    """
    if name not in NETWORKS:
        raise InputError(
            f"No slim network is called {name!r}.{did_you_mean(name, NETWORKS)} "
            f"There are: {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


def plan_network(
    name: str,
    num_classes: int | None = None,
    width: float = 1.0,
    image_size: int | tuple[int, int] | None = None,
    aux_logits: bool = False,
) -> Network:
    """Lay out a network without weights.

    Args:
        name: key of NETWORKS.
        num_classes: None for that of the published checkpoint.
        width: factor on the channels, for the MobileNets.
        image_size: side or (height, width) in pixels; None for that of the published checkpoint.
        aux_logits: whether to build the auxiliary classifier of inception_v3, inception_v4 or
            inception_resnet_v2. Its kernels fit only the grid that the published size has.

    Raises:
        InputError: there is no such network, or not of this width or size, or without AuxLogits.
    """
    info = network_info(name)
    variant = _variant(info, num_classes, width, image_size, aux_logits)
    network = info.define(info.scope, variant)
    if aux_logits and "AuxLogits" not in network.end_points:
        raise InputError(f"{name} has no auxiliary classifier; build it without AuxLogits.")
    return network


def expected_variables(
    name: str, num_classes: int | None = None, width: float = 1.0
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all variables of a network by name, those of AuxLogits included.

    Args:
        name: key of NETWORKS.
        num_classes: None for that of the published checkpoint.
        width: factor on the channels, for the MobileNets.

    Raises:
        InputError: there is no such network, or not of this width.
    """
    info = network_info(name)
    variant = _variant(info, num_classes, width, image_size=None, aux_logits=True)
    return info.define(info.scope, variant).variables


def build_network(
    name: str,
    weights: Variables,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    width: float = 1.0,
    aux_logits: bool = False,
) -> BuiltNetwork:
    """Build a network for inference: dropout is gone, batch norms are folded into the kernels.

    Args:
        name: key of NETWORKS.
        weights: arrays of the network's variables by name; others are ignored, and those of
            AuxLogits are only needed with `aux_logits`.
        image_size: side or (height, width) in pixels; None for that of the published checkpoint.
        num_classes: None for as many as the weights have.
        width: factor on the channels, for the MobileNets.
        aux_logits: whether to build the auxiliary classifier, as end point `AuxLogits`.

    Raises:
        InputError: there is no such network, or not of this width or size, or variables are
            missing or have another shape.
    """
    info = network_info(name)
    biases = f"{info.scope}/{info.classifier}/biases"
    if num_classes is None and biases in weights:
        num_classes = weights[biases].shape[0]
    plan = plan_network(name, num_classes, width, image_size, aux_logits)
    found = {key: weights[key].shape for key in plan.variables if key in weights}
    wrong = differences(plan.variables, found, extra=False)
    if wrong:
        raise InputError(
            f"These are not the weights of {name} with {plan.variant.num_classes} classes and "
            f"width {width}: {wrong}."
        )
    bottleneck = plan.end_points[info.bottleneck]
    return BuiltNetwork(
        graph_def=plan.graph_def(weights),
        input=f"{plan.image.node}:0",
        end_points={key: f"{tensor.node}:0" for key, tensor in plan.end_points.items()},
        logits=f"{plan.logits.node}:0",
        predictions=f"{plan.predictions.node}:0",
        bottleneck=f"{bottleneck.node}:0",
        bottleneck_depth=bottleneck.shape[-1],
    )


def _variant(
    info: NetworkInfo,
    num_classes: int | None,
    width: float,
    image_size: int | tuple[int, int] | None,
    aux_logits: bool,
) -> Variant:
    """Fill in what the published checkpoint has, and refuse what cannot be."""
    if width != 1 and len(info.widths) == 1:
        raise InputError(f"{info.name} has one width only, 1.0, not {width}.")
    if num_classes is None:
        num_classes = info.num_classes
    if image_size is None:
        image_size = info.image_size
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(width, num_classes, *size) <= 0:
        raise InputError(
            f"Width, classes and image size of {info.name} have to be above 0, not {width}, "
            f"{num_classes} and {size[0]}×{size[1]}."
        )
    return Variant(size, num_classes, width, aux_logits)
