"""The tensors of a graph: name, dtype, shape and op of each, without TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrain_tools.graphdef import ops
from retrain_tools.graphdef.dtypes import UNKNOWN, dtype_name, item_size
from retrain_tools.graphdef.navigate import (
    full_name,
    is_variable_read,
    node_name,
    nodes_by_name,
    nodes_by_op,
)
from retrain_tools.graphdef.op_sets import CHECKS_OF_NUMBERS, NO_RESULTS, PLACEHOLDERS, VARIABLES
from retrain_tools.graphdef.shapes.call import (
    Shape as Shape,  # where others take it from
    times,
)
from retrain_tools.graphdef.shapes.propagate import propagate_shapes
from retrain_tools.graphdef.training_parts import training_parts
from retrain_tools.graphdef.view import once_for_a_view, view_of
from retrain_tools.graphdef.walks import successors


class Tensor(NamedTuple):
    """One output of one node.

    Attributes:
        name: full tensor name, `node:0`.
        dtype: TensorFlow's name of the type, `float32`; `?` where it cannot be told.
        shape: the dimensions, None for an unknown one; None where even the rank is unknown.
        op: the type of the node.

    A tuple, and not a dataclass, because a graph may have a hundred thousand of them.
    """

    name: str
    dtype: str
    shape: Shape | None
    op: str

    @property
    def shape_text(self) -> str:
        """The shape as people write it: `[1, ?, 2048]`, `[]`, or `unknown`."""
        return shape_text(self.shape)

    @property
    def bytes(self) -> int | None:
        """What the tensor takes in memory; None where its shape or type do not say."""
        return None if self.shape is None else times(*self.shape, item_size(self.dtype))


@functools.lru_cache(maxsize=4096)  # a graph has many tensors and few shapes
def shape_text(shape: Shape | None) -> str:
    """Return a shape as people write it: `[1, ?, 2048]`, `[]`, or `unknown`."""
    if shape is None:
        return "unknown"
    return f"[{', '.join('?' if d is None else str(d) for d in shape)}]"


def list_tensors(graph_def: Any) -> list[Tensor]:
    """Return every tensor of the graph in file order.

    Shapes are those of the file, and what follows from them by exact rules (`graphdef.shapes`). A
    graph with an op that TensorFlow does not have is listed all the same: the outputs of such an op
    have the dtype of its own attributes and an unknown shape.

    Args:
        graph_def: the graph or a view of it; every input must be a node.
    """
    graph = view_of(graph_def)
    dtypes = _dtypes(graph)
    shapes = propagate_shapes(graph, {name: len(made) for name, made in dtypes.items()})
    tensors = []
    for node in graph.node:
        name, op = node.name, node.op
        made = dtypes[name]
        if len(made) == 1:  # as nearly all are
            tensors.append(Tensor(f"{name}:0", made[0], shapes[name][0], op))
            continue
        for index, (dtype, shape) in enumerate(zip(made, shapes[name], strict=True)):
            tensors.append(Tensor(f"{name}:{index}", dtype, shape, op))
    return tensors


def _dtypes(graph_def: Any) -> dict[str, list[str]]:
    """Return the types of each node's outputs."""
    known = {**ops.registry(), **ops.functions(graph_def)}
    outputs: dict[str, Sequence[ops.Output] | None] = {}
    found = {}
    for node in graph_def.node:
        op = node.op
        if op not in outputs:
            outputs[op] = ops.outputs(known[op]) if op in known else None
        forms = outputs[op]
        if forms and len(forms) == 1 and forms[0].is_plain:  # as nearly all are
            said = node.attr.get(forms[0].type_attr)
            if said is not None and (name := dtype_name(said.type)) != UNKNOWN:
                found[node.name] = [name]
                continue
        made = None if forms is None else ops.output_dtypes(node, forms)
        if made is None:
            made = [UNKNOWN] * _outputs_seen(graph_def, node)
        if UNKNOWN in made:  # an op that is not known, or an old graph that leaves attributes out
            by_attributes = _dtype_by_attributes(node)
            made = [by_attributes if dtype == UNKNOWN else dtype for dtype in made]
        found[node.name] = made
    return found


def _outputs_seen(graph_def: Any, node: Any) -> int:
    """Return how many outputs a node of an op that is not known has, as far as the graph shows."""
    said = [len(getattr(node.attr[key].list, field)) for key, field in _SAID if key in node.attr]
    taken = _most_taken(graph_def).get(node.name, 0) + 1
    return max(1, *said, taken if taken <= ops.MOST_OUTPUTS else 1)


# What TensorFlow, and the converter of TensorFlow Lite, note of a node's outputs.
_SAID = (("_output_shapes", "shape"), ("_output_types", "type"))


@once_for_a_view
def _most_taken(graph_def: Any) -> dict[str, int]:
    """Return the highest number of an output that any node takes, by the name of its node."""
    found: dict[str, int] = {}
    for tensor in consumers_by_tensor(graph_def):
        name, _, number = tensor.partition(":")
        if number.isdecimal():
            found[name] = max(found.get(name, 0), int(number))
    return found


def _dtype_by_attributes(node: Any) -> str:
    keys = (key for key in ("dtype", "DstT", "T") if key in node.attr)
    return dtype_name(next((node.attr[key].type for key in keys), 0))


@once_for_a_view
def consumers_by_tensor(graph_def: Any) -> dict[str, list[str]]:
    """Return the nodes that take each tensor as an input, under its full name."""
    found: dict[str, list[str]] = {}
    for node in graph_def.node:
        consumer = node.name
        for name in node.input:
            if name[:1] == "^":
                continue
            if ":" not in name:
                name = f"{name}:0"
            consumers = found.get(name)
            if consumers is None:
                found[name] = [consumer]
            elif consumers[-1] != consumer:  # it may have the same tensor as two inputs
                consumers.append(consumer)
    return found


def graph_inputs(graph_def: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return what a caller may feed: placeholders, and constants that hold an encoded image.

    What a placeholder of a training graph is for is in `training_parts`; those that take the names
    of checkpoints are left out.
    """
    parts = training_parts(graph_def)
    by_op = nodes_by_op(graph_def)
    decoders = [node for op in by_op if op.startswith("Decode") for node in by_op[op]]
    decoded = {node_name(node.input[0]) for node in decoders if node.input}

    def is_input(tensor: Tensor) -> bool:
        if tensor.op == "Const":
            return bool(decoded) and node_name(tensor.name) in decoded
        is_for_saving = bool(parts) and parts.get(node_name(tensor.name)) == "saving"
        return tensor.op in PLACEHOLDERS and not is_for_saving

    return [tensor for tensor in tensors if is_input(tensor)]


def graph_outputs(graph_def: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the results: what nodes compute and no other node goes on with.

    Nodes that only serve training (`training_parts`) make no results, and what only they look at
    is one. Of a node with several outputs, none is a result because of them.
    """
    consumed = consumers_by_tensor(graph_def)
    parts = training_parts(graph_def)
    nodes = nodes_by_name(graph_def)
    not_results = {*NO_RESULTS, "Placeholder", "PlaceholderV2", *(VARIABLES if parts else ())}
    goes_on = _taken_by_others(graph_def, parts) if parts else set()

    def is_result(tensor: Tensor) -> bool:
        users = consumed.get(tensor.name, ())
        if tensor.op in not_results or (users and not parts):
            return False
        name = node_name(tensor.name)
        if name in parts or (users and name in goes_on):
            return False
        if tensor.op in CHECKS_OF_NUMBERS and _is_beside(graph_def, nodes[name]):
            return False
        return not (parts and is_variable_read(nodes, name))

    return [tensor for tensor in tensors if is_result(tensor)]


def _taken_by_others(graph_def: Any, parts: Mapping[str, str]) -> set[str]:
    """Return the nodes of which something is taken by a node that is in no part."""
    consumed = consumers_by_tensor(graph_def)
    return {
        node_name(tensor)
        for tensor, users in consumed.items()
        if any(user not in parts for user in users)
    }


def _is_beside(graph_def: Any, check: Any) -> bool:
    """Tell whether a check of numbers only lets others wait, or checks what also goes elsewhere."""
    checked = full_name(check.input[0]) if check.input else ""
    if len(consumers_by_tensor(graph_def).get(checked, ())) > 1:
        return True
    return bool(successors(graph_def).get(check.name))
