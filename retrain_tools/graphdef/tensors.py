"""The tensors of a graph: name, dtype, shape and op of each, without running anything."""

from __future__ import annotations

import dataclasses
from typing import Any

from retrain_tools.graphdef.navigate import full_name, node_name
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.quiet_tensorflow import tf

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One output of one node.

    Attributes:
        name: full tensor name, `node:0`.
        dtype: TensorFlow's name of the type, `float32`; `?` where it cannot be told.
        shape: the dimensions, None for an unknown one; None where even the rank is unknown.
        op: the type of the node.
    """

    name: str
    dtype: str
    shape: Shape | None
    op: str

    @property
    def shape_text(self) -> str:
        """The shape as people write it: `[1, ?, 2048]`, `[]`, or `unknown`."""
        if self.shape is None:
            return "unknown"
        return f"[{', '.join('?' if d is None else str(d) for d in self.shape)}]"


def list_tensors(graph_def: Any) -> list[Tensor]:
    """Return every tensor of the graph in file order, with the shapes TensorFlow can infer.

    A graph with an op that this TensorFlow does not have is still listed: dtypes then come from
    the nodes' own attributes and shapes from constants and placeholders.
    """
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.compat.v1.import_graph_def(light_copy(graph_def), name="")
    except (ValueError, tf.errors.OpError):
        return [_tensor_by_attributes(node) for node in graph_def.node]
    tensors = []
    for node in graph_def.node:
        for output in graph.get_operation_by_name(node.name).outputs:
            dims = None if output.shape.rank is None else tuple(output.shape.as_list())
            tensors.append(Tensor(output.name, output.dtype.name, dims, node.op))
    return tensors


def tensor_shapes(graph_def: Any) -> dict[str, Shape | None]:
    """Return the inferred shape of every tensor under its full name."""
    return {tensor.name: tensor.shape for tensor in list_tensors(graph_def)}


def _tensor_by_attributes(node: Any) -> Tensor:
    dtype = next((node.attr[key].type for key in ("dtype", "DstT", "T") if key in node.attr), 0)
    shape = None
    if node.op == "Const":
        shape = node.attr["value"].tensor.tensor_shape
    elif "shape" in node.attr and not node.attr["shape"].shape.unknown_rank:
        shape = node.attr["shape"].shape
    dims = None if shape is None else tuple(d.size if d.size >= 0 else None for d in shape.dim)
    return Tensor(f"{node.name}:0", tf.as_dtype(dtype).name if dtype else "?", dims, node.op)


def graph_inputs(graph_def: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Return what a caller may feed: placeholders, and constants that hold an encoded picture."""
    nodes = {node.name: node for node in graph_def.node}
    decoded = {
        node_name(n.input[0]) for n in graph_def.node if n.op.startswith("Decode") and n.input
    }

    def is_input(tensor: Tensor) -> bool:
        node = nodes[node_name(tensor.name)]
        return node.op in ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault") or (
            node.op == "Const" and node.name in decoded
        )

    return [tensor for tensor in tensors if is_input(tensor)]


def graph_outputs(graph_def: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Return the tensors that no node takes, of nodes that compute something."""
    taken = {
        full_name(name)
        for node in graph_def.node
        for name in node.input
        if not name.startswith("^")
    }
    not_results = ("Const", "Placeholder", "PlaceholderV2", "CheckNumerics", "Assert", "NoOp")
    return [t for t in tensors if t.name not in taken and t.op not in not_results]
