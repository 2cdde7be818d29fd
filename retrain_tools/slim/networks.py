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
from retrain_tools.slim.resnet import UNITS, resnet_v1, resnet_v2
from retrain_tools.slim.variables import differences
from retrain_tools.slim.vgg import REPEATS, alexnet_v2, vgg


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
        define: lays the network out.
        bottleneck: the end point to cache: what the last layer classifies.
        classifier: scope, within `scope`, of the variables of the last layer.
        num_classes: of the published checkpoint; of 1001, class 0 is the background.
        preprocessing: key of PREPROCESSING; None for AlexNet, which was never published.
        widths: of the published checkpoints.
    """

    name: str
    scope: str
    image_size: int
    define: Callable[[str, Variant], Network] = dataclasses.field(repr=False)
    bottleneck: str
    classifier: str = "Logits/Conv2d_1c_1x1"
    num_classes: Literal[1000, 1001] = 1001
    preprocessing: Literal["inception", "vgg"] | None = "inception"
    widths: tuple[float, ...] = (1.0,)


def _resnets(
    version: str, image_size: int, define: Callable[..., Network], *trained: Any
) -> list[NetworkInfo]:
    names = {f"resnet_{version}_{depth}": units for depth, units in UNITS.items()}
    return [
        NetworkInfo(
            name, name, image_size, partial(define, units=units), "pool5", "logits", *trained
        )
        for name, units in names.items()
    ]


# Sizes, classes and preprocessing: the table of pre-trained models in slim's README. Its
# preprocessing factory gives the ResNets v2 that of VGG, which is not how they were trained.
_ALL = [
    NetworkInfo(
        "inception_v1", "InceptionV1", 224, inception_v1, "AvgPool_0a_7x7", "Logits/Conv2d_0c_1x1"
    ),
    NetworkInfo("inception_v2", "InceptionV2", 224, inception_v2, "AvgPool_1a"),
    NetworkInfo("inception_v3", "InceptionV3", 299, inception_v3, "PreLogits"),
    NetworkInfo(
        "inception_v4", "InceptionV4", 299, inception_v4, "PreLogitsFlatten", "Logits/Logits"
    ),
    NetworkInfo(
        "inception_resnet_v2", "InceptionResnetV2", 299, inception_resnet_v2,
        "PreLogitsFlatten", "Logits/Logits",
    ),
    *_resnets("v1", 224, resnet_v1, 1000, "vgg"),
    *_resnets("v2", 299, resnet_v2),
    *(
        NetworkInfo(
            f"vgg_{depth}", f"vgg_{depth}", 224, partial(vgg, repeats=repeats),
            f"vgg_{depth}/fc7", "fc8", 1000, "vgg",
        )
        for depth, repeats in REPEATS.items()
    ),
    NetworkInfo(
        "alexnet_v2", "alexnet_v2", 224, alexnet_v2, "alexnet_v2/fc7", "fc8", 1000, None
    ),
    NetworkInfo(
        "mobilenet_v1", "MobilenetV1", 224, mobilenet_v1, "AvgPool_1a",
        widths=(1.0, 0.75, 0.5, 0.25),
    ),
    NetworkInfo(
        "mobilenet_v2", "MobilenetV2", 224, mobilenet_v2, "global_pool",
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
    """

    graph_def: Any
    input: str
    end_points: dict[str, str]
    logits: str
    predictions: str
    bottleneck: str


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
    if width != 1 and len(info.widths) == 1:
        raise InputError(f"{name} has one width only, 1.0, not {width}.")
    if num_classes is None:
        num_classes = info.num_classes
    if image_size is None:
        image_size = info.image_size
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(width, num_classes, *size) <= 0:
        raise InputError(
            f"Width, classes and image size of {name} have to be above 0, not {width}, "
            f"{num_classes} and {size[0]}×{size[1]}."
        )
    network = info.define(info.scope, Variant(size, num_classes, width, aux_logits))
    if aux_logits and "AuxLogits" not in network.end_points:
        raise InputError(f"{name} has no auxiliary classifier; build it without AuxLogits.")
    return network


def build_network(
    name: str,
    weights: Variables,
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    width: float = 1.0,
    aux_logits: bool = False,
) -> BuiltNetwork:
    """Build a network for inference: dropout is gone, batch norms are folded into the kernels.

    The other arguments are those of `plan_network`; `num_classes` is None for as many as the
    weights have. `weights` are arrays of the network's variables by name; others are ignored, and
    those of AuxLogits are only needed with `aux_logits`.

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
    end_points = {key: f"{tensor.node}:0" for key, tensor in plan.end_points.items()}
    return BuiltNetwork(
        graph_def=plan.graph_def(weights),
        input=f"{plan.image.node}:0",
        end_points=end_points,
        logits=f"{plan.logits.node}:0",
        predictions=f"{plan.predictions.node}:0",
        bottleneck=end_points[info.bottleneck],
    )
