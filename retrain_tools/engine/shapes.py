"""Shapes as TensorFlow itself infers them, for running graphs and for `--shapes=infer`."""

from __future__ import annotations

import re
from typing import Any

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.build import new_node
from retrain_tools.graphdef.dtypes import UNKNOWN, dtype_number
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.safety.running import unsafe_nodes

_UNREGISTERED = re.compile("Op type not registered '([^']+)'")  # TensorFlow's words


def infer_tensors(graph_def: Any) -> list[Tensor]:
    """Return every tensor of the graph in file order, with the shapes TensorFlow infers.

    What TensorFlow does not tell, because it lacks an op or refuses the whole graph, is as
    `list_tensors` has it.
    """
    own: dict[str, list[Tensor]] = {}
    for tensor in list_tensors(graph_def):
        own.setdefault(tensor.name.rpartition(":")[0], []).append(tensor)
    graph = _import_without_unknown_ops(light_copy(graph_def), own)
    tensors = []
    for node in graph_def.node:
        operation = None if graph is None else graph.get_operation_by_name(node.name)
        if operation is None or (operation.type != node.op and node.op != "Const"):
            tensors += own.get(node.name, [])
            continue
        for output in operation.outputs:
            dims = None if output.shape.rank is None else tuple(output.shape.as_list())
            tensors.append(Tensor(output.name, output.dtype.name, dims, node.op))
    return tensors


def tensor_shapes(graph_def: Any) -> dict[str, Shape | None]:
    """Return the shape that TensorFlow infers of every tensor under its full name."""
    return {tensor.name: tensor.shape for tensor in infer_tensors(graph_def)}


def tensor_shape(graph_def: Any, tensor: str) -> Shape | None:
    """Return the shape that TensorFlow infers of one tensor; by our own rules where they tell it.

    They give the same shapes or none, and take no TensorFlow.
    """
    for own in list_tensors(graph_def):
        if own.name == tensor and own.shape is not None:
            return own.shape
    return tensor_shapes(graph_def).get(tensor)


def _import_without_unknown_ops(light: Any, own: dict[str, list[Tensor]]) -> Any | None:
    """Return a light graph as a tf.Graph, unknown ops replaced; None if TensorFlow refuses it.

    So are ops that do more than compute: TensorFlow runs parts of a graph to learn their shapes.
    """
    for name in (unsafe := unsafe_nodes(light)):
        if len(own.get(name, ())) > 1 or any(t.dtype == UNKNOWN for t in own.get(name, ())):
            return None
    for node in light.node if unsafe else ():
        if node.name in unsafe:
            made = own.get(node.name)
            new = new_node(node.name, "NoOp")
            if made:
                new = new_node(node.name, "Placeholder", dtype=dtype_number(made[0].dtype))
            node.CopyFrom(new)
    while True:
        graph = tf.Graph()
        try:
            with graph.as_default():
                import_light(light, {})
        except (ValueError, tf.errors.OpError) as error:
            unknown = _UNREGISTERED.search(str(error))
            nodes = [node for node in light.node if unknown and node.op == unknown[1]]
            dtypes = [own[node.name][0].dtype for node in nodes]
            if not nodes or UNKNOWN in dtypes:
                return None
            for node, dtype in zip(nodes, dtypes, strict=True):
                node.CopyFrom(new_node(node.name, "Placeholder", dtype=dtype_number(dtype)))
        else:
            return graph
