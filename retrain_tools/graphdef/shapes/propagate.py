"""The shapes of a whole graph: each node's rule, in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retrain_tools.graphdef.navigate import node_name
from retrain_tools.graphdef.shapes import arrays, elementwise, layers
from retrain_tools.graphdef.shapes.call import Call, NoShapeError, Shape, merge, shape_in
from retrain_tools.graphdef.shapes.values import Values
from retrain_tools.graphdef.toposort import topological_order

_RULES = {**elementwise.RULES, **layers.RULES, **arrays.RULES}

# Before this GraphDef version, the shape [] of a placeholder means "unknown".
_FIRST_VERSION_WITH_SCALARS = 24


def propagate_shapes(graph_def: Any, outputs: Mapping[str, int]) -> dict[str, list[Shape | None]]:
    """Return the shape of each output of each node, None where it is unknown.

    Shapes are those that TensorFlow infers on importing the graph, or better known where the file
    carries `_output_shapes`; where no rule applies, they are unknown.

    Args:
        graph_def: the graph or a view of it; every input must be a node.
        outputs: how many outputs each node has.

    Raises:
        CycleError: the nodes form a cycle.
    """
    try:
        return _one_by_one(graph_def, graph_def.node, outputs, [])
    except _NotInOrderError:
        nodes = {node.name: node for node in graph_def.node}
        # What comes back from the end of a while loop's body is not known at its beginning.
        loops = [name for name, node in nodes.items() if node.op == "NextIteration"]
        order = topological_order(
            {
                name: [s for s in map(node_name, node.input) if s not in loops]
                for name, node in nodes.items()
            }
        )
        return _one_by_one(graph_def, [nodes[name] for name in order], outputs, loops)


class _NotInOrderError(Exception):
    """A node stands before one of its inputs in the file."""


def _one_by_one(
    graph_def: Any, turns: Iterable[Any], outputs: Mapping[str, int], unknown: Iterable[str]
) -> dict[str, list[Shape | None]]:
    """Work out one node after the other; each must come after its inputs.

    The nodes `unknown` may also come later: their shapes count as unknown until then.
    """
    shapes: dict[str, list[Shape | None]] = {name: [None] * outputs[name] for name in unknown}
    nodes: dict[str, Any] = {}
    values = Values(nodes, shapes)
    old = graph_def.versions.producer < _FIRST_VERSION_WITH_SCALARS
    for node in turns:
        name, op = node.name, node.op
        count = outputs[name]
        nodes[name] = node
        if op == "Const" and count == 1:
            shapes[name] = [arrays.constant(node)]
            continue
        found: Shape | list[Shape | None] | None = None
        if op == "Placeholder":
            found = _placeholder(node, old)
        else:
            taken: list[Shape | None] = []
            for source in node.input:
                if first := shapes.get(source):  # as most are written: without their number
                    taken.append(first[0])
                elif source[:1] != "^":
                    taken.append(_input_shape(shapes, source))
            if op in _RULES and count:
                found = _apply(_RULES[op], Call(node, taken, values.of, count))
        made = found if isinstance(found, list) else [found]
        if len(made) != count:
            made = [*made, *[None] * count][:count]
        if "_output_shapes" in node.attr:
            made = _with_stated_shapes(node, made)
        shapes[name] = made
    return shapes


def _input_shape(shapes: Mapping[str, list[Shape | None]], tensor: str) -> Shape | None:
    name, _, index = tensor.partition(":")
    if name not in shapes:
        raise _NotInOrderError
    place = int(index) if index.isdecimal() else 0
    return shapes[name][place] if place < len(shapes[name]) else None


def _placeholder(node: Any, old: bool) -> Shape | None:
    shape = shape_in(node.attr["shape"].shape) if "shape" in node.attr else None
    return None if old and shape == () else shape


def _apply(rule: Any, call: Call) -> Shape | list[Shape | None] | None:
    try:
        return rule(call)
    except (NoShapeError, LookupError, TypeError, ValueError, ArithmeticError):
        # A damaged node has fewer inputs, or other values, than its op takes; it has no shape.
        return None


def _with_stated_shapes(node: Any, made: list[Shape | None]) -> list[Shape | None]:
    """Add the file's own `_output_shapes` of a node unless they contradict the rules."""
    said = [shape_in(proto) for proto in node.attr["_output_shapes"].list.shape]
    if len(said) != len(made):
        return made
    try:
        return list(map(merge, made, said))
    except NoShapeError:
        return made
