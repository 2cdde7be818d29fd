"""Floating-point operations of the layers of a graph, for one image.

The convention is that of the papers with their figures doubled: one operation for each
multiplication and one for each addition of convolutions and matrix products, so two for each
"multiply-add"; biases, normalisation, activations, pooling and decoding are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrain_tools.graphdef.navigate import full_name
from retrain_tools.graphdef.op_sets import DEPTHWISE_CONVOLUTIONS, MATRIX_PRODUCTS
from retrain_tools.graphdef.shapes.call import Shape, times


def multiply_adds(node: Any, shapes: Mapping[str, Shape | None]) -> int | None:
    """Return the multiplications of a layer for one image; None where a size is not known.

    The first dimension of what a layer makes is that of the batch, whatever its size.

    Args:
        node: a node whose op is one of `op_sets.LAYERS`.
        shapes: the shapes of the graph's tensors by full name.
    """
    inputs = [shapes.get(full_name(i)) for i in node.input if not i.startswith("^")]
    made = shapes.get(f"{node.name}:0")
    if made is None or len(inputs) < 2:
        return None
    if node.op in MATRIX_PRODUCTS:
        return _of_product(node, inputs[0], made)
    kernel = inputs[1]
    if kernel is None or len(kernel) != 4:
        return None
    if node.op in DEPTHWISE_CONVOLUTIONS:
        return times(*made[1:], *kernel[:2])
    if node.op == "Conv2DBackpropInput":  # each input value meets each kernel
        taken = inputs[2] if len(inputs) > 2 else None
        return None if taken is None else times(*taken[1:], *kernel[:3])
    return times(*made[1:], *kernel[:3])


def _of_product(node: Any, left: Shape | None, made: Shape) -> int | None:
    if left is None or len(left) < 2:
        return None
    key = "transpose_a" if "transpose_a" in node.attr else "adj_x"
    is_turned = key in node.attr and node.attr[key].b
    return times(*made[1:], left[-2] if is_turned else left[-1])
