"""Keeps TensorFlow from computing something else than a frozen graph's layer normalizations."""

from __future__ import annotations

from typing import Any

from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import node_name, nodes_by_name


def keep_layer_norms(graph_def: Any) -> None:
    """Hold layer normalizations together that TensorFlow would replace wrongly; changes the graph.

    On CPUs, TensorFlow's optimizer (Grappler's remapper, in 2.18 to 2.21) takes
    `x * scale + (beta - mean * scale)` with a constant gamma in `scale` for a normalization over
    the last axis. Over others it gives other numbers, and in float64 an error. Variables hide
    gamma from it, so only frozen graphs have this. It leaves alone what has control edges: here
    the subtraction waits for the product, which changes no value.

    A gamma of one axis is what it was made for; that stays as fast as it is.
    """
    nodes = nodes_by_name(graph_def)

    def made_by(source: str) -> Any:
        node = nodes[node_name(source)]
        while node.op == "Identity":
            node = nodes[node_name(node.input[0])]
        return node

    for node in graph_def.node:
        if node.op not in ("Add", "AddV2"):
            continue
        for product, difference in ((0, 1), (1, 0)):
            scaled = nodes[node_name(node.input[product])]
            moved = nodes[node_name(node.input[difference])]
            if scaled.op != "Mul" or moved.op != "Sub" or len(moved.input) != 2:
                continue
            mean = nodes[node_name(moved.input[1])]
            shared = {*map(node_name, scaled.input)}.intersection(map(node_name, mean.input))
            scales = [nodes[name] for name in shared if nodes[name].op == "Mul"]
            parts = [part for scale in scales for part in map(made_by, scale.input)]
            if mean.op != "Mul" or not any(part.op == "Rsqrt" for part in parts):
                continue
            if not any(map(_is_of_one_axis, parts)):
                moved.input.append(f"^{scaled.name}")


def _is_of_one_axis(node: Any) -> bool:
    if node.op != "Const":
        return False
    tensor = node.attr["value"].tensor
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return tensor.dtype == FLOAT32 and len(shape) == 1 and shape[0] > 1
