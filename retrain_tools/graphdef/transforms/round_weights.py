"""Rounds weights to a few values each, so that the file takes less room once it is compressed.

The Graph Transform Tool's transform of this name, with its values.

1. Looked at are float32 constants of at least 16 elements, all of them finite.
2. The range from the smallest to the largest is cut into `num_steps` intervals of one length; each
   element becomes the middle of its interval. The largest lies at the end of the last one, and
   becomes the middle of one more.
3. Constants that hold one value only stay as they are. (The tool moved them by half an interval.)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import attribute, constant_value, copy_nodes, nodes_by_name
from retrain_tools.graphdef.weights import LARGEST_VALUE_KEPT, Weights

_FEWEST_ELEMENTS = LARGEST_VALUE_KEPT  # 16: one that is as long is held in the light graph itself


def round_weights(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    num_steps: int = 256,
) -> tuple[Any, Weights]:
    """Round each weight array to `num_steps` values, for a file that compresses well; lossy.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes that must stay; all do.
        num_steps: how many values are left of each array, 1 or more.

    Returns:
        The same nodes, with float32 constants of the same shapes.

    Raises:
        InputError: `num_steps` is below 1.

    Example:
        >>> import numpy as np
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> _, rounded = round_weights(GraphDef(), {"w": np.arange(32, dtype="f")}, num_steps=4)
        >>> len(np.unique(rounded["w"][:-1]))
        4
    """
    if num_steps < 1:
        raise InputError(
            f"{argument('num_steps')}={num_steps} must be 1 or more: it is how many values are "
            "left of each constant; 256 is common."
        )
    result = copy_nodes(light, lambda _: True)
    nodes = nodes_by_name(result)
    for node in result.node:
        if node.op == "Const" and attribute(node, "dtype").type == FLOAT32:
            value = constant_value(nodes, node.name)
            if value is not None and value.size >= _FEWEST_ELEMENTS:
                rounded = new_constant(node.name, _rounded(value, num_steps))
                node.attr["value"].CopyFrom(rounded.attr["value"])
    return result, {name: _rounded(value, num_steps) for name, value in weights.items()}


def _rounded(value: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    if value.dtype != np.float32:
        return value
    low, high = value.min(), value.max()
    with np.errstate(over="ignore"):  # a range beyond float32 is left alone below
        length = np.float32(np.float32(high - low) / np.float32(steps))
    if not length or not np.isfinite(length):
        return value
    number = np.floor((value - low) / length)
    return low + length * (number + np.float32(0.5))
