"""Whether rows are of other images than they are said to be: in another order, or shifted."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.explaining.explanation import Cause
from retrain_tools.text_tables import counted

Floats = npt.NDArray[np.float32]

_FEWEST_ROWS = 4
_MOST_FOUND = 0.8  # of the rows, that have a partner in both directions
_CLEARLY = 0.1  # how much nearer, in correlation, a row's partner is than the row it stands beside


@dataclasses.dataclass(frozen=True)
class RowOrder:
    """Which row is really which.

    Attributes:
        mine: for each row of the other side that has a partner, that row of mine.
        other: those rows of the other side.
        cause: what happened, in words.
    """

    mine: npt.NDArray[np.intp]
    other: npt.NDArray[np.intp]
    cause: Cause


def find_row_order(mine: Floats, other: Floats, images: Sequence[str] = ()) -> RowOrder | None:
    """Find out whether rows of `other` belong to other rows of `mine`; None if they do not.

    Rows are compared by correlation after each column's mean is taken away, so a difference in
    scaling or preprocessing hardly matters. It is another order only if nearly all rows have one
    partner each that is clearly nearer than the row beside them.

    Args:
        mine: float32 [N, depth].
        other: float32 [M, depth].
        images: the image of each row of mine, for the words.
    """
    if min(len(mine), len(other)) < _FEWEST_ROWS:
        return None
    alike = _unit_rows(other) @ _unit_rows(mine).T
    nearest = alike.argmax(1)
    rows = np.arange(len(other))
    mutual = alike.argmax(0)[nearest] == rows
    there = rows < len(mine)
    beside = np.full(len(other), -1.0)
    beside[there] = alike[rows[there], rows[there]]
    moved = mutual & (nearest != rows) & (alike[rows, nearest] > beside + _CLEARLY)
    if mutual.mean() < _MOST_FOUND or moved.sum() < 2:
        return None
    shifted = _shift(nearest, mutual, moved, len(mine), images)
    return shifted or _permutation(alike, mutual, nearest)


def _unit_rows(values: Floats) -> Floats:
    centred = values - values.mean(0)
    deviations = centred.std(0)
    centred = centred / np.where(deviations == 0, 1, deviations)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(lengths == 0, 1, lengths), np.float32)


def _shift(
    nearest: npt.NDArray[np.intp],
    mutual: npt.NDArray[np.bool_],
    moved: npt.NDArray[np.bool_],
    count: int,
    images: Sequence[str],
) -> RowOrder | None:
    """Return the order where all rows from one on are the same number of rows away."""
    rows = np.arange(len(nearest))
    first = int(np.flatnonzero(moved)[0])
    steps = (nearest - rows)[moved]
    step = collections.Counter(steps.tolist()).most_common(1)[0][0]
    source = np.where(rows < first, rows, rows + step)
    agree = (nearest == source)[mutual]
    if agree.mean() < 0.95 or step == 0:
        return None
    inside = (source >= 0) & (source < count)
    # An image that only one side has leaves a gap; rows of whose place nothing is known go.
    between = (rows >= first) & ~inside
    keep = ~between
    at = f" ({images[first]})" if first < len(images) and step > 0 else ""
    how = f"{counted(abs(step), 'image')} {'skipped' if step > 0 else 'added'}"
    words = f"rows shifted by {step:+d} from row {first} on, as by {how}{at}"
    return RowOrder(source[keep], rows[keep], Cause("rows", f"shifted_{step:+d}", words))


def _permutation(
    alike: Floats, mutual: npt.NDArray[np.bool_], nearest: npt.NDArray[np.intp]
) -> RowOrder:
    """Pair rows by similarity, the surest first; each row once."""
    taken_other, taken_mine = mutual.copy(), np.zeros(alike.shape[1], bool)
    source = np.where(mutual, nearest, -1)
    taken_mine[nearest[mutual]] = True
    order = np.dstack(np.unravel_index(np.argsort(-alike, axis=None), alike.shape))[0]
    if not taken_other.all():
        for row, column in order:
            if not taken_other[row] and not taken_mine[column]:
                source[row], taken_other[row], taken_mine[column] = column, True, True
    other = np.flatnonzero(source >= 0)
    words = "rows in another order"
    return RowOrder(source[other], other, Cause("rows", "reordered", words))
