"""Stores of features as fetch_tensors and fetch_many write them, of given rows."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from retrain_tools import storage
from retrain_tools.features.cache import Identity
from retrain_tools.features.fetch_record import Record, write_record
from retrain_tools.features.rows import Source
from retrain_tools.features.stores import FORMATS, Column, Table

KINDS = [*FORMATS]


def identity(tensor: str = "pool:0", fingerprint: str = "f" * 64) -> Identity:
    return Identity(fingerprint, tensor, "none", {})


def write_store(
    path: Path,
    images: Sequence[str],
    labels: Sequence[str] | None,
    values: Mapping[str, np.ndarray],
    identities: Mapping[str, Identity] | None = None,
) -> Path:
    """Write a file as fetch_tensors does, with its record."""
    columns = [Column(name, array.shape[1:]) for name, array in values.items()]
    arrays = list(values.values())
    table = Table(images, columns, lambda i, start, stop: arrays[i][start:stop], labels)
    FORMATS[path.suffix].write(path, table)
    made = dict(identities or {name: identity(name) for name in values})
    told = labels or [""] * len(images)
    sources = [Source(image, 1, 2, label) for image, label in zip(images, told, strict=True)]
    write_record(path, Record(made, columns, sources), "graph.pb")
    return path


def write_parts(
    folder: str,
    images: Sequence[str],
    labels: Sequence[str | None],
    values: Mapping[str, np.ndarray],
    size: int = 4,
    identities: Mapping[str, Identity] | None = None,
) -> str:
    """Write a folder of parts by the layout of issue 14, by pyarrow alone."""
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install pyarrow")
    import pyarrow.parquet as parquet

    starts = range(0, len(images), size)
    for number, start in enumerate(starts):
        some = slice(start, start + size)
        columns = {
            "image": arrow.array(images[some], arrow.string()),
            "label": arrow.array(labels[some], arrow.string()),
        }
        fields = [arrow.field(name, arrow.string()) for name in columns]
        for name, array in values.items():
            flat = arrow.array(array[some].reshape(-1))
            width = int(np.prod(array.shape[1:]))
            columns[name] = arrow.FixedSizeListArray.from_arrays(flat, width)
            shape = ",".join(map(str, array.shape[1:]))
            fields.append(arrow.field(name, columns[name].type, metadata={"shape": shape}))
        file = io.BytesIO()
        parquet.write_table(arrow.table(columns, schema=arrow.schema(fields)), file)
        stem = storage.join(folder, f"part-{number:05d}")
        storage.write(f"{stem}.parquet", file.getvalue())
        digest = hashlib.sha256(file.getvalue()).hexdigest()
        record = {"format": 1, "rows": len(images[some]), "sha256": digest}
        storage.write(f"{stem}.json", json.dumps(record).encode())
    made = identities or {name: identity(name) for name in values}
    manifest = {
        "format": 1,
        "graph": "graph.pb",
        "tensors": {name: vars(one) for name, one in made.items()},
        "shard_size": size,
        "list": {"shards": len(starts)},
    }
    storage.write(storage.join(folder, "manifest.json"), json.dumps(manifest).encode())
    return folder
