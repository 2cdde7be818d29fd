"""Which row of one side is of the same image as which row of the other."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.images.decode import EXTENSIONS
from retrain_tools.images.folders import ImageFile

Rows = npt.NDArray[np.intp]

BY_NAME = "name"
BY_PATH_BELOW = "path below the folder"
BY_FILE_NAME = "file name"
BY_STEM = "file name without its ending"
BY_CONTENT = "content of the file"
BY_ROW = "row number"
BY_LISTING = "sorted listing"
BY_SIMILARITY = "similarity"

_ROWS_AT_A_TIME = 512
_LEAST_SIMILAR = 0.5  # correlation of two rows that are taken to be of one image


@dataclasses.dataclass(frozen=True)
class Matching:
    """Which rows belong together.

    Attributes:
        rows_a, rows_b: intp [N]: row `rows_a[i]` of A and row `rows_b[i]` of B are of one image.
        how: by what so many pairs were found, as `{"name": 20, "content of the file": 1}`.
        only_a, only_b: images that the other side does not have.
        twice_a, twice_b: images that a side names more than once; the first one counts.
    """

    rows_a: Rows
    rows_b: Rows
    how: Mapping[str, int]
    only_a: Sequence[str] = ()
    only_b: Sequence[str] = ()
    twice_a: Sequence[str] = ()
    twice_b: Sequence[str] = ()

    @property
    def left_out(self) -> dict[str, Sequence[str]]:
        """The images that count for nothing, by what is to be said of them."""
        images = {
            "only in A": self.only_a,
            "only in B": self.only_b,
            "more than once in A": self.twice_a,
            "more than once in B": self.twice_b,
        }
        return {what: names for what, names in images.items() if names}

    def taking(self, most: int | None) -> Matching:
        """Return the matching with no more than `most` pairs, spread evenly."""
        count = len(self.rows_a)
        if most is None or count <= most:
            return self
        kept = np.linspace(0, count - 1, most).round().astype(np.intp)
        return dataclasses.replace(self, rows_a=self.rows_a[kept], rows_b=self.rows_b[kept])


def listing_order(images: Iterable[ImageFile]) -> list[ImageFile]:
    """Return images in the order in which Keras's generators and data sets list a folder.

    That is by class folder and then by file name (`flow_from_directory` and
    `image_dataset_from_directory` without shuffling), as rows of `predict` are.
    """
    return sorted(images, key=lambda image: _by_folder(image.relative))


def _by_folder(path: str) -> tuple[list[str], str]:
    *folders, name = path.split("/")
    return folders, name


def match_names(
    a: Sequence[str], b: Sequence[str], content_of: Callable[[str, int], str | None] | None = None
) -> Matching:
    """Match the rows of two sides that both name their images.

    By the whole name, then by as much of its end as both have, down to the file's name and that
    without its ending, where it stands for one image on either side; then by content.

    Args:
        a: the names of A's rows.
        b: those of B's.
        content_of: the hash of the file of a side's row (`"a"` or `"b"`, number), if it is on disk;
            None where there are no files.
    """
    parts_a, parts_b = list(map(_parts, a)), list(map(_parts, b))
    first_a, twice_a = _first_rows(parts_a)
    first_b, twice_b = _first_rows(parts_b)
    pairs: dict[int, int] = {}
    how: collections.Counter[str] = collections.Counter()
    deepest = max((len(parts) for parts in (*parts_a, *parts_b)), default=1)
    steps: list[tuple[str, Callable[[tuple[str, ...]], tuple[str, ...] | None]]] = [
        (BY_NAME, lambda parts: parts),
        *((BY_PATH_BELOW, _ending_in(count)) for count in range(deepest, 1, -1)),
        (BY_FILE_NAME, lambda parts: parts[-1:]),
        (BY_STEM, lambda parts: (_stem(parts[-1]),)),
    ]
    left_a, left_b = set(first_a), set(first_b)

    def pair(name: str, keys_a: Mapping[int, object], keys_b: Mapping[int, object]) -> None:
        places = _only_once(keys_b)
        for key, row in _only_once(keys_a).items():
            other = places.get(key)
            if other is not None and row in left_a and other in left_b:
                pairs[row] = other
                left_a.discard(row)
                left_b.discard(other)
                how[name] += 1

    for name, key in steps:
        if not left_a or not left_b:
            break
        pair(name, _keys(first_a, parts_a, key), _keys(first_b, parts_b, key))
    if content_of is not None and left_a and left_b:
        hashes = [
            {row: found for row in left if (found := content_of(side, row)) is not None}
            for side, left in (("a", sorted(left_a)), ("b", sorted(left_b)))
        ]
        pair(BY_CONTENT, *hashes)
    rows_a = sorted(pairs)
    return Matching(
        np.array(rows_a, np.intp),
        np.array([pairs[row] for row in rows_a], np.intp),
        dict(how),
        [a[row] for row in sorted(left_a)],
        [b[row] for row in sorted(left_b)],
        [a[row] for row in twice_a],
        [b[row] for row in twice_b],
    )


def _parts(name: str) -> tuple[str, ...]:
    """Return a path's parts; of a bottleneck file, those of its image."""
    name = name.replace("\\", "/")
    shorter = name.removesuffix(".txt")
    if shorter.lower().endswith(EXTENSIONS):
        name = shorter
    return tuple(part for part in name.split("/") if part not in ("", ".")) or (name,)


def _stem(name: str) -> str:
    lower = name.lower()
    return next((name[: -len(end)] for end in EXTENSIONS if lower.endswith(end)), name)


def _ending_in(count: int) -> Callable[[tuple[str, ...]], tuple[str, ...] | None]:
    return lambda parts: parts[-count:] if len(parts) >= count else None


def _first_rows(parts: Sequence[tuple[str, ...]]) -> tuple[list[int], list[int]]:
    """Return the rows that name an image for the first time, and the others."""
    seen: set[tuple[str, ...]] = set()
    first: list[int] = []
    again: list[int] = []
    for row, one in enumerate(parts):
        (again if one in seen else first).append(row)
        seen.add(one)
    return first, again


def _keys(
    rows: Sequence[int],
    parts: Sequence[tuple[str, ...]],
    key: Callable[[tuple[str, ...]], tuple[str, ...] | None],
) -> dict[int, object]:
    return {row: found for row in rows if (found := key(parts[row])) is not None}


def _only_once(keys: Mapping[int, object]) -> dict[object, int]:
    """Return the row of each key that only one row has."""
    counts = collections.Counter(keys.values())
    return {key: row for row, key in keys.items() if counts[key] == 1}


def content_hash(path: str) -> str | None:
    """Return the SHA-256 of a file; None where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def match_similar(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], names: tuple[str, str] = ("A", "B")
) -> Matching:
    """Match rows by their values: those that are each other's nearest.

    Each channel is standardised by its own side, so that another scale changes nothing; two rows
    are as near as their correlation is high.

    Args:
        a: float32 [N, depth].
        b: float32 [M, depth].
        names: what messages call the sides.

    Raises:
        InputError: no two rows correlate by 0.5 or more, or the depths are not the same.
    """
    if a.shape[1:] != b.shape[1:]:
        raise InputError(
            f"{names[0]} has {len(a)} rows of {a.shape[1]} values and {names[1]} {len(b)} of "
            f"{b.shape[1]}, and one has no names of images: nothing tells which belong together."
        )
    left, right = _standardised(a), _standardised(b)
    best_a, nearness = _best(left, right)
    best_b, _ = _best(right, left)
    is_mutual = (best_b[best_a] == np.arange(len(a))) & (nearness >= _LEAST_SIMILAR)
    if not is_mutual.any():
        raise InputError(
            f"{names[0]} has {len(a)} rows and {names[1]} {len(b)}, one has no names of images, "
            "and no two rows are alike: nothing tells which belong together."
        )
    rows_a = np.flatnonzero(is_mutual)
    rows_b = best_a[rows_a]
    return Matching(rows_a, rows_b, {BY_SIMILARITY: len(rows_a)})


def _best(
    some: npt.NDArray[np.floating], others: npt.NDArray[np.floating]
) -> tuple[Rows, npt.NDArray[np.floating]]:
    """Return for each row the nearest of the others, and how near it is."""
    best, nearness = np.zeros(len(some), np.intp), np.zeros(len(some))
    for start in range(0, len(some), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        near = some[rows] @ others.T
        best[rows], nearness[rows] = near.argmax(axis=1), near.max(axis=1)
    return best, nearness


def _standardised(values: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    spread = values.std(axis=0)
    found = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    found -= found.mean(axis=1, keepdims=True)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(length > 0, length, 1)
