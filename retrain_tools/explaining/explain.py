"""Explains why two sets of features differ: one side is run again in every way that is usual."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.explaining.commands import NO_FLAG, finishing_lines, way_to_agree
from retrain_tools.explaining.explanation import Cause, Explanation, Runnable, Tried
from retrain_tools.explaining.finishing import difference, flat, seen_finish, spread_of, squeezed
from retrain_tools.explaining.parts import about_parts, parts_of
from retrain_tools.explaining.row_order import RowOrder, find_row_order
from retrain_tools.explaining.running import search_by_running, share_removed
from retrain_tools.explaining.search import EXACT
from retrain_tools.explaining.stored_features import Stored, stored_ways
from retrain_tools.explaining.verdict import WHAT_ELSE, agreement, likeness, of_causes, unexplained
from retrain_tools.images.decode import ImageError

Floats = npt.NDArray[np.float32]

ONLY_COLOURS = "Networks of grey images are not run again in other ways, only those of colours."
_COLOURS = 3

AGREE = 5e-5
"""The mean error, in parts of the features' spread, that float32 makes in other kernels."""


def explain(
    runnable: Runnable | None,
    mine: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    images: Sequence[str],
    *,
    names: tuple[str, str] = ("A", "B"),
) -> Explanation:
    """Explain the difference between two sets of features of the same images.

    The side that can be run is run again with other decoders, resizing, scaling, colours, tensors,
    batch norms and so on, alone and together: on a few images first, then the best on all. What can
    be seen of the features alone (another order of rows, L2-normalised rows, standardised columns,
    pooling) is found without running anything.

    Something counts as explained where what is left is less than 1 % of the difference before and
    of the other features' spread over the images, and as explained in part below a half of both.

    Args:
        runnable: the side that `mine` was made by; None if neither side can be run.
        mine: its features, float32 [N, ...].
        other: the other side's, float32 [N, ...], in rows of the same images.
        images: the image files of these rows; empty where they are not at hand.
        names: what the sides are called in the sentence: mine, then the other.

    Raises:
        InputError: the graph cannot be run, or an image cannot be read.
        ValueError: there are not as many rows on both sides, or not as many images as rows.

    Example:
        >>> import numpy as np
        >>> from retrain_tools.explaining.explain import explain
        >>> rows = np.random.default_rng(0).random((20, 8), np.float32)
        >>> explain(None, rows, rows / np.linalg.norm(rows, axis=1, keepdims=True), []).sentence
        'B is A with rows divided by their length (L2-normalised): mean error 0, before 0.21'
    """
    mine, other = squeezed(mine), squeezed(other)
    if len(mine) != len(other) or (images and len(images) != len(mine)):
        raise ValueError(f"{len(mine)} rows, {len(other)} rows and {len(images)} images")
    if runnable is None or runnable.frozen.spec.channels == _COLOURS:
        return _explain(runnable, mine, other, images, names)
    found = _explain(None, mine, other, images, names)
    return dataclasses.replace(found, notes=(*found.notes, ONLY_COLOURS))


def _explain(
    runnable: Runnable | None,
    mine: Floats,
    other: Floats,
    images: Sequence[str],
    names: tuple[str, str],
) -> Explanation:
    same_shape = mine.shape == other.shape
    before = difference(mine, other) if same_shape else float("nan")
    # Features that are all much the same differ little from anything that is scaled to them.
    base = min(before, spread_of(other)) if same_shape else spread_of(other)
    if same_shape and before <= AGREE * spread_of(other):
        return agreement(before, names)
    order = _row_order(mine, other, images)
    rows: tuple[Cause, ...] = ()
    if order is not None:
        mine, other, rows = mine[order.mine], other[order.other], (order.cause,)
        images = [images[row] for row in order.mine] if images else []
    ways = stored_ways(mine, other)
    alone = _of_stored(ways, rows, before, (base, min(base, spread_of(mine))), names)
    if alone is not None and (
        alone.after <= EXACT * spread_of(other) or runnable is None or not images
    ):
        return alone
    if runnable is None or not images:
        nothing = unexplained(likeness(mine, other), before, 0, 0.0, names)
        return dataclasses.replace(nothing, tried=_rows_of(ways, rows, base))
    return _by_running(runnable, (mine, other), images, rows, alone, (before, base), names)


def _by_running(
    runnable: Runnable,
    features: tuple[Floats, Floats],
    images: Sequence[str],
    rows: tuple[Cause, ...],
    alone: Explanation | None,
    differences: tuple[float, float],
    names: tuple[str, str],
) -> Explanation:
    """Search by running the graph; `alone` is what the features explain without it."""
    (mine, other), (before, base) = features, differences
    finish = seen_finish(flat(mine), flat(other))
    try:
        found = search_by_running(runnable, other, images, finish, base)
    except ImageError as error:
        raise InputError(f"An image of the comparison {error}.") from error
    tried: tuple[Tried, ...] = ()
    verdict = alone
    if found is not None:
        tried = tuple(dataclasses.replace(row, causes=(*rows, *row.causes)) for row in found.tried)
        by_run = of_causes((*rows, *found.causes), before, found.best.error, base, names)
        if by_run is not None and (alone is None or by_run.after < 0.5 * alone.after):
            command = way_to_agree(runnable, found.own, found.best.pipeline, images, by_run.causes)
            unsaid = (NO_FLAG,) if command is None else ()
            verdict = dataclasses.replace(by_run, command=command, notes=unsaid)
    if verdict is None:
        removed = max((row.share for row in tried if row.causes), default=0.0)
        ways = found.ways if found is not None else 0
        verdict = unexplained(likeness(mine, other), before, ways, removed, names)
        if verdict.verdict == "different_weights":
            notes = (WHAT_ELSE, *about_parts(parts_of(runnable, mine, other)))
            verdict = dataclasses.replace(verdict, notes=notes)
    return dataclasses.replace(verdict, tried=tried)


def _row_order(mine: Floats, other: Floats, images: Sequence[str]) -> RowOrder | None:
    """Look for another order of rows, where the two have channels to be compared by."""
    vectors = [v.mean(tuple(range(1, v.ndim - 1))) if v.ndim > 2 else v for v in (mine, other)]
    if vectors[0].shape != vectors[1].shape:
        return None
    return find_row_order(vectors[0], vectors[1], images)


def _of_stored(
    ways: Sequence[Stored],
    rows: tuple[Cause, ...],
    before: float,
    bases: tuple[float, float],
    names: tuple[str, str],
) -> Explanation | None:
    """Return what the features alone explain; the order of rows alone counts, too.

    `bases` is what errors are compared with, in the other side's features and in mine.
    """

    def part_left(way: Stored) -> float:
        return way.error / max(bases[way.is_swapped], 1e-30)

    for way in sorted(ways, key=part_left)[:1]:
        base, sides = bases[way.is_swapped], (names[1], names[0]) if way.is_swapped else names
        found = of_causes((*rows, *way.causes), before, way.error, base, sides)
        if found is not None:
            command = "\n".join(finishing_lines(found.causes)) or None
            return dataclasses.replace(found, tried=_rows_of(ways, rows, base), command=command)
    return None


def _rows_of(ways: Sequence[Stored], rows: tuple[Cause, ...], base: float) -> tuple[Tried, ...]:
    """Return the rows of the table: what changes something and brings the two nearer."""
    found = [
        Tried((*rows, *way.causes), way.error, share_removed(way.error, base), 0) for way in ways
    ]
    return tuple(row for row in found if row.causes and row.share > 0)
