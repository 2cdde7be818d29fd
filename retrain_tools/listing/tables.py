"""Tensors as an aligned table, bare names, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.text_tables import Style, aligned

_COLUMNS = ("name", "dtype", "shape", "op", "consumers")


class Row(NamedTuple):
    """A tensor to print.

    Attributes:
        tensor: the tensor.
        consumers: the nodes that take it.
        extra: what is to be said of it besides, by column.
    """

    tensor: Tensor
    consumers: Sequence[str]
    extra: Mapping[str, Any]


def as_text(rows: Sequence[Row], form: str, style: Style, extra: Sequence[str] = ()) -> str:
    """Return rows as text that ends with a line's end, or is empty.

    Args:
        rows: what to print.
        form: `table`, `names`, `json` or `csv`. A table counts the consumers, unless it has further
            columns; JSON and CSV name them.
        style: how a table stands out on a terminal.
        extra: the names of further columns.
    """
    if form == "names":
        return "".join(f"{row.tensor.name}\n" for row in rows)
    if form == "json":
        return "[" + ",".join(f"\n  {json.dumps(_object(row))}" for row in rows) + "\n]\n"
    if form == "csv":
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([*_COLUMNS, "bytes", *extra])
        lines.writerows(
            [
                *_cells(row.tensor),
                " ".join(row.consumers),
                _cell(row.tensor.bytes),
                *map(_cell, row.extra.values()),
            ]
            for row in rows
        )
        return text.getvalue()
    if extra:  # which say more than how often a tensor is taken
        cells = [(*_cells(row.tensor), *map(_cell, row.extra.values())) for row in rows]
        return aligned([(*_COLUMNS[:-1], *extra), *cells], style)
    cells = [(*_cells(row.tensor), str(len(row.consumers))) for row in rows]
    return aligned([_COLUMNS, *cells], style)


def _object(row: Row) -> dict[str, Any]:
    tensor = row.tensor
    return {
        **tensor._asdict(),
        "bytes": tensor.bytes,
        "consumers": list(row.consumers),
        **row.extra,
    }


def _cells(tensor: Tensor) -> tuple[str, ...]:
    return tensor.name, tensor.dtype, tensor.shape_text, tensor.op


def _cell(value: object) -> str:
    if value is None:
        return "?"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
