"""One change of an input: which of its files, and in which way, by what is in it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import libraries, sealed
from fuzzing.inputs import Input
from fuzzing.messages import changed_message
from fuzzing.raw_bytes import changed_bytes
from fuzzing.texts import changed_json, changed_text
from retrain_tools.graphdef import schema

_MESSAGES: Mapping[str, Any] = {
    "*.meta": schema.MetaGraphDef,
    "saved_model.pb*": schema.SavedModel,
    "export.meta": schema.MetaGraphDef,
    "*.pb": schema.GraphDef,
    "graph*.pbtxt": schema.GraphDef,
}
_JSON = ("*.json", "sources", "*.crc32")
_TEXTS = ("*.txt", "*.toml", "*.pbtxt", "checkpoint", "*.csv")


def changed(seed: Input, others: Sequence[Input], chance: Random) -> Input:
    """Return an input with one file changed, or by chance missing, renamed or added.

    Args:
        seed: what is changed.
        others: of the same reader; of their files pieces may be taken.
        chance: the random numbers.
    """
    files = dict(seed.files)
    name = chance.choice(list(files))
    if len(files) > 1 and chance.random() < 0.03:
        del files[name]
        return Input(files, seed.entry)
    if chance.random() < 0.02:  # another file's content under this name
        other = chance.choice(others)
        files[name] = chance.choice(list(other.files.values()))
        return Input(files, seed.entry)
    alike = [one.files[name] for one in others if name in one.files]
    files[name] = _changed_file(name, files[name], chance, alike)
    return Input(files, seed.entry)


def _changed_file(name: str, data: bytes, chance: Random, alike: Sequence[bytes] = ()) -> bytes:
    """Return a file's content after some changes, by its name and first bytes."""
    base = name.rpartition("/")[2]
    if data.startswith(b"PK\x03\x04") and chance.random() < 0.85:
        return sealed.changed_zip(data, chance, _changed_file)
    if data.startswith(b"\x1f\x8b") and chance.random() < 0.85:
        if base.endswith(("tgz", "tar.gz")):
            return sealed.changed_tar(data, chance, _changed_file)
        return sealed.changed_gzip(data, chance, _changed_file, base.removesuffix(".gz"))
    if data.startswith(b"\x89HDF"):
        return libraries.changed_hdf5(data, chance)
    if data.startswith(b"PAR1"):
        return libraries.changed_parquet(data, chance)
    if data.startswith(b"\x80") and base.endswith(".pkl"):
        return libraries.changed_pickle(data, chance)
    if data[-8:] == bytes.fromhex("57fb808b247547db") and chance.random() < 0.8:
        return _changed_table(data, chance)
    if b"RTi1" in data:
        return sealed.changed_index(data, chance)
    if data.startswith(b"\x93NUMPY"):
        return sealed.changed_npy(data, chance)
    for pattern, message in _MESSAGES.items():
        if fnmatch(base, pattern):
            return changed_message(data, message, chance, alike, text=base.endswith(".pbtxt"))
    if any(fnmatch(base, pattern) for pattern in _JSON):
        return changed_json(data, chance, alike)
    if any(fnmatch(base, pattern) for pattern in _TEXTS):
        return changed_text(data, chance, alike)
    return changed_bytes(data, chance, alike)


def _changed_table(data: bytes, chance: Random) -> bytes:
    """Return a checkpoint's table with an entry changed, under sound checksums."""
    with tempfile.TemporaryDirectory() as folder:
        items = sealed.table_items(data, Path(folder) / "table")
    if not items:
        return changed_bytes(data, chance)
    is_first = dict(items).get(b"", b"")
    at = chance.randrange(len(items))
    key, value = items[at]
    if chance.random() < 0.3:  # what all depends on stands under the empty key
        at, (key, value) = 0, items[0]
    is_v2 = len(is_first) < 40
    message = schema.SavedTensorSlices
    if is_v2:
        message = schema.BundleEntryProto if key else schema.BundleHeaderProto
    match chance.randrange(8):
        case 0:
            del items[at]
        case 1:
            items[at] = (changed_bytes(key, chance), value)
        case 2:
            items[at] = (key, chance.choice(items)[1])
        case _:
            items[at] = (key, changed_message(value, message, chance, [v for _, v in items[1:]]))
    if chance.random() < 0.9:
        items.sort()
    return sealed.table_bytes(items)
