"""Ordinary files have no finding of medium or high severity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.safety.findings import Report, Severity
from retrain_tools.safety.scanning import scan
from tests.safety.graphs import (
    constant,
    graph,
    init_op,
    meta_graph,
    named_saver,
    node,
    saved_model,
    saver,
    written,
)

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"there is no {DATA}")
KERAS_FILES = Path(__file__).resolve().parents[1] / "sources" / "keras_files"
GRAPHS = ["inception-2015-12-05/near_real_graph_def.pb"] + [
    f"mobilenet_v1_0.25_128/{name}_graph.pb" for name in ("frozen", "quantized", "retrained")
]


def loud(report: Report) -> list[object]:
    return [finding for finding in report.findings if finding.severity > Severity.LOW]


@needs_data
@pytest.mark.parametrize("name", [*GRAPHS, "wild"])
def test_the_real_graphs_are_clean(name: str) -> None:
    report = scan(DATA / name)
    assert not loud(report)
    assert report.is_clean
    assert report.looked_at >= 180


@pytest.mark.parametrize("path", sorted(KERAS_FILES.iterdir()), ids=lambda path: path.name)
def test_the_recorded_keras_files_are_clean(path: Path) -> None:
    if path.suffix not in (".npz", ".h5", ".keras", ".zip"):
        pytest.skip(f"{path.name} is no file of Keras or NumPy")
    assert not loud(scan(path))


def test_one_file_of_each_kind_is_clean(kinds: Mapping[str, Path]) -> None:
    for kind, path in kinds.items():
        if kind == "inside":  # a path in an archive: the archive is what is scanned
            continue
        report = scan(path)
        assert not loud(report), kind
        assert report.looked_at, kind


def test_numbers_are_clean(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float32))
    np.savez_compressed(tmp_path / "b.npz", a=np.arange(3), words=np.array(["one", "two"]))
    assert [scan(tmp_path / name).findings for name in ("a.npy", "b.npz")] == [(), ()]


def test_a_saver_is_low_where_nothing_else_runs_it(tmp_path: Path) -> None:
    for name, message in {
        "g.pb": graph(*saver()),
        "m.meta": meta_graph(graph(*saver()), named_saver),
    }.items():
        report = scan(written(message, tmp_path / name))
        assert {(f.name, f.severity, f.why) for f in report.findings} == {
            (op, Severity.LOW, "belongs to a Saver, which runs it when somebody saves or restores")
            for op in ("SaveV2", "RestoreV2")
        }


def test_a_table_of_an_asset_is_low(tmp_path: Path) -> None:
    table = node("InitializeTableFromTextFileV2", "table", "asset", name="load")
    nodes = [constant("asset", b"words.txt"), node("HashTableV2", name="table"), table]

    def asset(meta) -> None:
        meta.asset_file_def.add(filename="words.txt").tensor_info.name = "asset:0"
        init_op("load", "legacy_init_op")(meta)

    model = saved_model(meta_graph(graph(*nodes), asset))
    [finding] = scan(written(model, tmp_path / "saved_model.pb")).findings
    assert (finding.severity, finding.why) == (
        Severity.LOW,
        "fills a table from a file that is part of the model",
    )
    without = saved_model(meta_graph(graph(*nodes), init_op("load", "legacy_init_op")))
    [finding] = scan(written(without, tmp_path / "saved_model.pb")).findings
    assert finding.severity is Severity.HIGH
    assert finding.why.endswith("no asset of the model; it runs as soon as the model is loaded")


def test_the_data_of_a_training_are_low_unless_a_result_depends_on_them(tmp_path: Path) -> None:
    nodes = [node("TFRecordReaderV2", name="reader"), node("Identity", "reader", name="out")]
    [finding] = scan(written(meta_graph(graph(*nodes)), tmp_path / "m.meta")).findings
    assert finding.severity is Severity.LOW

    def signature(meta) -> None:
        meta.signature_def["serve"].outputs["y"].name = "out:0"

    [finding] = scan(written(meta_graph(graph(*nodes), signature), tmp_path / "m.meta")).findings
    assert finding.severity is Severity.HIGH


@pytest.mark.parametrize(
    ("nodes", "severity"),
    [
        ([node("DebugIdentity")], Severity.LOW),
        ([node("DebugIdentity", debug_urls=[b"memcbk://x"])], Severity.LOW),
        ([node("DecodeProtoV2", descriptor_source=b"local://")], None),
        ([node("FixedUnigramCandidateSampler")], None),
        ([constant("name", b""), node("CacheDatasetV2", "data", "name")], None),
        ([constant("name", b"/tmp/x"), node("CacheDatasetV2", "data", "name")], Severity.HIGH),
        ([node("CacheDatasetV2", "data", "input")], Severity.MEDIUM),
        ([node("Timestamp")], Severity.LOW),
        ([node("DecodeJpeg"), node("ParseTensor"), node("RandomUniform", name="r")], None),
    ],
)
def test_what_a_node_says_decides(nodes: list, severity: Severity | None, tmp_path: Path) -> None:
    found = scan(written(graph(*nodes), tmp_path / "g.pb")).findings
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file: {}"),
        (b"", "{} is empty; download or copy it again."),
        (
            b"only words\n",
            "{} holds nothing that a scan knows: no graph, model, pickle or archive.",
        ),
        (b"PK\x03\x04 and no more", "{} cannot be unpacked: File is not a zip file; download or "
         "copy it again."),
        (b"\x93NUMPY\x01\x00\x05\x00{'a':", "{} is damaged: its header is none of NumPy's."),
        (b"\x93NUMPY\x01\x00", "{} is cut off; download or copy it again."),
        (b"<html>", "{} is a web page saved by mistake; download the file itself."),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_into_is_an_error(content, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        scan(path)
    assert str(raised.value) == message.format(path)


def test_a_damaged_file_in_a_folder_is_medium(tmp_path: Path) -> None:
    good = written(graph(constant("text", b"a")), tmp_path / "good.pb")
    (tmp_path / "cut.pb").write_bytes(good.read_bytes()[:-20])
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    [finding] = scan(tmp_path).findings
    assert (finding.severity, finding.rule, finding.name) == (
        Severity.MEDIUM,
        "unreadable",
        "cut.pb",
    )
    assert finding.why.startswith(f"cannot be looked into: {tmp_path}/cut.pb is not a GraphDef")


def test_a_folder_of_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(InputError, match="holds nothing that a scan knows: no graph, model,"):
        scan(tmp_path)
