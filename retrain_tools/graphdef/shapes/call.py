"""A node as shape rules see it: what is known of its inputs, and its attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.constants import dims_in

Dim = int | None
Shape = tuple[Dim, ...]
"""The dimensions of a tensor, None for one that is not known."""

Value = Any
"""An integer or nested tuples of integers, None for one that is not known."""

Rule = Callable[["Call"], "Shape | list[Shape | None] | None"]
"""The shape of a node's only output, or those of all its outputs; None is unknown."""


class NoShapeError(Exception):
    """The shape is not known: an input is not known well enough, or does not fit the op."""


@dataclasses.dataclass(slots=True)
class Call:
    """A node, and what is known of its inputs.

    Attributes:
        node: the NodeDef.
        inputs: the shape of each data input, None where not even the rank is known.
        value_of: gives the value of the tensor of this name; see `values.Values.of`.
        outputs: how many tensors the node makes.
    """

    node: Any
    inputs: Sequence[Shape | None]
    value_of: Callable[[str], Value | None]
    outputs: int

    def any_shape(self, index: int) -> Shape | None:
        """Return the shape of an input, None where not even its rank is known."""
        if index >= len(self.inputs):
            raise NoShapeError
        return self.inputs[index]

    def shape(self, index: int) -> Shape:
        """Return the shape of an input whose rank must be known."""
        found = self.any_shape(index)
        if found is None:
            raise NoShapeError
        return found

    def of_rank(self, index: int, rank: int) -> Shape:
        """Return the shape of an input that the op takes in no other rank."""
        found = self.any_shape(index)
        if found is None:
            return (None,) * rank
        if len(found) != rank:
            raise NoShapeError
        return found

    def is_known(self, index: int) -> bool:
        """Tell whether anything is known of the value of an input of integers."""
        return index < len(self.inputs) and self.value_of(self.node.input[index]) is not None

    def value(self, index: int) -> Value:
        """Return the value of an input of integers, which must be known at least in part."""
        found = self.value_of(self.node.input[index]) if index < len(self.inputs) else None
        if found is None:
            raise NoShapeError
        return found

    def number(self, index: int) -> int:
        """Return the value of an input that is one integer."""
        found = self.value(index)
        if not isinstance(found, int):
            raise NoShapeError
        return found

    def vector(self, index: int) -> tuple[Dim, ...]:
        """Return the value of an input that is a vector of integers."""
        found = self.value(index)
        if not isinstance(found, tuple) or any(isinstance(item, tuple) for item in found):
            raise NoShapeError
        return found

    def known_vector(self, index: int) -> tuple[int, ...]:
        """Return the value of an input that is a vector of integers, all of them known."""
        found = self.vector(index)
        known = tuple(item for item in found if item is not None)
        if len(known) != len(found):
            raise NoShapeError
        return known

    def ints(self, key: str) -> list[int]:
        """Return an attribute that is a list of integers; empty if it is missing."""
        said = self.node.attr.get(key)
        return [] if said is None else said.list.i[:]

    def integer(self, key: str, default: int = 0) -> int:
        """Return an attribute that is an integer."""
        said = self.node.attr.get(key)
        return default if said is None else int(said.i)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return an attribute that is a truth value."""
        said = self.node.attr.get(key)
        return default if said is None else bool(said.b)

    def text(self, key: str, default: str = "") -> str:
        """Return an attribute that is a string."""
        said = self.node.attr.get(key)
        return default if said is None else said.s.decode() or default


def shape_in(proto: Any) -> Shape | None:
    """Return the shape in a TensorShapeProto; None for an unknown rank."""
    dims = dims_in(proto)
    if dims is None or not dims or min(dims) >= 0:
        return dims
    return tuple([size if size >= 0 else None for size in dims])


def merge_dims(one: Dim, other: Dim) -> Dim:
    """Return the dimension that agrees with both; None if neither is known."""
    if one is not None and other is not None and one != other:
        raise NoShapeError
    return other if one is None else one


def merge(one: Shape | None, other: Shape | None) -> Shape | None:
    """Return the shape that agrees with both, as far as either is known."""
    if one is None or other is None:
        return other if one is None else one
    if len(one) != len(other):
        raise NoShapeError
    return tuple(map(merge_dims, one, other))


def times(*dims: Dim) -> Dim:
    """Return the product; None where a factor is not known."""
    product = 1
    for dim in dims:
        if dim is None:
            return None
        product *= dim
    return product


def axis_in(rank: int, axis: int) -> int:
    """Return a non-negative axis for one that may count from the end."""
    if not -rank <= axis < rank:
        raise NoShapeError
    return axis % rank


def checked(dims: Sequence[Dim]) -> Shape:
    """Return dimensions as a shape; none may be negative."""
    if any(dim is not None and dim < 0 for dim in dims):
        raise NoShapeError
    return tuple(dims)


def with_range(rule: Rule) -> Rule:
    """Return the rule of the quantized op: the result of `rule`, its minimum and its maximum."""

    def quantized(call: Call) -> list[Shape | None]:
        result = rule(call)
        return [None if isinstance(result, list) else result, (), ()]

    return quantized


def mapping(rule: Rule, *ops: str) -> Mapping[str, Rule]:
    """Return one rule for several ops, by op."""
    return dict.fromkeys(ops, rule)
