"""One Parquet file: a column of lists for each tensor, its shape in the field's metadata."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import files
from retrain_tools.extras import import_extra
from retrain_tools.features.stores.table import Column, Format, Rows, Table, as_utf8, steps


def _write(path: Path, table: Table) -> None:
    arrow, parquet = _arrow()
    texts = table.texts()
    fields = [arrow.field(name, arrow.string()) for name in texts]
    for name, shape in table.columns:
        kind = arrow.list_(arrow.float32(), int(np.prod(shape)))
        text = ",".join(map(str, shape))
        fields.append(arrow.field(name, kind, metadata={"shape": text}))
    schema = arrow.schema(fields)
    with files.replacing(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for start, stop in steps(len(table.images), table.columns):
            arrays = [arrow.array(as_utf8(some[start:stop])) for some in texts.values()]
            for index, field in enumerate(fields[len(texts) :]):
                flat = arrow.array(table.rows(index, start, stop).reshape(-1))
                arrays.append(arrow.FixedSizeListArray.from_arrays(flat, field.type.list_size))
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _read(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    _, parquet = _arrow()
    found = 0
    with parquet.ParquetFile(path) as file:
        step = next(steps(count, columns), (0, 1))[1]
        for batch in file.iter_batches(step, columns=[name for name, _ in columns]):
            found += batch.num_rows
            yield [
                batch.column(name).flatten().to_numpy().reshape(batch.num_rows, *shape)
                for name, shape in columns
            ]
    if found != count:
        raise ValueError(f"{found} rows")


def _arrow() -> tuple[Any, Any]:
    arrow = import_extra("pyarrow", "A Parquet file")
    return arrow, import_extra("pyarrow.parquet", "A Parquet file")


FORMAT = Format(_write, _read, package="pyarrow.parquet")
