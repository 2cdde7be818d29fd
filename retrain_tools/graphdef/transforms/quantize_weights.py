"""Stores weights in eight bits each, a quarter of their size; a node gives them back as float32.

The Graph Transform Tool's transform of this name, with its values. It makes files small, and
nothing faster: networks still compute in float32.

1. Looked at are float32 constants of at least `minimum_size` elements, all of them finite.
2. The range from the smallest to the largest, 0 included, is cut into 255 steps; each element
   becomes the number of the step nearest to it (`NAME_quantized_const`, quint8), with the two ends
   of the range beside it (`NAME_quantized_min`, `NAME_quantized_max`). They are scalars, as today's
   TensorFlow wants them; those of the tool, of one element, load in TensorFlow 1 only.
3. Under the constant's own name stands a Dequantize node (MIN_FIRST) of the three.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import new_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32, dtype_number
from retrain_tools.graphdef.navigate import (
    attribute,
    constant_value,
    copy_nodes,
    nodes_by_name,
    unique_name,
)
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights, stand_in

_STEPS = 255  # between the smallest and the largest number of eight bits
_QUINT8 = dtype_number("quint8")


def quantize_weights(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    minimum_size: int = 1024,
) -> tuple[Any, Weights]:
    """Store large weight arrays in eight bits, and compute with float32 again; lossy.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes that must stay; all do.
        minimum_size: arrays of fewer elements stay float32; 1 or more.

    Returns:
        The light graph, with Dequantize nodes, and its weights.

    Raises:
        InputError: `minimum_size` is below 1.

    Example:
        >>> import numpy as np
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> from retrain_tools.graphdef.weights import stand_in
        >>> array = np.linspace(-1, 1, 2000, dtype="f")
        >>> light, weights = quantize_weights(GraphDef(node=[stand_in("w", array)]), {"w": array})
        >>> {name: array.nbytes for name, array in weights.items()}
        {'w_quantized_const': 2000}
    """
    if minimum_size < 1:
        raise InputError(
            f"{argument('minimum_size')}={minimum_size} must be 1 or more: constants of fewer "
            "elements are left as they are; 1024 is common."
        )
    result, weights = copy_nodes(light, lambda _: True), dict(weights)
    nodes = nodes_by_name(result)
    for node in list(result.node):
        value = _large_value(node, nodes, weights, minimum_size)
        if value is None:
            continue
        low, high, numbers = _quantized(value)
        weights.pop(node.name, None)
        names = [unique_name(f"{node.name}_quantized_{x}", nodes) for x in ("const", "min", "max")]
        stored = numbers.view([("quint8", np.uint8)])
        if numbers.size > LARGEST_VALUE_KEPT:
            weights[names[0]] = stored
            nodes[names[0]] = stand_in(names[0], stored)
        else:
            nodes[names[0]] = new_constant(names[0], stored)
        for name, end in zip(names[1:], (low, high), strict=True):
            nodes[name] = new_constant(name, np.float32(end))
        result.node.extend(nodes[name] for name in names)
        node.CopyFrom(new_node(node.name, "Dequantize", names, T=_QUINT8, mode="MIN_FIRST"))
    return result, weights


def _large_value(
    node: Any, nodes: dict[str, Any], weights: Weights, least: int
) -> npt.NDArray[Any] | None:
    is_constant = node.op == "Const" and attribute(node, "dtype").type == FLOAT32
    if node.name not in weights and not is_constant:
        return None
    value = np.asarray(constant_value(nodes, node.name, weights))
    is_wanted = value.dtype == np.float32 and value.size >= least
    return value if is_wanted and np.isfinite(value).all() else None


def _quantized(value: npt.NDArray[Any]) -> tuple[float, float, npt.NDArray[np.uint8]]:
    """Return the ends of the range and the number of each element's step, as MIN_FIRST says it."""
    low, high = min(0.0, float(value.min())), max(0.0, float(value.max()))
    if low == high:
        high = 1.0  # all are zero
    scale = _STEPS / (high - low)
    numbers = _round(value.astype(np.float64) * scale) - _round(np.float64(low * scale))
    return low, high, np.clip(numbers, 0, _STEPS).astype(np.uint8)


def _round(value: Any) -> Any:
    """Round halves away from zero, as C++ does; NumPy rounds them to even numbers."""
    return np.copysign(np.floor(np.abs(value) + 0.5), value)
