"""What image each row of a side is of, where it lies on disk, and how rows are matched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from retrain_tools.comparing.matching import (
    BY_LISTING,
    BY_ROW,
    Matching,
    content_hash,
    listing_order,
    match_names,
)
from retrain_tools.comparing.sides import Side
from retrain_tools.errors import InputError, argument
from retrain_tools.images.folders import ImageFile


@dataclasses.dataclass(frozen=True)
class SideRows:
    """The rows of one side.

    Attributes:
        count: how many.
        names: the image of each; empty where nobody knows.
        places: where each image lies on disk, '' where it does not; as long as `names`.
        by: how the names were given to a side without any: BY_LISTING, BY_ROW or ''.
    """

    count: int
    names: Sequence[str] = ()
    places: Sequence[str] = ()
    by: str = ""


def rows_of(a: Side, b: Side, images: Sequence[ImageFile]) -> tuple[SideRows, SideRows]:
    """Return the rows of both sides, with names for those that have none where their order tells.

    A side without names has the order of the sorted listing if it has as many rows as there are
    images; without images, that of the other side's names, sorted; or that of the other side's
    rows, if neither has names.
    """
    listing = listing_order(images)
    first, second = _named(a, listing), _named(b, listing)
    if not first.names and not second.names and first.count == second.count:
        if len(listing) == first.count:
            return _as_listed(first, listing), _as_listed(second, listing)
        numbers = [f"row {number}" for number in range(first.count)]
        both = SideRows(first.count, numbers, [""] * first.count, BY_ROW)
        return both, both
    return _by_order(first, second, listing), _by_order(second, first, listing)


def _named(side: Side, listing: Sequence[ImageFile]) -> SideRows:
    if side.stored is None:
        paths = [image.path for image in listing]
        return SideRows(len(paths), paths, paths)
    names = side.stored.images
    count = len(next(iter(side.stored.values.values())))
    return SideRows(count, names, _places(names, listing) if names else ())


def _places(names: Sequence[str], listing: Sequence[ImageFile]) -> list[str]:
    """Return where images lie: in the listing, or where their own names say."""
    found = match_names(names, [image.path for image in listing])
    by_row = dict(zip(found.rows_a.tolist(), found.rows_b.tolist(), strict=True))
    return [
        listing[by_row[row]].path if row in by_row else name if _is_file(name) else ""
        for row, name in enumerate(names)
    ]


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # longer than a path may be, or with a null byte in it
        return False


def _by_order(rows: SideRows, other: SideRows, listing: Sequence[ImageFile]) -> SideRows:
    if rows.names:
        return rows
    if len(listing) == rows.count:
        return _as_listed(rows, listing)
    if len(other.names) == rows.count and not listing:
        named = [ImageFile(name, name) for name in other.names]
        return _as_listed(rows, listing_order(named), dict(zip(other.names, other.places)))  # noqa: B905
    return rows


def _as_listed(
    rows: SideRows, listing: Sequence[ImageFile], places: dict[str, str] | None = None
) -> SideRows:
    names = [image.path for image in listing]
    found = names if places is None else [places[name] for name in names]
    return SideRows(rows.count, names, found, BY_LISTING)


def match_rows(a: SideRows, b: SideRows, sources: tuple[str, str]) -> Matching | None:
    """Match the rows of two sides by names, content and order; None where a side has no names.

    Args:
        a: the rows of A.
        b: the rows of B.
        sources: what messages call the sides.

    Raises:
        InputError: no image is on both sides.
    """
    if not a.names or not b.names:
        return None
    if a.by == BY_ROW:
        rows = np.arange(a.count, dtype=np.intp)
        return Matching(rows, rows, {BY_ROW: a.count})
    sides = {"a": a, "b": b}

    def content_of(side: str, row: int) -> str | None:
        place = sides[side].places[row]
        return content_hash(place) if place else None

    matching = match_names(a.names, b.names, content_of)
    if not len(matching.rows_a):
        raise InputError(
            f"No image is on both sides: {sources[0]} has {a.names[0]} and others, {sources[1]} "
            f"has {b.names[0]}. Where they are the same images under other names, both have to be "
            f"on disk, below {argument('image_dir')} or where they are named."
        )
    if BY_LISTING in (a.by, b.by):
        return dataclasses.replace(matching, how={BY_LISTING: len(matching.rows_a)})
    return matching


def labels_of_rows(
    side: Side, rows: SideRows, kept: Sequence[int], images: Sequence[ImageFile]
) -> list[str]:
    """Return the label of some rows of a side: the file's, or the folder of each image.

    Returns:
        '' for an image without; an empty list where there are no two labels.
    """
    if side.stored is not None and side.stored.labels:
        found = [side.stored.labels[row] for row in kept]
    elif rows.names:
        by_path = {image.path: image.folder for image in images}
        places = [rows.places[row] or rows.names[row] for row in kept]
        found = [by_path.get(one, PurePosixPath(one).parent.name) for one in places]
    else:
        found = []
    return found if len(set(found) - {""}) > 1 else []
