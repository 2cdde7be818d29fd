"""Which side is run again to explain a difference, and what else the numbers say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.comparing.differences import Differences, comparable
from retrain_tools.comparing.layers import Layer, first_difference
from retrain_tools.comparing.sides import Running, Side, run_side
from retrain_tools.errors import InputError
from retrain_tools.explaining.explain import explain
from retrain_tools.explaining.explanation import Explanation, Runnable
from retrain_tools.features.fetch import named_tensor
from retrain_tools.graphdef.spec import FrozenGraph

Array = npt.NDArray[np.float32]

_IMAGES_TO_TELL_BY = 8  # which of two stored sides a graph made
_MADE_IT = 0.01  # of the spread: what may be between a side and the graph that made it


def ask_why(
    sides: tuple[Side, Side],
    difference: Differences,
    values: tuple[Array, Array],
    places: Sequence[str],
    graph: FrozenGraph | None,
) -> tuple[Explanation, list[str]]:
    """Explain the difference of one pair of tensors, by running a graph where there is one.

    Args:
        sides: A and B.
        difference: of the pair.
        values: float32 [N, ...] of A and B.
        places: the images of the rows on disk, '' for one that is not there.
        graph: what may have made one of two stored sides.

    Returns:
        The explanation, and what was noticed on the way.

    Raises:
        InputError: the graph cannot be run.
    """
    if difference.agrees:
        return _agreement(difference), []
    images = [place for place in places if place]
    is_run = bool(images) and (graph or sides[0].frozen or sides[1].frozen) is not None
    is_there = np.array([bool(place) or not is_run for place in places], np.bool_)
    a, b = values[0][is_there], values[1][is_there]
    swapped, runnable, notes = False, None, list[str]()
    if sides[0].frozen is not None:
        runnable = Runnable(sides[0].frozen, difference.tensor_a, sides[0].pooling)
    elif sides[1].frozen is not None:
        swapped = True
        runnable = Runnable(sides[1].frozen, difference.tensor_b, sides[1].pooling)
    elif graph is not None:
        runnable, swapped, said = _believed(difference, (a, b), images, graph, sides[0].pooling)
        notes.append(said)
    names = ("B", "A") if swapped else ("A", "B")
    mine, other = (b, a) if swapped else (a, b)
    found = explain(
        runnable if is_run else None,
        mine,
        other,
        images if len(images) == len(mine) else [],
        names=names,
    )
    return found, notes


def _agreement(difference: Differences) -> Explanation:
    mean, largest = difference.mean or 0.0, difference.largest or 0.0
    sentence = (
        f"A and B agree: mean error {mean:.2g}, the largest {largest:.2g}, allowed "
        f"{difference.tolerance:.2g}"
    )
    return Explanation("agree", (), mean, mean, sentence)


def _believed(
    difference: Differences,
    values: tuple[Array, Array],
    images: Sequence[str],
    graph: FrozenGraph,
    pooling: str | None,
) -> tuple[Runnable | None, bool, str]:
    """Tell which of two stored sides a graph made; return it, whether it is B, and a note."""
    if not images:
        return None, False, f"{graph.path} was not run: no image is on disk."
    tensor = graph.spec.bottleneck
    for name in (difference.tensor_a, difference.tensor_b):
        try:
            tensor = named_tensor(graph, name)
            break
        except InputError:  # `bottleneck`, or a name of another graph
            continue
    few = list(range(min(len(images), _IMAGES_TO_TELL_BY)))
    runner = Side("--graph", str(graph.path), frozen=graph, pooling=pooling)
    run, used = run_side(runner, [tensor], [images[row] for row in few], Running())
    rows = [row for row in few if images[row] in used]
    distances = [_distance(run[tensor], side[rows]) for side in values]
    is_b = distances[1] < distances[0]
    nearer = min(distances)
    whose = f"{graph.path} at {tensor}"
    if nearer <= _MADE_IT:
        return Runnable(graph, tensor, pooling), is_b, f"{whose} gives what {'AB'[is_b]} has."
    note = f"{whose} gives neither what A has nor what B has: it is taken to be A's graph."
    return Runnable(graph, tensor, pooling), False, note


def _distance(run: Array, stored: Array) -> float:
    _, one, other = comparable(run, stored)
    if one is None or other is None:
        return np.inf
    return float(np.abs(one - other).mean() / (other.std() or 1))


def about_layers(layers: Sequence[Layer]) -> list[str]:
    """Return in a sentence from which layer on two graphs differ."""
    if not layers:
        return []
    last, first = first_difference(layers)
    if first is None:
        return [f"All {len(layers)} layers that both graphs have agree."]
    if last is None:
        return [f"The first layer that both graphs have, {first.tensor}, differs already."]
    return [f"The last layer that agrees is {last.tensor}, the first that differs {first.tensor}."]
