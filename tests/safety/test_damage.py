"""Damaged files are findings or errors that say so; never a traceback, never a long wait."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from retrain_tools.errors import InputError
from retrain_tools.safety import hdf5
from retrain_tools.safety.findings import Report
from retrain_tools.safety.scanning import scan
from tests.safety.graphs import constant, graph, meta_graph, named_saver, node, saved_model, saver
from tests.safety.hostile import GRAPHS
from tests.safety.hostile_files import FILES

SEEDS = 12  # of each file


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut off, changed, repeated or moved bytes."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(made) + 1), chance.randint(1, 8)
        match chance.randrange(4):
            case 0:
                del made[at:]
            case 1:
                made[at : at + size] = chance.randbytes(size)
            case 2:
                made[at:at] = made[at : at + 50 * size]
            case 3:
                del made[at : at + size]
    return bytes(made)


@pytest.mark.parametrize("name", [*list(GRAPHS)[::4], *FILES])
def test_a_damaged_file_is_a_finding_or_an_error(name: str, tmp_path: Path) -> None:
    path = (GRAPHS | FILES)[name].make(tmp_path)
    if path.is_dir():
        path /= "saved_model.pb"
    data = path.read_bytes()
    for seed in range(2 if path.suffix == ".h5" else SEEDS):  # HDF5 takes a process each
        path.write_bytes(damaged(data, random.Random(f"{name}{seed}")))
        try:
            report = scan(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert isinstance(report, Report)


def test_inconsistent_graphs_are_looked_into(tmp_path: Path) -> None:
    """Edges to nowhere, cycles, two nodes of one name, functions that call each other."""
    nodes = [
        *saver(),
        node("Identity", "nowhere:7", "^nor_there", name="lost"),
        node("Identity", "b", name="a"),
        node("Identity", "a", name="b"),
        node("InitializeTableFromTextFileV2", "t", "a", name="table"),
        node("InitializeTableFromTextFileV2", name="bare"),
        node("CacheDataset", "a", "b", name="cache"),
        constant("lost", b"x"),
        node("PartitionedCall", name="call", f="f"),
    ]
    functions = {
        "f": [node("PartitionedCall", name="inner", f="g"), node("SaveV2", name="save")],
        "g": [node("PartitionedCall", name="inner", f="f")],
    }

    def change(meta) -> None:
        named_saver(meta)
        meta.saver_def.restore_op_name = "not/there"
        meta.signature_def["s"].outputs["y"].name = "not/there:0"
        meta.collection_def["saved_model_main_op"].node_list.value.append("not/there")

    made = graph(*nodes, functions=functions)
    for name, message in {
        "g.pb": made,
        "m.meta": meta_graph(made, change),
        "saved_model.pb": saved_model(meta_graph(made, change)),
    }.items():
        (tmp_path / name).write_bytes(message.SerializeToString())
        found = {
            (f.name, f.node) for f in scan(tmp_path / name).findings if f.severity.word == "high"
        }
        assert found >= {
            ("InitializeTableFromTextFileV2", "table"),
            ("InitializeTableFromTextFileV2", "bare"),
            ("SaveV2", "save"),
        }


def test_hdf5_that_takes_too_long_is_an_error(tmp_path: Path, monkeypatch) -> None:
    path = FILES["a custom layer in an HDF5 file"].make(tmp_path)
    monkeypatch.setattr(hdf5, "_MOST_SECONDS", 0.01)
    with pytest.raises(InputError) as raised:
        scan(path)
    said = f"{path} is damaged: reading it takes more than 0.01 s; download or copy it again."
    assert str(raised.value) == said
