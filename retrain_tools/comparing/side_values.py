"""The values of both sides for images that belong together: read, or made by running a graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.comparing.matching import Matching, match_similar
from retrain_tools.comparing.rows import SideRows
from retrain_tools.comparing.sides import Running, Side, run_side
from retrain_tools.errors import InputError
from retrain_tools.explaining.similarity import as_vectors

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Values:
    """The values of some rows of a side.

    Attributes:
        by_tensor: float32 [N, ...].
        places: which of them is of which row of the side.
    """

    by_tensor: Mapping[str, Array]
    places: Mapping[int, int]

    def of(self, tensor: str, rows: Sequence[int]) -> Array:
        """Return one tensor's values of some rows of the side."""
        return self.by_tensor[tensor][[self.places[row] for row in rows]]


def values_of(
    side: Side, rows: SideRows, wanted: Sequence[int], tensors: Sequence[str], running: Running
) -> Values:
    """Return a side's values; a graph is run on the images of the rows that are wanted.

    Rows of images that cannot be used are missing.

    Raises:
        InputError: see `run_side`.
    """
    if side.stored is not None:
        return Values(side.stored.values, {row: row for row in range(rows.count)})
    by_path = {rows.places[row]: row for row in wanted}
    names = list(dict.fromkeys(tensors))
    values, used = run_side(side, names, list(by_path), running)
    return Values(values, {by_path[path]: place for place, path in enumerate(used)})


def matched_by_values(
    a: Side, b: Side, rows: tuple[SideRows, SideRows], pair: tuple[str, str], running: Running
) -> Matching:
    """Match the rows of two sides of which one has no names, by similarity.

    Raises:
        InputError: nothing tells which rows belong together.
    """
    vectors, known = [], []
    for side, its, tensor in zip((a, b), rows, pair, strict=True):
        found = values_of(side, its, range(its.count), [tensor], running)
        known.append(np.array(sorted(found.places), np.intp))
        vectors.append(as_vectors(found.of(tensor, sorted(found.places))))
    matching = match_similar(vectors[0], vectors[1], (a.source, b.source))
    rows_a, rows_b = known[0][matching.rows_a], known[1][matching.rows_b]
    only = [
        [_called(its, row) for row in sorted(set(range(its.count)).difference(matched.tolist()))]
        for its, matched in zip(rows, (rows_a, rows_b), strict=True)
    ]
    return dataclasses.replace(
        matching, rows_a=rows_a, rows_b=rows_b, only_a=only[0], only_b=only[1]
    )


def _called(rows: SideRows, row: int) -> str:
    return rows.names[row] if rows.names else f"row {row}"


def paired_values(
    a: Side,
    b: Side,
    rows: tuple[SideRows, SideRows],
    matching: Matching,
    columns: Sequence[tuple[str, str]],
    running: Running,
) -> tuple[Matching, list[tuple[Array, Array]]]:
    """Return the values of every pair of tensors, in rows of the same images.

    Returns:
        The matching without images that a graph could not use; float32 [N, ...] of A and of B.

    Raises:
        InputError: a graph cannot be run, or no image is left.
    """
    found_a = values_of(
        a, rows[0], matching.rows_a.tolist(), [first for first, _ in columns], running
    )
    found_b = values_of(
        b, rows[1], matching.rows_b.tolist(), [second for _, second in columns], running
    )
    both = zip(matching.rows_a.tolist(), matching.rows_b.tolist(), strict=True)
    kept = [pair for pair in both if pair[0] in found_a.places and pair[1] in found_b.places]
    if not kept:
        raise InputError("No image could be used by both sides.")
    rows_a, rows_b = map(list, zip(*kept, strict=True))
    taken = dataclasses.replace(
        matching, rows_a=np.array(rows_a, np.intp), rows_b=np.array(rows_b, np.intp)
    )
    return taken, [(found_a.of(one, rows_a), found_b.of(other, rows_b)) for one, other in columns]
