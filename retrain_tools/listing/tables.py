"""Lists as an aligned table, bare names, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from retrain_tools.graphdef.tensors import Tensor, shape_text
from retrain_tools.text_tables import Style, aligned


class Lines(NamedTuple):
    """A list to be printed: the names of its columns, and its cells."""

    columns: Sequence[str]
    cells: Sequence[Sequence[Any]]


def tensor_lines(
    tensors: Sequence[Tensor],
    consumers: Mapping[str, Sequence[str]],
    form: str,
    columns: Sequence[str],
    extra: Mapping[str, Mapping[str, Any]],
    parts: Mapping[str, str] | None = None,
) -> Lines:
    """Return a line for each tensor, for one of the forms of `lines_text`.

    The consumers, which are named by the tensor that they take, are counted in a table, unless it
    has further `columns`; JSON and CSV name them. The cells of further columns are in `extra`, by
    the tensor's name and by column.
    """
    takes = [consumers.get(tensor.name, ()) for tensor in tensors]
    middle: tuple[str, ...] = () if columns else ("consumers",)
    cells: list[tuple[Any, ...]] = [() if columns else (len(names),) for names in takes]
    if form == "json":
        middle = ("bytes", "consumers")
        cells = [(tensor.bytes, names) for tensor, names in zip(tensors, takes, strict=True)]
    elif form == "csv":
        middle = ("consumers", "bytes")
        cells = [(" ".join(c), tensor.bytes) for tensor, c in zip(tensors, takes, strict=True)]
    if columns:
        more = (extra[tensor.name].values() for tensor in tensors)
        cells = [(*cell, *figures) for cell, figures in zip(cells, more, strict=True)]
    if parts is not None:
        columns, unsaid = (*columns, "part"), None if form == "json" else ""
        cells = [
            (*cell, parts.get(tensor.name, unsaid))
            for tensor, cell in zip(tensors, cells, strict=True)
        ]
    return Lines(
        (*Tensor._fields, *middle, *columns),
        [(*tensor, *cell) for tensor, cell in zip(tensors, cells, strict=True)],
    )


def lines_text(lines: Lines, form: str, style: Style, unknown: str = "-") -> str:
    """Return lines as text that ends with a line's end, or is empty.

    The form is `table`, `names` (the first column, each once), `json` or `csv`. In a table and in
    CSV, None is shown as `unknown`.
    """
    if form == "names":
        return "".join(f"{name}\n" for name in dict.fromkeys(line[0] for line in lines.cells))
    if form == "json":
        objects = (json.dumps(dict(zip(lines.columns, row, strict=True))) for row in lines.cells)
        return "[" + ",".join(f"\n  {item}" for item in objects) + "\n]\n"

    def shown(value: Any) -> str:
        if value is None:
            return unknown
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    # Column by column, which is faster; without any line there are no columns to go through.
    texts = [
        map(shape_text if column == "shape" else shown, values)
        for column, values in zip(lines.columns, zip(*lines.cells, strict=True), strict=False)
    ]
    rows = [lines.columns, *zip(*texts, strict=True)]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()
    return aligned(rows, style)
