"""Which tensors of a classifier are worth caching, best first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name
from retrain_tools.graphdef.op_sets import (
    CONCATENATIONS,
    FLOAT_LAYERS,
    NO_RESULTS,
    PASS_THROUGH,
    RESHAPES_AND_POOLINGS,
)
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import consumers_by_tensor, list_tensors
from retrain_tools.graphdef.walks import downstream, successors

_PASS_THROUGH = (*PASS_THROUGH, "PlaceholderWithDefault")
_RESHAPING = (*_PASS_THROUGH, *RESHAPES_AND_POOLINGS)
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
    if shapes is None:
        shapes = {tensor.name: tensor.shape for tensor in list_tensors(graph_def)}
    found: dict[str, str] = {}
    if known is not None:
        found[known] = why_known
    classifier, logits = _classifier(graph_def, nodes, shapes, pixel_input)
    if classifier is not None:
        name = _skip(nodes, classifier.input[0], _PASS_THROUGH)
        found.setdefault(name, "what the last layer classifies")
        for before in _chain(nodes, name):
            found.setdefault(before, "the same before pooling or reshaping")
        if logits is not None:
            found.setdefault(logits, "the last layer's own output (logits)")
    elif logits is not None:
        found.setdefault(logits, "the graph's output")
    shaped = [(name, shapes.get(name), why) for name, why in found.items()]
    return [
        Candidate(name, shape, shape[-1] if shape else None, why) for name, shape, why in shaped
    ]


def _skip(nodes: dict[str, Any], name: str, ops: tuple[str, ...]) -> str:
    """Follow first inputs upstream from the tensor `name` through nodes of these ops."""
    while nodes[node_name(name)].op in ops and nodes[node_name(name)].input:
        name = nodes[node_name(name)].input[0]
    return full_name(name)


def _chain(nodes: dict[str, Any], name: str) -> list[str]:
    """Return the distinct tensors upstream of `name` up to the feature map it was pooled from."""
    tensors = []
    node = nodes[node_name(name)]
    while node.op in _RESHAPING and node.input:
        name = _skip(nodes, node.input[0], _PASS_THROUGH)
        node = nodes[node_name(name)]
        tensors.append(name)
    return tensors


def _classifier(
    graph_def: Any, nodes: dict[str, Any], shapes: Mapping[str, Shape | None], pixel_input: str
) -> tuple[Any | None, str | None]:
    """Find the last layer (None if the graph ends in pooling) and the tensor that it ends in."""
    used = set(map(node_name, consumers_by_tensor(graph_def)))
    depends = downstream(successors(graph_def), [pixel_input])
    results = [
        node.name
        for node in graph_def.node
        if node.name not in used
        and node.op not in NO_RESULTS
        and node.name in depends
        and node.name != node_name(pixel_input)
    ]
    if not results:
        return None, None
    # The main output of a graph with several (auxiliary heads, debugging) is most often the last.
    softmaxes = [name for name in results if "Softmax" in _ops_before(nodes, name)]
    name = (softmaxes or results)[-1]
    logits = full_name(name)
    while node_name(name) != node_name(pixel_input):
        node = nodes[node_name(name)]
        if node.op == "Softmax":
            logits = full_name(node.input[0])
        if node.op == "MatMul" or (
            node.op == "Conv2D" and _is_vector(shapes.get(f"{node.name}:0"))
        ):
            return node, logits
        if node.op in _LAYERS or not node.input:
            break
        name = node.input[0]
    return None, logits


def _ops_before(nodes: dict[str, Any], name: str) -> set[str]:
    """Return the ops on the path from `name` upstream to the first layer."""
    ops = set()
    while nodes[node_name(name)].op not in _LAYERS and nodes[node_name(name)].input:
        ops.add(nodes[node_name(name)].op)
        name = nodes[node_name(name)].input[0]
    return ops


def _is_vector(shape: Shape | None) -> bool:
    """Tell whether a feature map is 1 × 1: a fully connected layer written as a convolution."""
    return shape is not None and len(shape) == 4 and shape[1] == shape[2] == 1
