"""Runs one side again in other ways, and finds the one that gives what the other side has."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from retrain_tools.explaining.explanation import Cause, Runnable, Tried
from retrain_tools.explaining.finishing import Finish, flat, pooled, poolings_to
from retrain_tools.explaining.hypotheses.facts import Facts
from retrain_tools.explaining.hypotheses.networks import USUAL_BATCH
from retrain_tools.explaining.hypotheses.resizing import SIDES
from retrain_tools.explaining.network import NotPossibleError, tensors_after
from retrain_tools.explaining.network_variants import batch_norm_epsilons
from retrain_tools.explaining.pipeline import SLOTS, Pipeline, causes_between
from retrain_tools.explaining.pixels import has_orientation
from retrain_tools.explaining.runs import OwnSide, Runs, find_own_side
from retrain_tools.explaining.search import EXACT, Found, Search

Floats = npt.NDArray[np.float32]

_FEW, _MORE = 2, 8  # images: for the search, and to choose among its best
_FEW_OF_COLUMNS = 8  # where columns have to be compared each by itself
_NARROW = 64  # features: of fewer than these, two images are too few
_MOST_FETCHES = 6
_CONFIRMED = 5
_TABLE = 15
_LOOKED_AT = 64  # images whose sizes are read, to choose various ones


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the search found.

    Attributes:
        own: how the graph prepares images itself.
        best: the best pipeline and what is left with it, on all images.
        causes: what is different in it.
        tried: the ranked table.
        ways: how many ways of running the graph were tried beside its own.
    """

    own: OwnSide
    best: Found
    causes: tuple[Cause, ...]
    tried: tuple[Tried, ...]
    ways: int


def search_by_running(
    runnable: Runnable, other: Floats, images: Sequence[str], finish: Finish, base: float
) -> Outcome | None:
    """Search for the way of running a graph that gives the other side's features.

    Args:
        runnable: the side that can be run.
        other: float32 [N, ...], the other side's features.
        images: the N image files.
        finish: what the other side's features show to have gone through after the network.
        base: the mean absolute difference before.

    Returns:
        What was found; None where nothing that was run has features of that shape.

    Raises:
        InputError: the graph cannot be run.
        ImageError: an image cannot be read.
    """
    own = find_own_side(runnable, images)
    tensors = _candidates(runnable, own, other.shape[1:])
    names = list(dict.fromkeys([runnable.tensor, *(name for name, _ in tensors)]))
    epsilons = batch_norm_epsilons(runnable.frozen.graph_def)
    # Batch norms in training mode run whole batches: the images looked at are of the first.
    looked_at = images[:USUAL_BATCH] if epsilons else images
    rows = various_rows(looked_at, _rows_needed(other, finish))
    with Runs(runnable.frozen, own, images, [runnable.tensor]) as runs:
        fetches = _likely_fetches(runs, own.pipeline, tensors, names, other, rows)
        facts = Facts(
            has_jpeg=own.pipeline.decoder != "own",
            is_turned=any(map(has_orientation, images)),
            side=own.pipeline.sides[0],
            epsilons=epsilons,
            count=len(images),
            fetches=fetches,
        )
        search = Search(runs, facts, own.pipeline, finish, other)
        initial = _initial(own.pipeline, facts)
        if search.run(rows, initial) is None and (
            other.ndim != 4 or search.run(rows, _of_other_sizes(initial)) is None
        ):
            return None
        more = various_rows(looked_at, max(_MORE, len(rows)))
        many = _FEW if search.found_nothing() else _CONFIRMED
        best = _simplest(search, own.pipeline, _confirmed(search, more, many), more)
        on_all = _on_all(search, best.pipeline, range(len(images)))
    causes = (*causes_between(own.pipeline, on_all.pipeline), *on_all.finish.causes())
    tried = _table(search, own.pipeline, len(rows), base)
    confirmed = Tried(causes, on_all.error, share_removed(on_all.error, base), len(images))
    rest = [row for row in tried if row.causes != causes]
    return Outcome(own, on_all, causes, (confirmed, *rest), len(search.tried) - 1)


def _rows_needed(other: Floats, finish: Finish) -> int:
    if finish.needs_many_rows:
        return _FEW_OF_COLUMNS
    return _FEW if other[0].size >= _NARROW else 2 * _FEW


def various_rows(images: Sequence[str], count: int) -> list[int]:
    """Return the rows of images that are unlike: turned by EXIF, wide, high, and others between."""
    looked_at = range(0, len(images), max(1, len(images) // _LOOKED_AT))
    aspects = {}
    for row in looked_at:
        with Image.open(images[row]) as image:
            aspects[row] = image.width / image.height
    by_aspect = sorted(aspects, key=lambda row: aspects[row])
    turned = [row for row in range(len(images)) if has_orientation(images[row])][:1]
    spread = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int).tolist()
    chosen = dict.fromkeys([*turned, by_aspect[0], by_aspect[-1], *spread, *range(len(images))])
    return sorted(list(chosen)[:count])


def _candidates(runnable: Runnable, own: OwnSide, wanted: tuple[int, ...]) -> list[tuple[str, str]]:
    """Return (tensor, pooling) that may give features of a shape, the graph's own tensor first."""
    found = []
    tensors = tensors_after(runnable.frozen, own.entry)
    first = [one for one in tensors if one[0] == runnable.tensor]
    for name, shape in [*first, *reversed(tensors)]:
        fits = poolings_to(shape, wanted)
        if len(shape) == len(wanted) == 3 and shape[-1] == wanted[-1]:  # of images of another size
            fits = ["none"]
        found += [(name, pooling) for pooling in fits]
    return list(dict.fromkeys(found))


def _likely_fetches(
    runs: Runs,
    start: Pipeline,
    candidates: Sequence[tuple[str, str]],
    names: Sequence[str],
    other: Floats,
    rows: Sequence[int],
) -> list[tuple[str, str]]:
    """Return the candidates whose values are most like the other side's, the own tensor first."""
    own = [one for one in candidates if one[0] == start.tensor]
    others = [one for one in candidates if one[0] != start.tensor]
    if len(others) <= _MOST_FETCHES:
        return own + others
    try:
        values = dict(zip(names, runs.tensors(rows, start, names), strict=True))
    except NotPossibleError:
        return own + others[:_MOST_FETCHES]
    wanted = flat(other[rows]).reshape(-1)

    def likeness(candidate: tuple[str, str]) -> float:
        name, pooling = candidate
        made = flat(pooled(values[name], pooling)).reshape(-1)
        if made.shape != wanted.shape or made.std() == 0 or wanted.std() == 0:
            return -1.0
        return float(np.corrcoef(made, wanted)[0, 1])

    return own + sorted(others, key=likeness, reverse=True)[:_MOST_FETCHES]


def _initial(start: Pipeline, facts: Facts) -> list[Pipeline]:
    """Return what the search starts from: the graph as it was run, if it gives that shape."""
    fetches = [(start.tensor, start.pooling)]
    if fetches[0] not in facts.fetches:
        fetches = list(facts.fetches)
    return [
        dataclasses.replace(start, tensor=tensor, pooling=pooling) for tensor, pooling in fetches
    ]


def _of_other_sizes(initial: Sequence[Pipeline]) -> list[Pipeline]:
    """Return pipelines for images of other sizes, which give feature maps of other sizes."""
    sizes = [f"{side}x{side}" for side in SIDES]
    return [pipeline.with_value("size", size) for size in sizes for pipeline in initial]


def _confirmed(search: Search, rows: Sequence[int], many: int) -> Found:
    """Return the best of the nearest on more images, and of what is the same on fewer."""
    nearest = sorted(search.tried.values(), key=lambda found: (found.error, found.count))
    pipelines = [
        pipeline for found in nearest[:many] for pipeline in search.with_same(found.pipeline)
    ]
    again = []
    for pipeline in pipelines:
        again.append(search.score(pipeline, rows))
        if search.is_exact(again[-1], rows):
            break
    least = min(found.error for found in again)
    near = [found for found in again if found.error <= 1.2 * least]
    return min(near, key=lambda found: (found.count, found.error))


def _on_all(search: Search, best: Pipeline, rows: Sequence[int]) -> Found:
    """Score the best pipeline on all images; where it fails there, what was the same on some."""
    found = []
    for pipeline in search.with_same(best):
        found.append(search.score(pipeline, rows))
        if search.is_exact(found[-1], rows):
            break
    return min(found, key=lambda one: one.error)


def _simplest(search: Search, start: Pipeline, best: Found, rows: Sequence[int]) -> Found:
    """Drop the causes without which as little is left."""
    enough = EXACT * search.spread(rows)
    for slot in SLOTS:
        value = getattr(start, slot)
        if getattr(best.pipeline, slot) == value:
            continue
        try:
            without = search.score(best.pipeline.with_value(slot, value), rows)
        except NotPossibleError:
            continue
        if without.error <= max(1.2 * best.error, enough):
            best = without
    return best


def _table(search: Search, start: Pipeline, images: int, base: float) -> list[Tried]:
    """Return the best ways on a few images; of those that give the same, the simplest."""
    rows: dict[str, Tried] = {}
    for found in sorted(search.tried.values(), key=lambda found: found.count):
        causes = (*causes_between(start, found.pipeline), *found.finish.causes())
        if not causes:
            base = found.error  # the difference before, on these images
        rows.setdefault(f"{found.error:.5g}", Tried(causes, found.error, 0.0, images))
    nearest = sorted((row for row in rows.values() if row.causes), key=lambda row: row.error)
    return [
        dataclasses.replace(row, share=share_removed(row.error, base)) for row in nearest[:_TABLE]
    ]


def share_removed(error: float, base: float) -> float:
    """Return how much of a difference is gone where an error is left, 0 to 1."""
    return max(0.0, 1 - error / base) if base > 0 else 0.0
