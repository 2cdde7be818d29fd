"""Values of small integer tensors: the shapes, axes and sizes that other shapes depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.constants import integers
from retrain_tools.graphdef.dtypes import INT32, INT64
from retrain_tools.graphdef.navigate import full_name, node_name
from retrain_tools.graphdef.shapes.call import Shape, Value, times

# A shape has a few dimensions, and paddings two numbers for each of them.
_MOST_NUMBERS = 256
# A shape is worked out in a handful of steps; nothing may go as deep as Python's stack.
_MOST_STEPS = 50


class Values:
    """Works out values when a rule asks, and remembers them.

    Args:
        nodes: the graph's nodes by name.
        shapes: the shapes of each node's outputs, as far as they are known yet.
    """

    def __init__(self, nodes: Mapping[str, Any], shapes: Mapping[str, list[Shape | None]]) -> None:
        self._nodes = nodes
        self._shapes = shapes
        self._known: dict[str, Value | None] = {}

    def of(self, tensor: str, steps: int = _MOST_STEPS) -> Value | None:
        """Return an integer or nested tuples of them, None for what is not known."""
        name = full_name(tensor)
        if name not in self._known and steps:
            self._known[name] = self._work_out(name, steps - 1)
        return self._known.get(name)

    def _work_out(self, tensor: str, steps: int) -> Value | None:
        node = self._nodes.get(node_name(tensor))
        if node is None or not tensor.endswith(":0"):
            return None
        if node.op == "Const":
            return (
                integers(node.attr["value"].tensor, _MOST_NUMBERS) if "value" in node.attr else None
            )
        inputs = [name for name in node.input if not name.startswith("^")]
        if not inputs:
            return None
        if node.op in ("Shape", "Rank", "Size"):
            return self._of_shape(node.op, inputs[0])
        if node.op == "StridedSlice" and not self._are_constants(inputs[1:]):
            return None
        if node.op in _FOLLOWED:
            found = [self.of(name, steps) for name in inputs]
            return _FOLLOWED[node.op](node, found)
        return None

    def _are_constants(self, tensors: Sequence[str]) -> bool:
        """Tell whether bounds are constants themselves: TensorFlow looks no further for them."""
        nodes = (self._nodes.get(node_name(tensor)) for tensor in tensors)
        return all(node is not None and node.op == "Const" for node in nodes)

    def _of_shape(self, op: str, tensor: str) -> Value | None:
        outputs = self._shapes.get(node_name(tensor), [])
        index = int(full_name(tensor).rpartition(":")[2])
        shape = outputs[index] if index < len(outputs) else None
        if shape is None:
            return None
        if op == "Shape":
            return shape
        if op == "Rank":
            return len(shape)
        return times(*shape)


def _same(_: Any, inputs: list[Value | None]) -> Value | None:
    return inputs[0]


def _cast(node: Any, inputs: list[Value | None]) -> Value | None:
    kinds = {node.attr[key].type for key in ("SrcT", "DstT") if key in node.attr}
    return inputs[0] if kinds <= {INT32, INT64} else None


def _pack(node: Any, inputs: list[Value | None]) -> Value | None:
    is_integer = "T" in node.attr and node.attr["T"].type in (INT32, INT64)
    if not is_integer or ("axis" in node.attr and node.attr["axis"].i):
        return None
    return None if any(isinstance(item, tuple) for item in inputs) else tuple(inputs)


def _concat(_: Any, inputs: list[Value | None]) -> Value | None:
    parts, axis = inputs[:-1], inputs[-1]
    if axis != 0 or not all(isinstance(part, tuple) for part in parts):
        return None
    return tuple(item for part in parts for item in part)  # type: ignore[union-attr]


def _strided_slice(node: Any, inputs: list[Value | None]) -> Value | None:
    """One number or a slice of a vector, as `tf.shape(x)[0]` and `[1:]` are written."""
    masks = {
        key: node.attr[f"{key}_mask"].i if f"{key}_mask" in node.attr else 0
        for key in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    vector, *bounds = inputs
    if not isinstance(vector, tuple) or masks["ellipsis"] or masks["new_axis"]:
        return None
    if not all(isinstance(b, tuple) and len(b) == 1 and b[0] is not None for b in bounds):
        return None
    begin, end, step = (bound[0] for bound in bounds)  # type: ignore[index]
    if masks["shrink_axis"]:
        if masks["begin"] or masks["end"]:  # nobody writes that, and TensorFlow follows it no more
            return None
        return vector[begin] if -len(vector) <= begin < len(vector) else None
    start = None if masks["begin"] else begin
    return vector[slice(start, None if masks["end"] else end, step)] if step else None


_FOLLOWED = {
    "Identity": _same,
    "StopGradient": _same,
    "Cast": _cast,
    "Pack": _pack,
    "ConcatV2": _concat,
    "StridedSlice": _strided_slice,
}
