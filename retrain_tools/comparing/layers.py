"""From which layer on two graphs differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.comparing.sides import Running, Side, run_side
from retrain_tools.errors import InputError
from retrain_tools.graphdef.navigate import node_name, nodes_by_name, upstream
from retrain_tools.graphdef.op_sets import PASS_THROUGH
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.graphdef.toposort import CycleError, topological_order
from retrain_tools.graphdef.walks import downstream, successors

Array = npt.NDArray[np.float32]

_MOST_LAYERS = 16  # of a pass; feature maps of the first layers are megabytes for each image
_IMAGES = 4


@dataclasses.dataclass(frozen=True)
class Layer:
    """One tensor that both graphs have.

    Attributes:
        tensor: its full name.
        shape: of the values of one image.
        mean: mean absolute difference, on a few images.
        spread: the standard deviation of A's values.
        agrees: whether no value differs by more than the tolerance.
    """

    tensor: str
    shape: tuple[int, ...]
    mean: float
    spread: float
    agrees: bool


def compare_layers(
    a: Side, b: Side, paths: Sequence[str], tolerance: float, running: Running
) -> list[Layer]:
    """Compare tensors of the same name and shape of two graphs, in their order.

    Those are taken that everything after them depends on, as the ends of blocks are: first some of
    them, spread along the network, then those between the last that agrees and the first that
    differs.

    Args:
        a: a graph.
        b: a graph.
        paths: images; the first few are used.
        tolerance: of the standard deviation of A's values.
        running: how the graphs are run.
    """
    frozen = a.frozen, b.frozen
    if frozen[0] is None or frozen[1] is None:
        return []
    both = _in_both(frozen[0], frozen[1])
    if not both:
        return []
    chosen = _spread_along(both)
    found = _measured(a, b, chosen, paths[:_IMAGES], tolerance, running)
    names = list(found)
    first = next((at for at, name in enumerate(names) if not found[name].agrees), None)
    if first is not None:
        start = both.index(names[first - 1]) + 1 if first else 0
        between = both[start : both.index(names[first])]
        if between:
            found |= _measured(a, b, _spread_along(between), paths[:_IMAGES], tolerance, running)
    return [found[name] for name in both if name in found]


def first_difference(layers: Sequence[Layer]) -> tuple[Layer | None, Layer | None]:
    """Return the last layer before which, and with which, all agree, and the first that differs."""
    for place, layer in enumerate(layers):
        if not layer.agrees:
            return (layers[place - 1] if place else None), layer
    return (layers[-1] if layers else None), None


def _in_both(a: FrozenGraph, b: FrozenGraph) -> list[str]:
    """Return the tensors of one name and shape that all ways to the bottlenecks go through."""
    others = {tensor.name: tensor for tensor in list_tensors(b.graph_def)}
    by_name = {tensor.name: tensor for tensor in list_tensors(a.graph_def)}
    shared = set(narrow_places(b))
    return [
        name
        for name in narrow_places(a)
        if name in shared
        and by_name[name].dtype == others[name].dtype == "float32"
        and _fits(by_name[name].shape, others[name].shape)
    ]


def _fits(a: Sequence[int | None] | None, b: Sequence[int | None] | None) -> bool:
    if a is None or b is None:
        return True
    # The first is the number of images, which one graph may fix to 1.
    sizes = zip(a[1:], b[1:], strict=False)
    return len(a) == len(b) and all(None in pair or pair[0] == pair[1] for pair in sizes)


def narrow_places(frozen: FrozenGraph) -> list[str]:
    """Return the tensors from pixels to the bottleneck through which all its ways go, in order."""
    start, end = frozen.spec.pixel_input, frozen.spec.bottleneck
    nodes = nodes_by_name(frozen.graph_def)
    between = upstream(nodes, [end]) & downstream(successors(frozen.graph_def), [start])
    inputs = {
        name: [
            source
            for source in map(node_name, nodes[name].input)
            if source in between and name != node_name(start)
        ]
        for name in nodes
        if name in between
    }
    try:
        order = topological_order(inputs)
    except CycleError:
        return []
    last_use = {source: name for name in order for source in inputs[name]}
    waiting: set[str] = set()  # nodes whose values are still needed
    ends: dict[str, list[str]] = {}
    for source, name in last_use.items():
        ends.setdefault(name, []).append(source)
    found = []
    for name in order:
        waiting.add(name)
        waiting.difference_update(ends.get(name, ()))
        is_narrow = waiting == {name} and nodes[name].op not in PASS_THROUGH
        if is_narrow or name == node_name(end):
            found.append(f"{name}:0")
    return [name for name in found if name != start]


def _spread_along(names: Sequence[str]) -> list[str]:
    places = np.linspace(0, len(names) - 1, min(len(names), _MOST_LAYERS)).round().astype(int)
    return [names[place] for place in dict.fromkeys(places.tolist())]


def _measured(
    a: Side, b: Side, names: Sequence[str], paths: Sequence[str], tolerance: float, running: Running
) -> dict[str, Layer]:
    unpooled = [dataclasses.replace(side, pooling=None) for side in (a, b)]
    try:
        sides: list[Mapping[str, Array]] = [
            run_side(one, names, paths, running)[0] for one in unpooled
        ]
    except InputError:  # one of them cannot be fetched for images
        return {}
    found = {}
    for name in names:
        left, right = (side[name] for side in sides)
        if left.shape != right.shape:
            continue
        difference = np.abs(left.astype(np.float64) - right)
        spread = float(left.std(dtype=np.float64))
        agrees = bool(np.max(difference) <= tolerance * spread)
        found[name] = Layer(name, left.shape[1:], float(difference.mean()), spread, agrees)
    return found
