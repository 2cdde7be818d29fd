"""Applies a list of transforms to a graph, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.errors import InputError
from retrain_tools.graphdef.constants import UnreadableConstantError
from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name, tensor_name
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
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
class End:
    """A tensor that a graph is fed or gives, before and after transforms.

    Attributes:
        before: its full name in the graph before.
        after: its full name in the graph after.
    """

    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A graph after transforms.

    Attributes:
        graph_def: the GraphDef.
        inputs, outputs: the tensors that it is run by; `cut` may have chosen others than before.
        steps: what each transform did.
    """

    graph_def: Any
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    steps: tuple[Step, ...]


def apply_transforms(
    graph_def: Any, calls: Sequence[Call], inputs: Sequence[str], outputs: Sequence[str]
) -> Transformed:
    """Return a graph after transforms; it is not changed itself.

    Args:
        graph_def: the graph, a `schema.GraphDef`.
        calls: the transforms, see `parse_transforms`.
        inputs: the tensors that are fed, by names that the graph has.
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
    fed, fetched = (
        tuple(End(name, name) for name in map(full_name, names)) for names in (inputs, outputs)
    )
    renamed, steps = dict[str, str](), list[Step]()
    for call, function, is_ignored in zip(calls, functions, ignored, strict=True):
        keep = tuple(dict.fromkeys(node_name(end.after) for end in fetched))
        keywords = bound(call, function, _now(fed), _now(fetched))
        failure = None
        try:
            light, weights = function(light, weights, keep, **keywords)
        except InputError as error:
            if not is_ignored:
                raise InputError(f"{call.name}: {error}") from error
            failure = str(error)
        steps.append(Step(call, len(light.node), failure))
        if failure is not None:
            continue
        if call.name == "rename_node":
            old, new = keywords["old_node_name"], keywords["new_node_name"]
            renamed[new] = renamed.pop(old, old)
            fed, fetched = (tuple(_followed(e, old, new) for e in ends) for ends in (fed, fetched))
        elif call.name == "cut":
            fed, fetched = _after_cut(light, keywords, [*fed, *fetched], renamed)
    names = {node.name for node in light.node}
    fed = tuple(end for end in fed if node_name(end.after) in names)
    return Transformed(whole_graph(light, weights), fed, fetched, tuple(steps))


def _now(ends: Sequence[End]) -> list[str]:
    return [end.after for end in ends]


def _followed(end: End, old: str, new: str) -> End:
    if node_name(end.after) != old:
        return end
    return End(end.before, new + end.after.removeprefix(old))


def _after_cut(
    light: Any, keywords: Mapping[str, Any], known: Sequence[End], renamed: Mapping[str, str]
) -> tuple[tuple[End, ...], tuple[End, ...]]:
    """Return the inputs and outputs of a graph that was cut between others than before."""
    before = {end.after: end.before for end in known}
    nodes = nodes_by_name(light)

    def end(tensor: str, after: str) -> End:
        node = node_name(tensor)
        own = renamed.get(node, node) + tensor.removeprefix(node)
        return End(before.get(tensor, own), after)

    def placeholder(tensor: str) -> str:
        node, _, output = tensor.partition(":")  # see `cut`
        is_it = output == "0" and node in nodes and nodes[node].op in PLACEHOLDERS
        return tensor if is_it else f"{node}_{output}:0"

    fed, fetched = (list(map(tensor_name, keywords[key])) for key in ("inputs", "outputs"))
    return (
        tuple(end(tensor, placeholder(tensor)) for tensor in fed),
        tuple(end(tensor, tensor) for tensor in fetched),
    )
