"""Changes to what only a library can write: HDF5 files, Parquet files and pickles."""

from __future__ import annotations

import io
import pickle
import pickletools
from random import Random
from typing import Any

import numpy as np

from fuzzing.raw_bytes import changed_bytes
from fuzzing.texts import changed_json

_OPS = [op.code.encode("latin-1") for op in pickletools.opcodes]
_GLOBALS = (
    ("os", "mkdir"), ("builtins", "eval"), ("numpy", "ndarray"), ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"), ("builtins", "dict"), ("collections", "OrderedDict"),
    ("numpy.core.multiarray", "scalar"), ("_codecs", "encode"), ("copyreg", "_reconstructor"),
)  # fmt: skip


def changed_pickle(data: bytes, chance: Random) -> bytes:
    """Return a pickle with other instructions; one that names `os.mkdir` would make a folder."""
    if chance.random() < 0.3:
        return changed_bytes(data, chance)
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except Exception:  # whatever a damaged one raises
        return changed_bytes(data, chance)
    made = data
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.choice(places)
        match chance.randrange(5):
            case 0:
                piece = chance.choice(_OPS)
            case 1:
                module, name = chance.choice(_GLOBALS)
                piece = f"c{module}\n{name}\n".encode()
            case 2:
                piece = pickle.dumps(_any_value(chance), 2)[2:-1]
            case 3:
                start = chance.choice(places)
                piece = made[start : start + chance.choice((1, 2, 10, 100))]
            case _:
                made = made[:at] + made[at + chance.choice((1, 2, 5, 40)) :]
                continue
        made = made[:at] + piece + made[at:]
    return made


def _any_value(chance: Random) -> Any:
    values = (
        None, -1, 2**70, 0.5, "a.jpg", b"\0" * 8, (), (2, 3), (-1,), [], {}, [1, [2]], {"a": 1},
        {1: 2}, (2**62, 2**62), "<f4", "|O", "x" * 5000, True,
    )  # fmt: skip
    return chance.choice(values)


def changed_hdf5(data: bytes, chance: Random) -> bytes:
    """Return an HDF5 file with other attributes, arrays or links; or with other bytes."""
    if chance.random() < 0.5:
        return changed_bytes(data, chance)
    import h5py

    held = io.BytesIO(data)
    try:
        with h5py.File(held, "r+") as file:
            groups: list[Any] = [file]
            file.visititems(lambda _, item: groups.append(item))
            for _ in range(chance.choice((1, 1, 2, 4))):
                _change_item(chance.choice(groups), chance)
    except Exception:  # h5py raises what it likes, and a changed file may be anything
        return changed_bytes(data, chance)
    return held.getvalue()


def _change_item(item: Any, chance: Random) -> None:
    import h5py

    keys = list(item.attrs)
    if keys and chance.random() < 0.6:
        _change_attribute(item, chance.choice(keys), chance)
        return
    names = ("", "x", "layer_names", "weight_names", "param_0", "layer_0", "images", "labels")
    name = chance.choice(names)
    if not isinstance(item, h5py.Group):
        item.attrs[name or "y"] = _attribute(chance)
        return
    there = list(item)
    target = f"{name}{chance.randrange(99)}"
    match chance.randrange(7):
        case 0 if there:
            del item[chance.choice(there)]
        case 1:
            item[target] = h5py.SoftLink(chance.choice(("/", ".", "/nowhere", item.name)))
        case 2:
            item[target] = h5py.ExternalLink("/etc/passwd", "/")
        case 3:
            item[target] = item  # a cycle
        case 4:
            item.create_dataset(target, chance.choice(((), (0,), (2**20, 2**11), (3,))), "f4",
                                chunks=None)  # fmt: skip
        case 5:
            kinds = ("f2", "S5", "u8", h5py.string_dtype(), "c8", [("a", "f4")], "?")
            item.create_dataset(target, data=np.zeros((2, 3), chance.choice(kinds)))
        case _:
            item.create_dataset(target, data=h5py.Empty("f4"))


def _change_attribute(item: Any, key: str, chance: Random) -> None:
    value = item.attrs[key]
    if chance.random() < 0.2:
        del item.attrs[key]
    elif isinstance(value, (str, bytes)) and chance.random() < 0.7:
        text = value if isinstance(value, bytes) else value.encode()
        changed = changed_json(text, chance)
        if len(changed) < 60_000 and b"\0" not in changed:
            item.attrs[key] = np.bytes_(changed)
    elif isinstance(value, np.ndarray) and chance.random() < 0.6:
        item.attrs[key] = value[:: chance.choice((-1, 2, 1000))]
    else:
        item.attrs[key] = _attribute(chance)


def _attribute(chance: Random) -> Any:
    import h5py

    values = (
        0, -1, 2**62, 1.5, "", "x", b"\xff", "x" * 5000, np.zeros((2, 3)), h5py.Empty("f4"), [b"a"],
        [b"layer", b"\xff"], np.array([b"../x"] * 3), np.zeros(0), True, [1, 2], 10**6,
        np.void(b"\0\1"), "{}", "[" * 3000,
    )  # fmt: skip
    return chance.choice(values)


def changed_parquet(data: bytes, chance: Random) -> bytes:
    """Return a Parquet file of other columns; or with other bytes."""
    if chance.random() < 0.6:
        return changed_bytes(data, chance)
    import pyarrow as arrow
    from pyarrow import parquet

    count = chance.choice((0, 1, 3))
    columns: dict[str, Any] = {}
    for name in chance.sample(("images", "labels", "a", "path", "", "a.b", "é"), 3):
        columns[name] = chance.choice(_columns(arrow, count))
    metadata = {"shape": chance.choice((b"", b"3", b"-1", b"2,2", b"x", b"0", b"9" * 30, b"\xff"))}
    try:
        table = arrow.table(columns)
        fields = [
            field.with_metadata(metadata) if chance.random() < 0.5 else field
            for field in table.schema
        ]
        held = io.BytesIO()
        parquet.write_table(table.cast(arrow.schema(fields)), held)
    except Exception:  # what Arrow cannot write
        return changed_bytes(data, chance)
    return held.getvalue()


def _columns(arrow: Any, count: int) -> list[Any]:
    values = range(count)
    return [
        arrow.array([f"{n}.jpg" for n in values]),
        arrow.array([[1.0] * 3 for _ in values], arrow.list_(arrow.float32())),
        arrow.array([[1.0] * n for n in values], arrow.list_(arrow.float64())),
        arrow.array([None for _ in values], arrow.float32()),
        arrow.array([None for _ in values]),
        arrow.array([[None] for _ in values], arrow.list_(arrow.float32())),
        arrow.array([[[1.0]] for _ in values], arrow.list_(arrow.list_(arrow.float32()))),
        arrow.array([["x"] for _ in values], arrow.list_(arrow.string())),
        arrow.array(["a" for _ in values]).dictionary_encode(),
        arrow.array([b"\xff" for _ in values], arrow.binary()),
        arrow.array([True for _ in values]),
        arrow.array([2**63 - 1 for _ in values], arrow.int64()),
        arrow.array([{"a": 1} for _ in values], arrow.struct([("a", arrow.int32())])),
        arrow.array(list(values), arrow.timestamp("ns")),
        arrow.array([1.0 for _ in values], arrow.float16()),
        arrow.array([1 for _ in values], arrow.decimal128(10)),
        arrow.array([[1.0] * 2 for _ in values], arrow.list_(arrow.float32(), 2)),
    ]
