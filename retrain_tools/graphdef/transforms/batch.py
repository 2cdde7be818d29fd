"""Opens the shapes that a graph hard-coded for one image, so that it takes batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.infer import tensor_shapes
from retrain_tools.graphdef.navigate import (
    constant_value,
    copy_nodes,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)


def make_batchable(graph_def: Any, entrance: str) -> Any:
    """Return the graph with every Reshape to [1, …] behind `entrance` turned into [-1, …].

    `pool_3/_reshape/shape` = [1, 2048] of the 2015 graph is the known case. Where the target also
    holds a -1 ([1, -1], a flattening), that dimension is taken from the inferred shapes; if it is
    not known, the Reshape stays as it is. The target gets a constant of its own: the old one may
    serve other nodes.

    Args:
        graph_def: the graph; it is not changed.
        entrance: the tensor that takes the batch.
    """
    result = copy_nodes(graph_def, lambda _: True)
    nodes = nodes_by_name(result)
    fixed = [node for node in result.node if _fixes_one(node, nodes, entrance)]
    if not fixed:
        return result
    shapes = tensor_shapes(_with_batch_of_one(graph_def, entrance))
    for node in fixed:
        known = shapes.get(f"{node.name}:0")
        if known is None or None in known[1:]:
            continue
        name = unique_name(f"{node.name}/batch_shape", nodes)
        constant = new_constant(name, np.array([-1, *known[1:]], np.int32))
        result.node.append(constant)
        nodes[name] = constant
        node.input[1] = name
        node.attr.pop("Tshape", None)  # int32 is the default
    return result


def _fixes_one(node: Any, nodes: dict[str, Any], entrance: str) -> bool:
    if node.op != "Reshape" or node_name(entrance) not in upstream(nodes, [node.name]):
        return False
    target = constant_value(nodes, node.input[1])
    return target is not None and target.ndim == 1 and target.size > 1 and target[0] == 1


def _with_batch_of_one(graph_def: Any, entrance: str) -> Any:
    """Return the graph with the entrance's batch dimension set to 1, to infer the other shapes."""
    result = copy_nodes(graph_def, lambda _: True)
    for node in result.node:
        if node.name == node_name(entrance):
            node.attr["shape"].shape.dim[0].size = 1
    return result
