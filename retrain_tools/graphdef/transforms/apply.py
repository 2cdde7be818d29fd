"""Applies a list of transforms to a graph, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.constants import UnreadableConstantError
from retrain_tools.graphdef.navigate import full_name, node_name
from retrain_tools.graphdef.transforms.arguments import bound, ignores_errors
from retrain_tools.graphdef.transforms.parse import Call
from retrain_tools.graphdef.transforms.registry import transform_named
from retrain_tools.graphdef.weights import large_constants, light_copy, whole_graph


@dataclasses.dataclass(frozen=True)
class Step:
    """What one transform did.

    Attributes:
        call: the transform.
        nodes: how many nodes the graph had after it.
        failure: why it changed nothing, where it failed and `ignore_errors` is true; else None.
    """

    call: Call
    nodes: int
    failure: str | None = None


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A graph after transforms.

    Attributes:
        graph_def: the GraphDef.
        inputs, outputs: full names of the tensors that it is run by, in the order of those before.
        steps: what each transform did.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]


def apply_transforms(
    graph_def: Any, calls: Sequence[Call], inputs: Sequence[str], outputs: Sequence[str]
) -> Transformed:
    """Return a graph after transforms; it is not changed itself.

    Args:
        graph_def: the graph, a `schema.GraphDef`.
        calls: the transforms, see `parse_transforms`.
        inputs: the tensors that are fed, by full names that the graph has.
        outputs: the tensors that are fetched: their values and names stay.

    Raises:
        InputError: there is no such transform, or it does not take what it is given, which is
            looked at before any of them starts; or one fails.
    """
    functions = [transform_named(call.name) for call in calls]
    ignored = [ignores_errors(call) for call in calls]
    for call, function in zip(calls, functions, strict=True):
        bound(call, function, inputs, outputs)
    try:
        light, weights = light_copy(graph_def), large_constants(graph_def)
    except UnreadableConstantError as error:
        raise InputError(f"A constant of the graph cannot be read: {error}.") from error
    inputs, outputs = tuple(map(full_name, inputs)), tuple(map(full_name, outputs))
    steps = []
    for call, function, is_ignored in zip(calls, functions, ignored, strict=True):
        keep = tuple(dict.fromkeys(map(node_name, outputs)))
        failure = None
        try:
            keywords = bound(call, function, inputs, outputs)
            light, weights = function(light, weights, keep, **keywords)
        except InputError as error:
            if not is_ignored:
                raise InputError(f"{call.name}: {error}") from error
            failure = str(error)
        else:
            if call.name == "rename_node":
                inputs, outputs = (_followed(names, keywords) for names in (inputs, outputs))
        steps.append(Step(call, len(light.node), failure))
    return Transformed(whole_graph(light, weights), inputs, outputs, tuple(steps))


def _followed(names: Sequence[str], renamed: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tensors that the graph is run by after rename_node with these arguments."""
    old, new = renamed["old_node_name"], renamed["new_node_name"]
    return tuple(new + name.removeprefix(old) if node_name(name) == old else name for name in names)
