"""The Parquet files of a shard as bytes: its part, its failures, its list. No time is in them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from retrain_tools.extras import import_extra
from retrain_tools.features.failures import Failure
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.stores.parquet import write_rows
from retrain_tools.features.stores.table import Column, Rows, as_utf8

IMAGE, LABEL = "image", "label"
"""The columns of a part beside those of the tensors."""

_PURPOSE = "Writing features in parts"


class PartTable(NamedTuple):
    """The rows of a part.

    Attributes:
        images: the image of each row, as the list names it.
        labels: its label, '' for an image without.
        columns: the tensors.
        values: of each tensor, float32 [len(images), *shape].
    """

    images: Sequence[str]
    labels: Sequence[str]
    columns: Sequence[Column]
    values: Sequence[Rows]

    def digest(self) -> str:
        """Return the SHA-256 of the rows, whatever file they are in."""
        digest = hashlib.sha256()
        for column in self.columns:
            digest.update(json.dumps(column).encode() + b"\n")
        for image, label in zip(as_utf8(self.images), as_utf8(self.labels), strict=True):
            digest.update(json.dumps([image, label]).encode() + b"\n")
        for values in self.values:
            digest.update(np.ascontiguousarray(values, np.float32).tobytes())
        return digest.hexdigest()


def check_installed() -> None:
    """Raise InputError if what writes and reads parts is not installed."""
    import_extra("pyarrow.parquet", _PURPOSE)


def part_bytes(table: PartTable) -> bytes:
    """Return the file of a part; the same rows give the same bytes."""
    texts = {IMAGE: table.images, LABEL: [label or None for label in table.labels]}
    file = io.BytesIO()
    write_rows(file, texts, table.columns, lambda i, start, stop: table.values[i][start:stop])
    return file.getvalue()


def read_part(data: bytes, tensors: Sequence[str] | None = None) -> PartTable:
    """Read the file of a part, all tensors of it or some.

    Raises:
        DAMAGE: see `stores.table`: it is not as it was written, or has no such tensor.
    """
    table = _read(data, None if tensors is None else [IMAGE, LABEL, *tensors])
    columns, values = [], []
    for field in table.schema:
        if field.name in (IMAGE, LABEL):
            continue
        shape = _shape_of(field)
        flat = table.column(field.name).combine_chunks().flatten().to_numpy()
        columns.append(Column(field.name, shape))
        values.append(flat.reshape(table.num_rows, *shape))
    if tensors is not None:
        order = [[column.name for column in columns].index(name) for name in tensors]
        columns, values = [columns[i] for i in order], [values[i] for i in order]
    labels = [label or "" for label in table.column(LABEL).to_pylist()]
    return PartTable(table.column(IMAGE).to_pylist(), labels, columns, values)


def _shape_of(field: Any) -> tuple[int, ...]:
    text = (field.metadata or {})[b"shape"].decode()
    return tuple(int(size) for size in text.split(",") if size)


def failures_bytes(failed: Sequence[tuple[str, Failure]]) -> bytes:
    """Return the file of the images that failed, and why."""
    return _texts_bytes(
        {
            "uri": as_utf8(uri for uri, _ in failed),
            "reason": as_utf8(str(why) for _, why in failed),
            "kind": [why.kind for _, why in failed],
        }
    )


def read_failures(data: bytes) -> list[tuple[str, Failure]]:
    """Read the file of the images that failed."""
    found = []
    for row in _read(data).to_pylist():
        failure = Failure(row["reason"])
        failure.kind = row["kind"]
        found.append((row["uri"], failure))
    return found


def list_bytes(entries: Sequence[Entry]) -> bytes:
    """Return the file of a shard's list."""
    return _texts_bytes(
        {
            "uri": as_utf8(entry.uri for entry in entries),
            "size": [entry.size for entry in entries],
            "version": [entry.version for entry in entries],
            LABEL: as_utf8(entry.label or None for entry in entries),
        }
    )


def read_list(data: bytes) -> list[Entry]:
    """Read the file of a shard's list; file names that are no UTF-8 come spelled out."""
    return [
        Entry(row["uri"], row[LABEL] or "", row["size"], row["version"])
        for row in _read(data).to_pylist()
    ]


def _read(data: bytes, columns: Sequence[str] | None = None) -> Any:
    return import_extra("pyarrow.parquet", _PURPOSE).read_table(io.BytesIO(data), columns=columns)


def _texts_bytes(columns: dict[str, list[Any]]) -> bytes:
    arrow = import_extra("pyarrow", _PURPOSE)
    kinds = {name: arrow.int64() if name == "size" else arrow.string() for name in columns}
    file = io.BytesIO()
    table = arrow.table(columns, schema=arrow.schema(list(kinds.items())))
    import_extra("pyarrow.parquet", _PURPOSE).write_table(table, file)
    return file.getvalue()
