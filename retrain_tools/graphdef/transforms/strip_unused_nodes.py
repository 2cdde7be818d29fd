"""Leaves of a graph what lies between its inputs and its outputs.

1. What the nodes to be kept are computed from stays, control inputs included, as far back as the
   inputs, which stay too.
2. An input that is no placeholder becomes one, of its own name, type and shape; so does one that
   has a default, if a type is said. Where it makes several tensors and others than the first are
   used, it cannot: the transform `cut` is for that.
3. `type` and `shape` are those of all inputs. `name`, with `type_for_name` and `shape_for_name`,
   each as often as it, says them of one input; they count for more.
4. Functions that no node calls any more go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.graphdef.build import new_node, shape_proto
from retrain_tools.graphdef.called_functions import remove_unused_functions
from retrain_tools.graphdef.dtypes import UNKNOWN, dtype_number
from retrain_tools.graphdef.navigate import (
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    upstream,
)
from retrain_tools.graphdef.note import move_note
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.tensors import Tensor, consumers_by_tensor, list_tensors
from retrain_tools.graphdef.transforms.typed_text import shape_of_text, type_number
from retrain_tools.graphdef.weights import Weights


def strip_unused_nodes(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),
    *,
    inputs: Sequence[str] = (),
    type: str | None = None,  # noqa: A002 - the Graph Transform Tool's name
    shape: str | None = None,
    name: Sequence[str] = (),
    type_for_name: Sequence[str] = (),
    shape_for_name: Sequence[str] = (),
) -> tuple[Any, Weights]:
    """Leave what lies between the inputs and the outputs; inputs become placeholders.

    Args:
        light: the graph.
        weights: its weights.
        keep: the nodes whose values must stay.
        inputs: the tensors that are fed.
        type: the inputs' type, as `float`; None for each one's own.
        shape: their shape, as `1,299,299,3`; None for each one's own.
        name: inputs that have another.
        type_for_name: the type of each of those.
        shape_for_name: the shape of each of those.

    Raises:
        InputError: nothing is to be kept; or an input cannot be a placeholder of such a kind.
    """
    if not keep:
        raise InputError("Nothing would be left: say what is fetched, with --outputs.")
    nodes = nodes_by_name(light)
    ends = list(dict.fromkeys(map(node_name, inputs)))
    types = {
        **({} if type is None else dict.fromkeys(ends, type_number(type))),
        **dict(_by_name("type_for_name", name, map(type_number, type_for_name), ends)),
    }
    shapes = {
        **({} if shape is None else dict.fromkeys(ends, shape_of_text(shape))),
        **dict(_by_name("shape_for_name", name, map(shape_of_text, shape_for_name), ends)),
    }
    made = {end for end in ends if _is_replaced(nodes[end], weights, types)}
    stop = {end for end in ends if end in made or not nodes[end].input}
    wanted = upstream(nodes, [*keep, *ends], stop)
    result = copy_nodes(light, lambda node: node.name in wanted)
    used, by_name = consumers_by_tensor(result), nodes_by_name(result)
    tensors = {tensor.name: tensor for tensor in list_tensors(light)} if made else {}
    for end in ends:
        if end in made:
            _check_single(by_name[end], used)
            _make_placeholder(by_name[end], tensors[f"{end}:0"], types.get(end))
        elif end in types:
            by_name[end].attr["dtype"].type = types[end]
        if end in shapes:
            by_name[end].attr["shape"].shape.CopyFrom(shape_proto(shapes[end]))
    left = {key: array for key, array in weights.items() if key in wanted and key not in made}
    return remove_unused_functions(result), left


def _is_replaced(node: Any, weights: Weights, types: Mapping[str, int]) -> bool:
    if node.op not in PLACEHOLDERS or node.name in weights:
        return True
    return node.op == "PlaceholderWithDefault" and node.name in types


def _by_name(
    argument: str, names: Sequence[str], values: Any, inputs: Sequence[str]
) -> list[tuple[str, Any]]:
    """Return what was said of each input that has a type or shape of its own."""
    given = list(values)
    if not given:
        return []
    if len(given) != len(names):
        raise InputError(
            f"name is given {len(names)} times and {argument} {len(given)} times: each input needs "
            "one of both."
        )
    for name in map(node_name, names):
        if name not in inputs:
            raise InputError(
                f"{name!r} is none of the inputs.{did_you_mean(name, inputs)} There are: "
                f"{', '.join(inputs) or 'none'}."
            )
    return list(zip(map(node_name, names), given, strict=True))


def _check_single(node: Any, used: Mapping[str, Any]) -> None:
    others = [t for t in used if node_name(t) == node.name and full_name(t) != f"{node.name}:0"]
    if others:
        raise InputError(
            f"The input {node.name!r} ({node.op}) makes several tensors, and {others[0]!r} is used "
            "as well, so that no placeholder can take its place; the transform cut makes one for "
            "each tensor."
        )


def _make_placeholder(node: Any, tensor: Tensor, type_said: int | None) -> None:
    number = dtype_number(tensor.dtype.removesuffix("_ref")) if type_said is None else type_said
    if number is None or (tensor.dtype == UNKNOWN and type_said is None):
        raise InputError(f"The type of {tensor.name!r} is not known: say it, with type=float.")
    placeholder = new_node(node.name, "Placeholder", dtype=number, shape=tensor.shape)
    placeholder.device = node.device
    move_note(node, placeholder)
    node.CopyFrom(placeholder)
