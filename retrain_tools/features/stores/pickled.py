"""A pickled dict {image: feature}, as older tools wrote it; several tensors: a dict of them.

Labels stand in a pickle of their own, a dict {image: label}: programs that expect features find
nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.features.stores.safe_pickle import read_pickle
from retrain_tools.features.stores.table import (
    LABELS,
    Contents,
    Format,
    Rows,
    Table,
    steps,
)


class _Features:
    """A dict {image: feature} that is pickled without ever being one."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (), None, None, self._items()

    def _items(self) -> Iterator[tuple[str, Any]]:
        table = self._table
        names = [column.name for column in table.columns]
        for start, stop in steps(len(table.images), table.columns):
            rows = [table.rows(index, start, stop) for index in range(len(names))]
            for row, image in enumerate(table.images[start:stop]):
                values = [some[row, ...] for some in rows]  # the dots: an array, also of no axis
                yield (
                    image,
                    values[0] if len(values) == 1 else dict(zip(names, values, strict=True)),
                )


def _portable(array: Rows) -> tuple[Any, ...]:
    """Pickle an array by names that every NumPy has; its own way names modules of NumPy 2."""
    return np.ndarray, (array.shape, "<f4", bytearray(array.astype("<f4").tobytes()))


def _write(path: Path, table: Table) -> None:
    with files.replacing(path) as file:
        pickler = pickle.Pickler(file, protocol=4)
        pickler.fast = True  # else it remembers, and keeps, all that it has written
        pickler.dispatch_table = {np.ndarray: _portable}
        pickler.dump(_Features(table))
    if table.labels:
        with files.replacing(_labels(path)) as file:
            pickle.dump(dict(zip(table.images, table.labels, strict=True)), file, protocol=4)
    else:
        _labels(path).unlink(missing_ok=True)  # those of what is replaced


def _labels(path: Path) -> Path:
    return path.with_suffix(f".{LABELS}.pkl")


def _contents(path: Path) -> Contents:
    """Return what the pickle holds under ''; where labels stand beside it, under LABELS."""
    beside = _labels(path)
    found = {"": read_pickle(path)}
    return found | ({LABELS: read_pickle(beside)} if beside.exists() else {})


FORMAT = Format(
    _write,
    None,  # a pickle is a program: `contents` reads it without running it, and in one piece
    holds_texts=False,
    contents=_contents,
    files=lambda path, _: [path, _labels(path)],
)
