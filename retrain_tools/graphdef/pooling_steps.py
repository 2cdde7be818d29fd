"""The ops that make one place of many: pooling, reductions, flattening, a token that is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from retrain_tools.graphdef.constants import integers
from retrain_tools.graphdef.navigate import attribute, constant_node, full_name, node_name
from retrain_tools.graphdef.op_sets import PASS_THROUGH
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import shape_text

Nodes = Mapping[str, Any]
Shapes = Mapping[str, Shape | None]

_REDUCTIONS = {"Mean": "average", "Max": "maximum", "Sum": "sum"}  # math_ops.cc
_POOLS = {"AvgPool": "average", "MaxPool": "maximum", "MaxPoolV2": "maximum"}  # nn_ops.cc
_SLICES = ("StridedSlice", "Slice", "GatherV2")
_PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
# Between the weights of attention and the tokens that they weigh, and between tokens and values.
_SHAPING = (*PASS_THROUGH, "Reshape", "Transpose", "ExpandDims", "Squeeze", "Cast")
_FAR = 40  # more nodes than any layer of attention has in a row


class Step(NamedTuple):
    """What made a vector of a map.

    Attributes:
        pooling, how, before: as in `pooled.Pooled`.
    """

    pooling: str
    how: str
    before: str | None = None


def pooling_step(nodes: Nodes, shapes: Shapes, node: Any) -> Step | None:
    """Return what a node on the way to a vector makes of a map; None if it takes a vector."""
    if not node.input or node.input[0].startswith("^"):
        return None
    before = full_name(node.input[0])
    if node.op in _REDUCTIONS:
        return _reduction(nodes, shapes, node, before)
    if node.op in _POOLS:
        return _pool(shapes, node, before)
    if node.op == "Reshape":
        return _reshape(shapes, node, before)
    if node.op in _SLICES:
        return _slice(nodes, shapes, node, before)
    if node.op in _PRODUCTS:
        return _attention(nodes, shapes, node)
    return None


def sizes(shape: Shape | None) -> tuple[int | None, ...] | None:
    """Return the numbers of places: (h, w) of a map, (tokens,), () of a vector; None if unknown."""
    if shape is None or not 2 <= len(shape) <= 4:
        return None
    return tuple(shape[1:-1])


def _inner(shape: Shape | None) -> str:
    return "a map of unknown size" if shape is None else shape_text(shape[1:])


def _reduction(nodes: Nodes, shapes: Shapes, node: Any, before: str) -> Step | None:
    shape = shapes.get(before)
    axes = _numbers(nodes, node.input[1]) if len(node.input) > 1 else None
    rank = 4 if shape is None else len(shape)
    if axes is None:
        return None
    over = {axis % rank for axis in axes if -rank <= axis < rank}
    word = _REDUCTIONS[node.op]
    if rank == 4 and over in ({1, 2}, {2, 3}):
        return Step(word, f"global {word} of {_inner(shape)}", before)
    if word == "sum" and over == {1} and (weighed := _weighed(nodes, shapes, before)):
        return weighed
    if rank == 3 and over == {1}:
        return Step(word, f"{word} over the tokens of {_inner(shape)}", before)
    return None


def _pool(shapes: Shapes, node: Any, before: str) -> Step | None:
    shape, made = shapes.get(before), sizes(shapes.get(f"{node.name}:0"))
    word = _POOLS[node.op]
    is_first = attribute(node, "data_format").s == b"NCHW"
    window = tuple(attribute(node, "ksize").list.i)
    window = window[2:] if is_first else window[1:3]
    there: Shape | None = None
    if shape is not None and len(shape) == 4:
        there = shape[2:] if is_first else shape[1:3]
    if there == (1, 1):
        return None
    if there is not None and window == there:
        return Step(word, f"global {word} of {_inner(shape)}", before)
    of = f"{node.op} {' × '.join(map(str, window))} of {_inner(shape)}"
    whole = "the whole map" if there is None or None in there else "all that its window covers"
    return Step(word, f"{of}, {whole}", before) if made in (None, (1, 1)) or None in made else None


def _reshape(shapes: Shapes, node: Any, before: str) -> Step | None:
    shape, made = shapes.get(before), shapes.get(f"{node.name}:0")
    places = sizes(shape)
    if shape is None or places is None or made is None or len(made) >= len(shape):
        return None
    if len(made) != 2 or all(size == 1 for size in places) or shape[2:] == (1, 1):
        return None
    known = None not in shape[1:]
    if not known and made[1] is not None and made[1] == shape[-1]:
        return None  # one place, or there would be more values
    return Step("flatten", f"flattened from {_inner(shape)}", before)


def _slice(nodes: Nodes, shapes: Shapes, node: Any, before: str) -> Step | None:
    shape, made = shapes.get(before), shapes.get(f"{node.name}:0")
    places, left = sizes(shape), sizes(made)
    if places is None or left is None or len(places) != 1 or places == (1,):
        return None
    if left not in ((), (1,)):
        return None
    begin = _numbers(nodes, node.input[1])
    if begin is None:
        return None
    # A gather takes the number of the token, a slice where it begins along every axis.
    number = begin[0] if node.op == "GatherV2" or len(begin) == 1 else begin[1]
    called = {0: "the first token", -1: "the last token"}.get(number, f"token {number}")
    said = " (the class token)" if number == 0 else ""
    return Step("token", f"{called}{said} of {_inner(shape)}", before)


def _attention(nodes: Nodes, shapes: Shapes, node: Any) -> Step | None:
    """Return the step of a product of attention's weights and values, for one query."""
    inputs = [full_name(name) for name in node.input if not name.startswith("^")]
    if len(inputs) != 2:
        return None
    weights = [name for name in inputs if _is_softmax(nodes, name)]
    if len(weights) != 1:
        return None
    values = next(name for name in inputs if name != weights[0])
    tokens = _tokens(nodes, shapes, values)
    of = _inner(shapes.get(tokens)) if tokens else "tokens"
    return Step("attention", f"attention over the tokens of {of}", tokens or values)


def _weighed(nodes: Nodes, shapes: Shapes, tensor: str) -> Step | None:
    """Return the step of a sum of tokens that were multiplied by a softmax."""
    node = nodes[node_name(tensor)]
    if node.op != "Mul":
        return None
    inputs = [full_name(name) for name in node.input if not name.startswith("^")]
    values = [name for name in inputs if not _is_softmax(nodes, name)]
    if len(values) != 1:
        return None
    of = _inner(shapes.get(values[0]))
    return Step("attention", f"attention over the tokens of {of}", values[0])


def _is_softmax(nodes: Nodes, tensor: str) -> bool:
    node = nodes.get(node_name(tensor))
    for _ in range(_FAR):
        if node is None or node.op not in (*_SHAPING, "SelectV2", "Select") or not node.input:
            break
        node = nodes.get(node_name(node.input[0]))
    return node is not None and node.op == "Softmax"


def _tokens(nodes: Nodes, shapes: Shapes, tensor: str) -> str | None:
    """Return the tokens [N, tokens, channels] that the values of attention are made of."""
    for _ in range(_FAR):
        node = nodes.get(node_name(tensor))
        shape = shapes.get(tensor)
        if shape is not None and len(shape) == 3:
            return tensor
        if node is None or node.op not in (*_SHAPING, *_PRODUCTS, "Add", "AddV2", "BiasAdd"):
            return None
        before = next(
            (n for n in map(full_name, node.input) if constant_node(nodes, n) is None), None
        )
        if before is None:
            return None
        tensor = before
    return None


def _numbers(nodes: Nodes, name: str) -> tuple[int, ...] | None:
    """Return a constant of a few whole numbers; None for anything else."""
    constant = constant_node(nodes, name)
    value = None if constant is None else integers(attribute(constant, "value").tensor, 8)
    if value is None:
        return None
    return value if isinstance(value, tuple) else (value,)
