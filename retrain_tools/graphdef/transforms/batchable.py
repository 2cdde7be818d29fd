"""Lifts a batch of one that is hard-wired in a graph, so that it takes any number of images.

1. The first dimension of each input becomes open. An input that is no placeholder becomes one, and
   what only it was computed from goes.
2. Arithmetic on constants is done first, as `fold_constants` does it, because targets of Reshapes
   are often computed.
3. Every Reshape to a constant [1, …] behind an input is opened (`batch.make_batchable`).
4. A Squeeze of the batch gets the axes that it has for one image, the first left out: for one image
   it gives [1, …] then. A Slice of the whole batch of one becomes one of the whole batch.
5. Wherever the first dimension was open and still becomes 1 on the way to the outputs, the graph
   cannot be lifted, and that node is named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from retrain_tools.errors import InputError, argument
from retrain_tools.graphdef.build import new_constant
from retrain_tools.graphdef.navigate import (
    attribute,
    check_made,
    constant_value,
    copy_nodes,
    full_name,
    node_name,
    nodes_by_name,
    unique_name,
    upstream,
)
from retrain_tools.graphdef.op_sets import PLACEHOLDERS
from retrain_tools.graphdef.shapes.call import Shape
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.transforms.batch import make_batchable
from retrain_tools.graphdef.transforms.cut import cut
from retrain_tools.graphdef.transforms.fold_constants import fold_constants
from retrain_tools.graphdef.transforms.freed import drop_freed
from retrain_tools.graphdef.walks import downstream, successors
from retrain_tools.graphdef.weights import Weights

Shapes = Mapping[str, Shape | None]


def batchable(
    light: Any,
    weights: Weights,
    keep: Collection[str] = (),
    *,
    inputs: Sequence[str],
) -> tuple[Any, Weights]:
    """Lift a hard-wired batch of one, so that the inputs take any number of images.

    Args:
        light: the light graph; it is not changed.
        weights: its weights.
        keep: names of nodes whose values must stay; the outputs.
        inputs: the tensors that take the batch, pixels of shape [1, …] or [None, …].

    Returns:
        The light graph and its weights; of one image, the values are the same.

    Raises:
        InputError: no input is named, one takes an encoded image or has no first dimension, or
            a node keeps the batch at one.

    Example:
        >>> from retrain_tools.graphdef.build import new_node
        >>> from retrain_tools.graphdef.schema import GraphDef
        >>> x = new_node("x", "Placeholder", dtype=1, shape=(1, 4))
        >>> light, _ = batchable(GraphDef(node=[x]), {}, ["x"], inputs=["x"])
        >>> [dim.size for dim in light.node[0].attr["shape"].shape.dim]
        [-1, 4]
    """
    nodes = nodes_by_name(light)
    if not inputs:
        raise InputError(f"{argument('inputs')} names no tensor: say which one takes the pixels.")
    starts = [check_made(name, nodes, "the graph") for name in inputs]
    tensors = {tensor.name: tensor for tensor in list_tensors(light)}
    for start in starts:
        _check_input(start, tensors[start])
    result, weights = _opened(light, weights, keep, starts)
    starts = [start for start in starts if node_name(start) in nodes_by_name(result)]
    result, weights = fold_constants(result, weights, [*keep, *map(node_name, starts)])
    for start in starts:
        result, weights = make_batchable(result, weights, keep, pixel_input=start)
    of_one = _shapes(result, starts, 1)
    result, freed = _with_open_nodes(result, starts, of_one)
    _check_batch(result, starts)
    return drop_freed(result, weights, freed, keep)


def _check_input(name: str, tensor: Any) -> None:
    if tensor.dtype == "string":
        raise InputError(
            f"{name!r} takes one encoded image, and images of several sizes are no batch: name the "
            f"tensor behind the resizing in {argument('inputs')}, as 'Mul' of the graph of 2015."
        )
    if tensor.shape == () or tensor.shape is None:
        has = "is a single value" if tensor.shape == () else "has an unknown number of dimensions"
        raise InputError(f"{name!r} {has}: name a tensor [1, …] in {argument('inputs')}.")
    if tensor.shape[0] not in (None, 1):
        raise InputError(
            f"{name!r} {tensor.shape_text} has a first dimension of {tensor.shape[0]}, and what "
            "is hard-wired to that cannot be told from other sizes: only a batch of one is lifted."
        )


def _opened(
    light: Any, weights: Weights, keep: Collection[str], starts: Sequence[str]
) -> tuple[Any, Weights]:
    """Return the graph with placeholders of an open first dimension in place of the inputs."""
    nodes = nodes_by_name(light)
    ends = list(keep) or [n.name for n in light.node if n.op not in ("Const", "NoOp")]
    made = [s for s in starts if nodes[node_name(s)].op not in PLACEHOLDERS]
    for start in made:
        if not start.endswith(":0"):
            raise InputError(
                f"{start!r} is not the first output of its node: use the transform cut before, "
                "which makes a placeholder for it."
            )
    if made:
        light, weights = _cut_at(light, weights, ends, made)
    result = copy_nodes(light, lambda _: True)
    for name in map(node_name, starts):
        shape = nodes_by_name(result)[name].attr["shape"].shape
        shape.dim[0].size = -1
    return result, weights


def _cut_at(
    light: Any, weights: Weights, ends: Sequence[str], starts: Sequence[str]
) -> tuple[Any, Weights]:
    """Cut at the inputs that are no placeholders; what else is fed stays as it is."""
    nodes = nodes_by_name(light)
    names = {node_name(start) for start in starts}
    needed = upstream(nodes, [*ends, *names], stop=names)
    fed = [
        f"{name}:0"
        for name in needed
        if nodes[name].op in PLACEHOLDERS and name not in weights and name not in names
    ]
    after = downstream(successors(light), starts)
    wanted = [end for end in ends if end in after and node_name(end) not in names]
    used = upstream(nodes, wanted, stop=names)
    given = [*starts, *(name for name in sorted(fed) if node_name(name) in used)]
    return cut(light, weights, inputs=given, outputs=wanted)


def _shapes(light: Any, starts: Sequence[str], batch: int) -> Shapes:
    """Return the shapes of all tensors for a batch of that size."""
    sized = copy_nodes(light, lambda _: True)
    nodes = nodes_by_name(sized)
    for start in starts:
        nodes[node_name(start)].attr["shape"].shape.dim[0].size = batch
    return {tensor.name: tensor.shape for tensor in list_tensors(sized)}


def _with_open_nodes(light: Any, starts: Sequence[str], of_one: Shapes) -> tuple[Any, set[str]]:
    """Return the graph with Squeezes and Slices opened, and what they took before."""
    result = copy_nodes(light, lambda _: True)
    nodes = nodes_by_name(result)
    behind = downstream(successors(result), starts)
    freed: set[str] = set()
    for node in list(result.node):
        if node.name not in behind or not node.input:
            continue
        shape = of_one.get(full_name(node.input[0]))
        if node.op == "Squeeze":
            if shape is not None and shape[:1] == (1,) and None not in shape:
                _keep_batch(node, shape)
        elif node.op == "Slice" and shape is not None and shape[:1] == (1,):
            begin, size = (constant_value(nodes, name) for name in node.input[1:3])
            if begin is not None and size is not None and begin[0] == 0 and size[0] == 1:
                name = unique_name(f"{node.name}/batch_size", nodes)
                nodes[name] = new_constant(name, np.array([-1, *size[1:]], size.dtype))
                result.node.append(nodes[name])
                freed.add(node_name(node.input[2]))
                node.input[2] = name
    return result, freed


def _keep_batch(node: Any, shape: Sequence[int | None]) -> None:
    """Give a Squeeze the axes that it has for one image, without the first."""
    said = attribute(node, "squeeze_dims").list.i or range(len(shape))
    axes = sorted({axis % len(shape) for axis in said})
    left = [axis for axis in axes if axis and shape[axis] == 1]
    if left and left != axes:
        node.attr["squeeze_dims"].list.i[:] = left


def _check_batch(light: Any, starts: Sequence[str]) -> None:
    """Refuse a graph in which a node makes one of the batch, as two images show it."""
    nodes = nodes_by_name(light)
    of_two = _shapes(light, starts, 2)
    behind = downstream(successors(light), starts)
    for node in light.node:
        if node.name not in behind or f"{node.name}:0" in starts:
            continue
        shape = of_two.get(f"{node.name}:0")
        before = [of_two.get(full_name(n)) for n in node.input if node_name(n) in behind]
        was_batch = any(b is not None and b[:1] == (2,) for b in before)
        is_lost = shape is not None and shape[:1] == (1,)
        if was_batch and (is_lost or _squeezes_batch(node, before[0])):
            raise InputError(
                f"The batch stays 1 at {node.name!r} ({nodes[node.name].op}), which is none of the "
                "nodes that can be opened (Reshape, Squeeze, Slice); cut the graph before it, with "
                "the transform cut."
            )


def _squeezes_batch(node: Any, shape: Shape | None) -> bool:
    rank = len(shape) if shape else 1
    axes = attribute(node, "squeeze_dims").list.i
    return node.op == "Squeeze" and any(axis % rank == 0 for axis in axes)
