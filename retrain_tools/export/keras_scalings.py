"""What scales channels by constants, as Keras layers: batch norms, and x * scale + offset.

1. A batch norm of TensorFlow in inference form (FusedBatchNorm V1 to V3, and the old
   BatchNormWithGlobalNormalization) is a BatchNormalization with its own four vectors. A gamma of
   nothing but ones is left out, as slim and the graph of 2015 have none.
2. Nodes of which each is the only consumer of the one before, and which do x * scale + offset
   with constants (Mul, RealDiv, Add, AddV2, Sub, BiasAdd), are one layer.
3. With a scale for each channel, as frozen networks of Keras 3 write out their batch norms, it is a
   BatchNormalization again: scale is its gamma, offset its beta, the mean is 0 and the variance
   1 - epsilon, by which the root is 1. With one scale for all it is a Rescaling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.export.keras_nodes import Body, NoLayerError, check_nhwc, known, vector
from retrain_tools.graphdef.navigate import attribute
from retrain_tools.graphdef.op_sets import OLD_BATCH_NORM

SCALINGS = ("Mul", "RealDiv", "Add", "AddV2", "Sub", "BiasAdd")
_EPSILON = np.float32(0.001)  # Keras's own
_FUSED_EPSILON = 1e-4  # nn_ops.cc

Vector = npt.NDArray[np.float32]
Layer = Callable[..., Any]
"""`layer(kind, weights, **arguments)` makes a layer and returns what it makes of the input."""


def batch_norm(body: Body, node: Any, layer: Layer) -> Any:
    """Make a BatchNormalization of a batch norm.

    Raises:
        NoLayerError: it is in training form, or has channels first.
    """
    check_nhwc(node)
    first, second, third, fourth = (known(body, node, index) for index in range(1, 5))
    if node.op == OLD_BATCH_NORM:
        mean, variance, beta, gamma = first, second, third, fourth
        epsilon = node.attr["variance_epsilon"].f
        if not node.attr["scale_after_normalization"].b:
            gamma = np.ones_like(gamma)
    else:
        gamma, beta, mean, variance = first, second, third, fourth
        epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else _FUSED_EPSILON
        if "is_training" not in node.attr or node.attr["is_training"].b:
            raise NoLayerError("normalizes by its batch (is_training=true)")
        if any(body.is_used(f"{node.name}:{output}") for output in range(1, 6)):
            raise NoLayerError("gives statistics to other nodes")
    return _normalization(layer, gamma, beta, mean, variance, epsilon)


def _normalization(
    layer: Layer, gamma: Vector, beta: Vector, mean: Vector, variance: Vector, epsilon: float
) -> Any:
    has_gamma = bool(np.any(gamma != 1))
    weights = [*([gamma] if has_gamma else []), beta, mean, variance]
    return layer("BatchNormalization", weights, epsilon=float(epsilon), scale=has_gamma)


def scaling_of(body: Body, node: Any, channels: int) -> tuple[Vector, Vector] | None:
    """Return (scale, offset) of a node that does x * scale + offset with constants; else None.

    Each is float32 [channels], or [] for one number that is for all.
    """
    if node.op not in SCALINGS or attribute(node, "data_format").s not in (b"", b"NHWC"):
        return None
    values = [vector(body.constant(name), channels) for name in node.input[:2]]
    if len([name for name in node.input[:2] if body.constant(name) is not None]) != 1:
        return None
    one, zero = np.ones((), np.float32), np.zeros((), np.float32)
    first, second = values
    match node.op:
        case "Mul" if (by := first if first is not None else second) is not None:
            return by, zero
        case "RealDiv" if second is not None:
            return (1 / second).astype(np.float32), zero
        case "Sub" if second is not None:
            return one, -second
        case "Sub" if first is not None:
            return -one, first
        case "Add" | "AddV2" | "BiasAdd" if (
            added := first if first is not None else second
        ) is not None:
            return one, added
    return None


def scaling(body: Body, node: Any, channels: int, layer: Layer) -> tuple[Any, Any]:
    """Make one layer of a chain of scalings that begins at `node`; see the module.

    Returns:
        What it makes, and the last node of the chain.

    Raises:
        NoLayerError: `node` does something else with a constant.
    """
    step = scaling_of(body, node, channels)
    if step is None:
        raise NoLayerError("takes a constant that is neither one number nor one for each channel")
    scale, offset = step
    while (after := body.only_consumer(node)) is not None and (
        step := scaling_of(body, after, channels)
    ):
        node = after
        scale, offset = scale * step[0], offset * step[0] + step[1]
    if scale.ndim == 0:
        many = offset.tolist()
        return layer("Rescaling", [], scale=float(scale), offset=many), node
    beta = np.broadcast_to(offset, scale.shape)
    mean = np.zeros_like(scale)
    return _normalization(layer, scale, beta, mean, mean + (1 - _EPSILON), float(_EPSILON)), node
