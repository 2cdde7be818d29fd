"""One Parquet file: a column of lists for each tensor, its shape in the field's metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from retrain_tools import files
from retrain_tools.extras import import_extra
from retrain_tools.features.stores.table import (
    TEXTS_AT_ONCE,
    Column,
    Contents,
    Format,
    Rows,
    Table,
    Texts,
    as_utf8,
    check_expansion,
    steps,
)


def _write(path: Path, table: Table) -> None:
    with files.replacing(path) as file:
        write_rows(file, table.texts(), table.columns, table.rows)


def write_rows(
    file: BinaryIO,
    texts: Mapping[str, Sequence[str | None]],
    columns: Sequence[Column],
    rows: Callable[[int, int, int], Rows],
) -> None:
    """Write columns of texts and one of lists for each tensor; the same rows give the same bytes.

    There are as many rows as each of the `texts` has; `rows` is as in a `Table`.

    Raises:
        InputError: pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    fields = [arrow.field(name, arrow.string()) for name in texts]
    for name, shape in columns:
        kind = arrow.list_(arrow.float32(), int(np.prod(shape)))
        text = ",".join(map(str, shape))
        fields.append(arrow.field(name, kind, metadata={"shape": text}))
    schema = arrow.schema(fields)
    with parquet.ParquetWriter(file, schema) as writer:
        for start, stop in steps(len(next(iter(texts.values()))), columns):
            arrays = [
                arrow.array(as_utf8(some[start:stop]), arrow.string()) for some in texts.values()
            ]
            for index, field in enumerate(fields[len(texts) :]):
                flat = arrow.array(rows(index, start, stop).reshape(-1))
                arrays.append(arrow.FixedSizeListArray.from_arrays(flat, field.type.list_size))
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _read(path: Path, columns: Sequence[Column], count: int) -> Iterator[list[Rows]]:
    _, parquet = _arrow()
    found = 0
    with parquet.ParquetFile(path) as file:
        step = next(steps(count, columns), (0, 1))[1]
        for batch in _batches(file, step, [name for name, _ in columns]):
            found += batch.num_rows
            yield [
                batch.column(name).flatten().to_numpy().reshape(batch.num_rows, *shape)
                for name, shape in columns
            ]
    if found != count:
        raise ValueError(f"{found} rows")


def _batches(file: Any, rows: int, columns: list[str]) -> Iterator[Any]:
    """Yield the rows of an open file, from one row group after the other.

    Read as one, they all come into memory before the first of them is there.
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=columns)


def _texts(path: Path, name: str) -> Texts | None:
    _, parquet = _arrow()
    with parquet.ParquetFile(path) as file:
        if name not in file.schema_arrow.names:
            return None
        return Texts(file.metadata.num_rows, _read_texts(path, name))


def _read_texts(path: Path, name: str) -> Iterator[str]:
    _, parquet = _arrow()
    with parquet.ParquetFile(path) as file:
        for batch in _batches(file, TEXTS_AT_ONCE, [name]):
            for text in batch.column(0).to_pylist():
                yield text or ""


def _contents(path: Path) -> Contents:
    """Read columns of lists as arrays [N, length], or of the shape that fetch_tensors noted."""
    arrow, parquet = _arrow()
    found: dict[str, Any] = {}
    with parquet.ParquetFile(path) as file:
        about = file.metadata
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        values = sum(g.column(n).num_values for g in groups for n in range(g.num_columns))
        check_expansion(8 * values, path)
        table = file.read()
    for field, column in zip(table.schema, table.columns, strict=True):
        whole = column.combine_chunks()
        if column.null_count:
            raise ValueError(f"{field.name!r} has rows without a value")
        kind = field.type
        if arrow.types.is_dictionary(kind):  # pandas' categories
            kind, whole = kind.value_type, whole.dictionary_decode()
        if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
            found[field.name] = np.array(whole.to_pylist(), np.str_)
        elif _is_list(arrow, kind):
            found[field.name] = _of_lists(field, whole)
        elif _is_number(arrow, kind):
            found[field.name] = whole.to_numpy(zero_copy_only=False)
    return found


def _of_lists(field: Any, whole: Any) -> Any:
    if not _is_number(import_extra("pyarrow", "A Parquet file"), field.type.value_type):
        raise ValueError(f"{field.name!r} holds lists of {field.type.value_type}, not of numbers")
    flat = whole.flatten()
    if flat.null_count:
        raise ValueError(f"{field.name!r} has lists with no number in some places")
    lengths = set(whole.value_lengths().to_pylist())
    if len(lengths) > 1:
        raise ValueError(f"{field.name!r} has lists of {min(lengths)} to {max(lengths)} numbers")
    noted = (field.metadata or {}).get(b"shape")
    shape = [int(size) for size in noted.split(b",") if size] if noted is not None else [-1]
    return flat.to_numpy(zero_copy_only=False).reshape(len(whole), *shape)


def _is_list(arrow: Any, kind: Any) -> bool:
    tests = (arrow.types.is_list, arrow.types.is_large_list, arrow.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _is_number(arrow: Any, kind: Any) -> bool:
    return arrow.types.is_floating(kind) or arrow.types.is_integer(kind)


def _arrow() -> tuple[Any, Any]:
    arrow = import_extra("pyarrow", "A Parquet file")
    return arrow, import_extra("pyarrow.parquet", "A Parquet file")


FORMAT = Format(_write, _read, package="pyarrow.parquet", contents=_contents, texts=_texts)
