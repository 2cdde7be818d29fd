"""The last part of a network, from some tensors to another: what enters it and what can be trained.

1. The tail are the nodes that are computed from the tensor `start` and that `end` is computed from.
2. What enters it are `start` and every other tensor of an image that a node of it takes: the other
   branches of a network, a shortcut around the tensor. Constants do not enter, they belong to it.
3. Trained are its float32 constants that are kernels, matrices, biases, or that scale or shift
   channels (`_TRAINED`). Single numbers are not, nor means and variances of batch norms, nor what
   the part before it takes as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import fill_constant, new_node
from retrain_tools.graphdef.dtypes import FLOAT32
from retrain_tools.graphdef.navigate import (
    constant_value,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    reached,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import (
    DEPTHWISE_CONVOLUTIONS,
    FUSED_BATCH_NORMS,
    MATRIX_PRODUCTS,
    OLD_BATCH_NORM,
)
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.walks import consumers, downstream
from retrain_tools.graphdef.weights import Weights, stand_in

# Of each op, the inputs that hold what is learnt (nn_ops.cc, math_ops.cc).
_TRAINED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv2D", "Conv3D", *DEPTHWISE_CONVOLUTIONS), (1,)),
    **dict.fromkeys(("Conv2DBackpropInput", "Conv3DBackpropInputV2", "BiasAdd"), (1,)),
    **dict.fromkeys(FUSED_BATCH_NORMS, (1, 2)),
    OLD_BATCH_NORM: (3, 4),
    **dict.fromkeys((*MATRIX_PRODUCTS, "Einsum", "Add", "AddV2", "Sub", "Mul"), (0, 1)),
}


@dataclasses.dataclass(frozen=True)
class Tail:
    """The last part of a network, as a light graph.

    Attributes:
        light: its nodes; in place of each tensor that enters stands a placeholder [None, …].
        weights: its large constants, and all that are trained, by the name of their node.
        trained: the names of those that are trained, in the order of the graph.
        entrances: the full name of each tensor that enters, by the name of its placeholder.
        end: the full name of the tensor that it gives.
    """

    light: Any
    weights: Weights
    trained: list[str]
    entrances: Mapping[str, str]
    end: str


def entrances(graph_def: Any, spec: GraphSpec, start: str, end: str) -> list[str]:
    """Return the full names of the tensors that enter the part from `start` to `end`, it first.

    Raises:
        InputError: `start` is not between the pixels of an image and `end`.
    """
    pixels = node_name(spec.pixel_input)
    of_images = _after(graph_def, pixels)
    before_end = upstream(nodes_by_name(graph_def), [end]) - {node_name(end)}
    if node_name(start) not in of_images & before_end:
        raise InputError(
            f"{argument('fine_tune_from')}={start!r} has to lie between {spec.pixel_input!r}, "
            f"where images enter the network, and the bottleneck {end!r}; what comes after it is "
            "trained."
        )
    inside = _after(graph_def, start) & upstream(nodes_by_name(graph_def), [end])
    enters = [
        full_name(name)
        for node in graph_def.node
        if node.name in inside
        for name in _data_inputs(node)
        if node_name(name) in (of_images | {pixels}) - inside
    ]
    return list(dict.fromkeys([full_name(start), *enters]))


def cut_tail(light: Any, weights: Weights, entering: Sequence[str], end: str, where: str) -> Tail:
    """Cut the tail out of a planned body, in which `entering` (see `entrances`) and `end` are kept.

    Neither is changed. `where` is the graph's file, for messages.

    Raises:
        InputError: there is nothing to train in it, or something enters it that is no float32.
    """
    nodes = nodes_by_name(light)
    before = upstream(nodes, entering)
    inside = _after(light, entering[0]) & upstream(nodes, [end])
    gates = set(map(node_name, entering))
    needed = reached(inside, lambda name: _data_inputs(nodes[name]), gates)
    constants = needed - inside - gates
    part = copy_nodes(light, lambda node: node.name in inside | constants)
    places = {name: unique_name(f"{node_name(name)}/entering", nodes) for name in entering}
    for node in part.node:
        node.input[:] = [places.get(full_name(name), name) for name in _data_inputs(node)]
    own = {name: value for name, value in weights.items() if name in constants}
    trained = _hold_trained(part, own, constants - before)
    if not trained:
        raise InputError(
            f"{argument('fine_tune_from')}={entering[0]!r}: there is nothing to train between it "
            f"and the bottleneck {end!r} of {where}; choose a tensor before a layer."
        )
    part.node.extend(_placeholders(light, places, where))
    return Tail(part, own, trained, {place: name for name, place in places.items()}, end)


def with_tail(graph_def: Any, tail: Tail, trained: Weights) -> Any:
    """Return the graph up to the tail's end, with the tail as it is in `tail` and these constants.

    What comes before the tail is as it was. Of the tail's weights, those in `trained` are new.
    """
    before = upstream(nodes_by_name(graph_def), tail.entrances.values())
    result = copy_nodes(graph_def, lambda node: node.name in before)
    weights = tail.weights | trained
    for node in tail.light.node:
        if node.name in before or node.name in tail.entrances:
            continue
        added = result.node.add()
        if node.name in weights:
            fill_constant(added, node.name, weights[node.name])
            continue
        added.CopyFrom(node)
        inputs = [tail.entrances.get(name, name) for name in node.input]
        added.input[:] = [name.removesuffix(":0") for name in inputs]
    return result


def _after(graph_def: Any, tensor: str) -> set[str]:
    """Return the names of the nodes that are computed from a tensor."""
    return downstream(consumers(graph_def), [tensor]) - {node_name(tensor)}


def _data_inputs(node: Any) -> list[str]:
    return [name for name in node.input if not name.startswith("^")]


def _hold_trained(part: Any, weights: Weights, own: Collection[str]) -> list[str]:
    """Return the names of the constants in `own` that are trained, and put them among `weights`."""
    nodes, found = nodes_by_name(part), dict[str, None]()
    for node in part.node:
        for name in (node.input[i] for i in _TRAINED.get(node.op, ()) if i < len(node.input)):
            held = node_name(name)
            value = constant_value(nodes, held, weights) if held in own else None
            if value is not None and value.dtype == np.float32 and value.size > 1:
                weights[held], found[held] = value, None
    for name in found:
        nodes[name].CopyFrom(stand_in(name, weights[name]))
    return list(found)


def _placeholders(light: Any, places: Mapping[str, str], where: str) -> list[Any]:
    shapes = {tensor.name: tensor for tensor in list_tensors(light)}
    made = []
    for name, place in places.items():
        known = shapes[name]
        if known.dtype != "float32":
            raise InputError(
                f"{name!r} of {where} enters the part to be tuned, and is {known.dtype}, not "
                f"float32; choose another tensor as {argument('fine_tune_from')}."
            )
        shape = known.shape and (None, *known.shape[1:])
        made.append(new_node(place, "Placeholder", dtype=FLOAT32, shape=shape))
    return made
