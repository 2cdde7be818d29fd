"""Opens the shapes that a graph hard-coded for one image, so that it takes batches.

1. A Reshape is looked at if it depends on the pixel input and its target is a constant [1, …] of
   more than one dimension. `pool_3/_reshape/shape` = [1, 2048] of the 2015 graph is the known case.
2. What it makes of one image gives the other dimensions, so also those that the target leaves open
   ([1, -1], a flattening). If one of them is not known, the Reshape stays as it is.
3. It gets a constant [-1, …] of its own as its target: the old one may serve other nodes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.navigate import (
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.weights import Weights


def make_batchable(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),  # noqa: ARG001 - as every transform
    *,
    pixel_input: str,
) -> tuple[Any, Weights]:
    """Open every Reshape that is hard-coded for a batch of one; see the module.

    `pixel_input` is the tensor that takes the batch; its shape is known. The weights stay as they
    are, and so do all values for one image, whatever `keep` names.
    """
    result = copy_nodes(light, lambda _: True)
    nodes = nodes_by_name(result)
    start = node_name(pixel_input)
    fixed = [node for node in result.node if _fixes_one(node, nodes, start)]
    if not fixed:
        return result, weights
    of_one = copy_nodes(light, lambda _: True)
    nodes_by_name(of_one)[start].attr["shape"].shape.dim[0].size = 1
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(of_one)}
    for node in fixed:
        shape = shapes[f"{node.name}:0"]
        if shape is None or None in shape[1:]:
            continue
        name = unique_name(f"{node.name}/batch_shape", nodes)
        nodes[name] = new_constant(name, np.array([-1, *shape[1:]], np.int32))
        result.node.append(nodes[name])
        node.input[1] = name
        node.attr.pop("Tshape", None)  # int32 is the default
    return result, weights


def _fixes_one(node: Any, nodes: dict[str, Any], start: str) -> bool:
    if node.op != "Reshape" or start not in upstream(nodes, [node.name]):
        return False
    target = constant_value(nodes, node.input[1])
    return target is not None and target.ndim == 1 and target.size > 1 and target[0] == 1
