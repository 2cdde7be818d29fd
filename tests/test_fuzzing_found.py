"""What tools/fuzz.py found, each with the smallest input that shows it: a message, nothing else."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.catalog_entry import read_entry
from retrain_tools.engine import kept_plans
from retrain_tools.errors import InputError
from retrain_tools.features.cache import Identity
from retrain_tools.features.checksums import read_checksums
from retrain_tools.features.fetch_record import read_record
from retrain_tools.features.manifest import read_manifest
from retrain_tools.features.matrix_cache import MatrixCache
from retrain_tools.features.row_index import Block, block_bytes
from retrain_tools.graphdef import schema, training_parts
from retrain_tools.graphdef.build import new_node
from retrain_tools.head import checkpoints
from retrain_tools.head.labels import read_labels
from retrain_tools.listing import wiring
from retrain_tools.listing.choose import Filters, Kinds
from retrain_tools.listing.modes import Form, Part, list_text
from retrain_tools.sources.kinds import Place
from retrain_tools.sources.readers.keras import open_keras
from retrain_tools.text_tables import Style

NESTED = b"[" * 100_000
IDENTITY = Identity("0" * 64, "pool:0", "none", {})


def refusal(read: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as raised:
        read(*arguments)
    return str(raised.value)


# Texts that are nested without end, or have numbers of thousands of digits


def test_a_manifest_that_is_nested_without_end_is_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(NESTED)
    said = refusal(read_manifest, tmp_path, "")
    assert said.startswith(f"{tmp_path / 'manifest.json'} is not a manifest of this version.")


def test_a_record_that_is_nested_without_end_is_none(tmp_path: Path) -> None:
    output = tmp_path / "f.npz"
    output.touch()
    Path(f"{output}.json").write_bytes(NESTED)
    said = refusal(read_record, output, {"pool": IDENTITY})
    assert said.startswith(f"{output} has a record that cannot be read.")


@pytest.mark.parametrize("name", ["..", "../x", "/x", "a/b", "\0", "\ud800", "x" * 300, ""])
def test_a_record_that_names_what_is_no_file_beside_it_is_none(name: str, tmp_path: Path) -> None:
    output = tmp_path / "f.npz"
    output.touch()
    record = {"format": 1, "graph": "", "tensors": {}, "images": [], "files": [[name, 1, 1]]}
    Path(f"{output}.json").write_text(json.dumps(record))
    said = refusal(read_record, output, {"pool": IDENTITY})
    assert said.startswith(f"{output} has a record that cannot be read.")


@pytest.mark.parametrize("record", [NESTED, b"[]", b"5", b'{"tensors": [[1]]}', b"{}"])
def test_arrays_without_a_sound_record_of_their_names_are_a_message(
    record: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "f.npy"
    Path(f"{path}.json").write_bytes(record)
    said = refusal(rt.read_features, path)
    assert said.startswith(f"{path} cannot be read as features: ")


def test_checksums_of_what_is_no_name_are_left_out(tmp_path: Path) -> None:
    sums = tmp_path / "checksums.crc32"
    sums.write_bytes(b'00000001 "a"\n00000002 true\n00000003 []\n00000004 ' + NESTED)
    assert read_checksums(sums) == {"a": 1}


def test_an_entry_with_a_number_of_5000_digits_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f"description = {'9' * 5000}")
    assert refusal(read_entry, path).startswith(f"{path} is not a TOML file: Exceeds the limit")


def test_an_entry_that_is_nested_without_end_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text("a = " + "[" * 5000)
    # tomllib of newer Pythons counts the levels itself.
    assert refusal(read_entry, path).startswith(str(path))


def test_a_text_graph_with_a_number_that_no_field_can_have_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "graph.pbtxt"
    path.write_text(
        'node { name: "a" op: "Const" attr { key: "T" value { type: 21474836472147483647 } } }'
    )
    said = refusal(rt.load, path)
    assert said.startswith(f"{path} is a text GraphDef that cannot be read: ")
    assert "\n" not in said


def test_a_label_map_with_a_class_of_5000_digits_has_more_classes_than_scores(
    tmp_path: Path,
) -> None:
    path = tmp_path / "map.pbtxt"
    path.write_text(f'entry {{ target_class: {"9" * 5000} target_class_string: "n01" }}')
    (tmp_path / "imagenet_synset_to_human_label_map.txt").write_text("n01\tname\n")
    said = refusal(read_labels, path, 5)
    assert said.startswith(f"{path} labels classes up to {'9' * 18}, but the graph gives 5 scores")


# Numbers that are too large


@pytest.mark.parametrize(
    "known",
    [
        '{"shapes": [[Infinity]], "sizes": [2], "by_onednn": true}',
        '{"shapes": [[2]], "sizes": [NaN], "by_onednn": true}',
        '{"shapes": [[2]], "sizes": [2], "by_onednn": true, "fastest": "two"}',
        '{"shapes": [[2]], "sizes": [2], "by_onednn": true, "differences": []}',
        NESTED.decode(),
    ],
)
def test_what_is_known_of_a_plan_counts_only_where_it_is_sound(known: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(known)
    assert kept_plans._read_known(path) is None


@pytest.mark.parametrize("row", [2**31, 2**60, 2**62, 2**63 - 1])
def test_a_row_that_no_file_can_have_is_damaged(row: int, tmp_path: Path) -> None:
    folder = matrix(tmp_path, ["a/1.jpg"], row)
    said = refusal(rt.read_bottlenecks, folder)
    assert said.endswith("is damaged: not the values that were written")


def test_an_index_with_fewer_names_than_rows_is_damaged(tmp_path: Path) -> None:
    folder = matrix(tmp_path, ["a/1.jpg\0a/2.jpg"], 0)
    cache = MatrixCache(folder, "", 0)
    assert cache.images() == []
    assert "is not of a cache of this program, or damaged" in refusal(cache.check)


def matrix(folder: Path, names: list[str], row: int) -> Path:
    rows = np.full(len(names), row, np.int64)
    block = Block(names, rows, rows * 0, np.zeros((len(names), 4), np.int64))
    stem = MatrixCache(folder, "", 5).path
    np.save(stem, np.zeros((1, 5), np.float32))
    stem.with_suffix(".index").write_bytes(block_bytes(5, block))
    return folder


@pytest.mark.parametrize("size", [1 << 33, 1 << 62])
def test_a_pickle_that_claims_gigabytes_takes_no_memory(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f.pkl"
    path.write_bytes(b"\x80\x05\x96" + struct.pack("<Q", size) + b"abc.")
    tracemalloc.start()
    try:
        said = refusal(rt.read_features, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said == f"{path} cannot be read as features: a damaged or cut-off pickle."
    assert peak < 20 << 20


def test_a_keras_file_whose_description_unpacks_to_megabytes_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr("config.json", b" " * (33 << 20))
    assert refusal(rt.load, path) == (
        f"{path} is damaged: its config.json would unpack to more than 33,554,432 bytes; download "
        "or copy it again."
    )


def test_a_keras_file_that_names_no_version_is_a_message(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", '{"class_name": "Model"}')
    damaged = path.read_bytes().replace(b"metadata.json{}", b"metadata.json{ ")
    path.write_bytes(damaged)  # what cannot be told by its content goes by its name
    assert refusal(rt.load, path).startswith(f"{path} is damaged or cut off: ")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", '{"class_name": "Model"}')
    said = refusal(open_keras, Place.of(path))
    assert said.startswith(f"{path} is damaged or cut off: its metadata are not those of a model;")


# A training's checkpoint that is sound as a file, and not what a training goes on from

STEPS = {"accuracy": [0.5], "cross_entropy": [1.0]}
SOUND = {
    "part": "head", "steps": 1, "random": np.random.default_rng(1).bit_generator.state,
    "curves": {"steps": STEPS, "evaluations": []}, "format": 1, "depends_on": {},
}  # fmt: skip
ARRAYS = {"weights": np.zeros((3, 2), np.float32), "biases": np.zeros(2, np.float32)}


def checkpoint(path: Path, record: Any, arrays: Any) -> Path:
    np.savez(path, record=np.frombuffer(json.dumps(record).encode(), np.uint8), **arrays)
    return path


def test_a_sound_checkpoint_is_read(tmp_path: Path) -> None:
    found = checkpoints._read(checkpoint(tmp_path / "c.npz", SOUND, ARRAYS), {})
    assert (found.part, found.steps, found.curves["steps"]) == ("head", 1, STEPS)


@pytest.mark.parametrize(
    "change",
    [
        {"part": "nothing"}, {"part": "layers"}, {"steps": -1}, {"steps": "1"}, {"random": {}},
        {"random": {"bit_generator": "MT19937"}}, {"random": None}, {"curves": []},
        {"curves": {"steps": {}, "evaluations": []}}, {"depends_on": 5},
        {"curves": {"steps": STEPS, "evaluations": None}},
        {"curves": {"steps": {"accuracy": 1, "cross_entropy": 2}, "evaluations": []}},
    ],
)  # fmt: skip
def test_a_checkpoint_that_lacks_what_training_takes_is_a_message(
    change: dict[str, Any], tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "c.npz", SOUND | change, ARRAYS)
    said = refusal(checkpoints._read, path, {"learning_rate": 1})
    assert said.startswith(f"{path} cannot be read as a checkpoint of a training; remove it")


@pytest.mark.parametrize(
    "arrays",
    [{}, {"weights": ARRAYS["weights"]}, ARRAYS | {"biases": np.zeros(3, np.float32)},
     ARRAYS | {"weights": np.zeros((3, 2))}, ARRAYS | {"weights": np.float32(1)}],
)  # fmt: skip
def test_so_is_one_without_its_arrays(arrays: Any, tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.npz", SOUND, arrays)
    assert "cannot be read as a checkpoint" in refusal(checkpoints._read, path, {})


@pytest.mark.parametrize("producer", [-1, -(2**31), 2**31 - 1])
def test_a_graph_of_a_version_that_never_was_is_summed_up(producer: int, tmp_path: Path) -> None:
    graph = schema.GraphDef(node=[new_node("a", "Placeholder", [], dtype=1)])
    graph.versions.producer = producer
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    meaning = "a version that TensorFlow never had" if producer < 0 else "TensorFlow's sources of"
    assert meaning in rt.load(path).summary().versions.meaning


# What took long


def test_listing_a_graph_as_it_is_stored_finds_its_training_parts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [new_node("n0", "Placeholder", dtype=1)]
    nodes += [new_node(f"n{n}", "Identity", [f"n{n - 1}"], T=1) for n in range(1, 30)]
    path = tmp_path / "graph.pb"
    path.write_bytes(schema.GraphDef(node=nodes).SerializeToString())
    asked = []

    def parts(graph: Any) -> Any:
        asked.append(type(graph).__name__)
        return training_parts.training_parts(graph)

    monkeypatch.setattr(wiring, "training_parts", parts)
    form = Form("names", Style())
    text, count, of = list_text(rt.load(path), Part(as_stored=True), Kinds(), Filters(), form)
    assert (text.split(), count, of) == ([f"n{n}:0" for n in range(30)], 30, 30)
    assert set(asked) == {"GraphView"}  # which works each thing out once


def test_a_zip_archive_with_a_member_without_a_name_is_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"some words")
    path.write_bytes(path.read_bytes().replace(b"x", b"\0"))  # Python cuts names there
    assert zipfile.ZipFile(path).namelist() == [""]
    rt.scan(path)
    with pytest.raises(InputError):
        rt.load(path)
