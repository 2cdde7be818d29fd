"""Which tensors of a classifier are worth caching, best first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name
from retrain_tools.graphdef.op_sets import (
    CONCATENATIONS,
    FLOAT_LAYERS,
    PASS_THROUGH,
    RESHAPES_AND_POOLINGS,
)
from retrain_tools.graphdef.purposes import before_dropout
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import Tensor, graph_outputs, list_tensors
from retrain_tools.graphdef.walks import downstream, successors

_PASS_THROUGH = (*PASS_THROUGH, "PlaceholderWithDefault")
_RESHAPING = (*_PASS_THROUGH, *RESHAPES_AND_POOLINGS)
# What makes classes or their probabilities of the last layer's output, and what leaves it as it is.
_OF_LOGITS = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK", "TopKV2")
_LINEAR = (*_PASS_THROUGH, "BiasAdd", "Add", "AddV2", "Reshape", "Squeeze", "ExpandDims")
_POOLINGS = ("Mean", "Max", "AvgPool", "MaxPool")
_LAYERS = (*FLOAT_LAYERS, *CONCATENATIONS)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A tensor worth caching.

    Attributes:
        tensor: full tensor name.
        shape: its inferred shape, if known.
        depth: values per image (after pooling, for a feature map), if known.
        why: what it is, for a reader.
    """

    tensor: str
    shape: Shape | None
    depth: int | None
    why: str


def bottleneck_candidates(
    graph_def: Any,
    pixel_input: str,
    known: str | None = None,
    why_known: str = "what the catalogue names for this network",
    shapes: Mapping[str, Shape | None] | None = None,
) -> list[Candidate]:
    """Return the tensors worth caching, best first; empty if nothing follows `pixel_input`.

    The classifier is the last layer before the output; its input is the bottleneck. What this
    was pooled or reshaped from comes next, and the classifier's own output last.

    Args:
        graph_def: the whole graph.
        pixel_input: the tensor that takes prepared pixels.
        known: the tensor that somebody named for this network, put first.
        why_known: who did.
        shapes: the shapes of the graph's tensors by full name, where they are known already.
    """
    nodes = nodes_by_name(graph_def)
    tensors = list_tensors(graph_def)
    if shapes is None:
        shapes = {tensor.name: tensor.shape for tensor in tensors}
    found: dict[str, str] = {}
    if known is not None:
        found[known] = why_known
    end = _end(graph_def, nodes, tensors, pixel_input)
    if end is not None:
        classifier, last, is_linear = _classifier(nodes, shapes, end, pixel_input)
        why_last = "the graph's output"
        if classifier is not None:
            name = _skip(nodes, _source(classifier), _PASS_THROUGH)
            dropped, name = name, _skip(nodes, before_dropout(nodes, name), _PASS_THROUGH)
            without = ", before dropout" if name != dropped else ""
            found.setdefault(name, f"what the last layer classifies{without}")
            for before in _chain(nodes, name):
                found.setdefault(before, "the same before pooling or reshaping")
            if is_linear:
                why_last = "the last layer's own output (logits)"
        found.setdefault(last, why_last)
    # A name may stand for what no node makes: in a note, or as an input in a damaged graph.
    there = [(name, why) for name, why in found.items() if name in shapes]
    return [
        Candidate(name, shape, shape[-1] if shape else None, why)
        for name, why in there
        for shape in [shapes[name]]
    ]


def _source(node: Any) -> str:
    """Return the first tensor that a node takes; empty if it takes none."""
    first = node.input[0] if len(node.input) else "^"
    return "" if first.startswith("^") else full_name(first)


def _skip(nodes: dict[str, Any], name: str, ops: tuple[str, ...]) -> str:
    """Follow first inputs upstream from the tensor `name` through nodes of these ops."""
    while nodes[node_name(name)].op in ops and (before := _source(nodes[node_name(name)])):
        name = before
    return name


def _chain(nodes: dict[str, Any], name: str) -> list[str]:
    """Return the distinct tensors upstream of `name` up to the feature map it was pooled from."""
    tensors = []
    node = nodes[node_name(name)]
    while node.op in _RESHAPING and (before := _source(node)):
        name = _skip(nodes, before, _PASS_THROUGH)
        node = nodes[node_name(name)]
        tensors.append(name)
    return tensors


def _end(
    graph_def: Any, nodes: dict[str, Any], tensors: Sequence[Tensor], pixel_input: str
) -> str | None:
    """Find the tensor that a graph ends in: its result; None if nothing follows the pixels."""
    depends = downstream(successors(graph_def), [pixel_input])
    results = [
        tensor.name
        for tensor in graph_outputs(graph_def, tensors)
        if node_name(tensor.name) in depends
        and node_name(tensor.name) != node_name(pixel_input)
        and tensor.name.endswith(":0")
    ]
    # The main output of a graph with several (auxiliary heads, debugging) is most often the last.
    softmaxes = [name for name in results if "Softmax" in _ops_before(nodes, name)]
    return next(reversed(softmaxes or results), None)


def _classifier(
    nodes: dict[str, Any], shapes: Mapping[str, Shape | None], end: str, pixel_input: str
) -> tuple[Any | None, str, bool]:
    """Find the last layer of a graph that ends in the tensor `end`.

    Returns:
        The layer, None if the graph ends in pooling; the last tensor before classes are made of its
        values; whether that has the layer's own values, shifted or reshaped.
    """
    last, is_linear = end, True
    name = end
    while name and node_name(name) != node_name(pixel_input):
        node = nodes[node_name(name)]
        if node.op in _OF_LOGITS and _source(node):
            last, is_linear = _source(node), True
        elif node.op == "MatMul" or (
            node.op == "Conv2D" and _is_vector(shapes.get(f"{node.name}:0"))
        ):
            return (node if _source(node) else None), last, is_linear
        elif node.op in _POOLINGS and len(shapes.get(_source(node)) or ()) == 4:
            break  # what comes before it makes the features, even of a map of one place
        elif node.op not in _LINEAR:
            is_linear = False
        if node.op in _LAYERS:
            break
        name = _source(node)
    return None, last, is_linear


def _ops_before(nodes: dict[str, Any], name: str) -> set[str]:
    """Return the ops on the path from `name` upstream to the first layer."""
    ops: set[str] = set()
    while name and (node := nodes[node_name(name)]).op not in _LAYERS:
        ops.add(node.op)
        name = _source(node)
    return ops


def _is_vector(shape: Shape | None) -> bool:
    """Tell whether a feature map is 1 × 1: a fully connected layer written as a convolution."""
    return shape is not None and len(shape) == 4 and shape[1] == shape[2] == 1
