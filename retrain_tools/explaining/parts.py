"""Which parts of a network two sets of features differ in, as far as the features can tell."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.explanation import Runnable
from retrain_tools.explaining.finishing import flat, spread_of
from retrain_tools.graphdef.navigate import full_name, node_name, nodes_by_name
from retrain_tools.graphdef.op_sets import CONCATENATIONS, PASS_THROUGH, RESHAPES_AND_POOLINGS
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.view import view_of

Floats = npt.NDArray[np.float32]

_SAME = 1e-3  # of the spread, left where a part is the same
_FEWEST_IMAGES = 8  # for correlations


class Part(NamedTuple):
    """A part of the features: what one input of the last concatenation gives.

    Attributes:
        tensor: that input.
        channels: how many of the features are its.
        left: their mean absolute difference, in parts of their spread.
        correlation: the mean of their correlations.
    """

    tensor: str
    channels: int
    left: float
    correlation: float


def parts_of(runnable: Runnable, mine: Floats, other: Floats) -> list[Part]:
    """Return the parts that features are concatenated of, the most different first.

    Empty where they are not, or where features are not one value for each channel.

    Args:
        runnable: the side that `mine` was made by.
        mine: float32 [N, depth].
        other: float32 [N, depth] of the same images.
    """
    if mine.ndim != 2 or mine.shape != other.shape or len(mine) < _FEWEST_IMAGES:
        return []
    graph = view_of(runnable.frozen.graph_def)
    nodes = nodes_by_name(graph)
    inputs = _concatenated(nodes, runnable.tensor)
    shapes = {tensor.name: tensor.shape for tensor in list_tensors(graph)}
    depths = [(shapes.get(name) or (None,))[-1] for name in inputs]
    counts = [depth for depth in depths if depth is not None]
    if not inputs or len(counts) != len(inputs) or sum(counts) != mine.shape[1]:
        return []
    ends = np.cumsum(counts)[:-1]
    pairs = zip(np.split(flat(mine), ends, 1), np.split(flat(other), ends, 1), strict=True)
    found = [
        Part(name, count, _left(one, two), _correlation(one, two))
        for name, count, (one, two) in zip(inputs, counts, pairs, strict=True)
    ]
    return sorted(found, key=lambda part: part.correlation)


def about_parts(parts: list[Part]) -> tuple[str, ...]:
    """Return what the parts say of where two networks begin to differ, and what they do not."""
    if not parts:
        return ("From which layer on they differ, the features do not tell.",)
    same = [part for part in parts if part.left < _SAME]
    differ = [part for part in parts if part.left >= _SAME]
    worst, best = parts[0], parts[-1]
    if same and differ:
        names = ", ".join(part.tensor for part in differ)
        return (
            f"They differ only in what {names} gives to the features; the rest is the same, and so "
            "is what all of it is computed from.",
        )
    return (
        f"All {len(parts)} parts that the features are joined of differ, so the networks differ "
        f"in the input of that block already, or in each of its branches. {worst.tensor} differs "
        f"most (correlation {worst.correlation:.2f}), {best.tensor} least "
        f"({best.correlation:.2f}).",
        "Which layer before that is the last that is the same, the features alone do not tell.",
    )


def _concatenated(nodes: dict[str, Any], tensor: str) -> list[str]:
    """Return the inputs of the concatenation that a tensor was pooled or reshaped from."""
    node = nodes.get(node_name(tensor))
    while node is not None and node.op in (*PASS_THROUGH, *RESHAPES_AND_POOLINGS):
        node = nodes.get(node_name(node.input[0]))
    if node is None or node.op not in CONCATENATIONS:
        return []
    inputs = node.input[1:] if node.op == "Concat" else node.input[:-1]  # the axis is first, last
    return [full_name(name) for name in inputs]


def _left(one: Floats, two: Floats) -> float:
    spread = spread_of(two)
    return float(np.abs(one - two).mean()) / spread if spread > 0 else float("inf")


def _correlation(one: Floats, two: Floats) -> float:
    a, b = one - one.mean(0), two - two.mean(0)
    norms = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    moves = norms > 0
    return float(((a * b).sum(0)[moves] / norms[moves]).mean()) if moves.any() else 0.0
