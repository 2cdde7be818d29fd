"""The tensors of a graph: name, dtype, shape and op of each, without running anything."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.navigate import attribute, full_name, node_name
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.quiet_tensorflow import tf

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_WITHOUT_RESULT = ("NoOp", "Assert")
_UNREGISTERED = re.compile("Op type not registered '([^']+)'")  # TensorFlow's words

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

    A graph with an op that this TensorFlow does not have is still listed: what such an op makes
    has the dtype of its own attributes and an unknown shape. If TensorFlow refuses the graph even
    so, all dtypes come from attributes, and shapes from constants and placeholders.
    """
    graph = _import_without_unknown_ops(light_copy(graph_def))
    tensors = []
    for node in graph_def.node:
        operation = None if graph is None else graph.get_operation_by_name(node.name)
        if operation is None or (operation.type != node.op and node.op != "Const"):
            tensors += _tensors_by_attributes(node, graph_def.versions.producer)
            continue
        for output in operation.outputs:
            dims = None if output.shape.rank is None else tuple(output.shape.as_list())
            tensors.append(Tensor(output.name, output.dtype.name, dims, node.op))
    return tensors


def _import_without_unknown_ops(light: Any) -> Any | None:
    """Return a light graph as a tf.Graph, unknown ops replaced; None if TensorFlow refuses it."""
    while True:
        graph = tf.Graph()
        try:
            with graph.as_default():
                tf.compat.v1.import_graph_def(light, name="")
        except (ValueError, tf.errors.OpError) as error:
            unknown = _UNREGISTERED.search(str(error))
            nodes = [node for node in light.node if unknown and node.op == unknown[1]]
            if not nodes or not all(_dtype_by_attributes(node) for node in nodes):
                return None
            for node in nodes:
                dtype = _dtype_by_attributes(node)
                node.CopyFrom(new_node(node.name, "Placeholder", dtype=dtype))
        else:
            return graph


def tensor_shapes(graph_def: Any) -> dict[str, Shape | None]:
    """Return the inferred shape of every tensor under its full name."""
    return {tensor.name: tensor.shape for tensor in list_tensors(graph_def)}


def _dtype_by_attributes(node: Any) -> Any | None:
    number = next((node.attr[key].type for key in ("dtype", "DstT", "T") if key in node.attr), 0)
    try:
        return tf.as_dtype(number)
    except TypeError:  # not said, or a type that this TensorFlow does not have
        return None


def _tensors_by_attributes(node: Any, producer: int) -> list[Tensor]:
    if node.op in _WITHOUT_RESULT:
        return []
    dtype, shape = _dtype_by_attributes(node), None
    if node.op == "Const":
        shape = attribute(node, "value").tensor.tensor_shape
    elif node.op in _PLACEHOLDERS and (attribute(node, "shape").shape.dim or producer >= 24):
        # Before GraphDef version 24, the shape [] of a placeholder means "unknown".
        shape = attribute(node, "shape").shape
    dims = None
    if shape is not None and not shape.unknown_rank:
        dims = tuple(d.size if d.size >= 0 else None for d in shape.dim)
    return [Tensor(f"{node.name}:0", dtype.name if dtype else "?", dims, node.op)]


def graph_inputs(graph_def: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Return what a caller may feed: placeholders, and constants that hold an encoded picture."""
    nodes = {node.name: node for node in graph_def.node}
    decoded = {
        node_name(n.input[0]) for n in graph_def.node if n.op.startswith("Decode") and n.input
    }

    def is_input(tensor: Tensor) -> bool:
        node = nodes[node_name(tensor.name)]
        return node.op in _PLACEHOLDERS or (node.op == "Const" and node.name in decoded)

    return [tensor for tensor in tensors if is_input(tensor)]


def graph_outputs(graph_def: Any, tensors: list[Tensor]) -> list[Tensor]:
    """Return the tensors that no node takes, of nodes that compute something."""
    taken = {
        full_name(name)
        for node in graph_def.node
        for name in node.input
        if not name.startswith("^")
    }
    not_results = ("Const", "Placeholder", "PlaceholderV2", "CheckNumerics")
    return [t for t in tensors if t.name not in taken and t.op not in not_results]
