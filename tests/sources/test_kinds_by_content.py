from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.sources.kinds import Kind, foreign_kind, is_text_graph, kind_of
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.graph_def import read_graph_def, truncation
from tests.graphdef.tiny_graphs import inception_like, jpeg

IMAGE = "is an image; pass it as an image and a .pb file as the graph"
WEB_PAGE = "is a web page saved by mistake; download the file itself"
NO_KIND = "is none of the kinds of file that can be opened: GraphDef, "


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x1f\x8b\x08\x00", Kind.GZIP),
        (b"PK\x03\x04", Kind.ZIP),
        (b"\x89HDF\r\n\x1a\n", Kind.HDF5),
        (b"\x1c\0\0\0TFL3", Kind.TFLITE),
        (b"saved_model_schema_version: 1\nmeta_graphs {", Kind.SAVED_MODEL),
        (b"\x08\x01\x12\x10", Kind.SAVED_MODEL),
        (b'model_checkpoint_path: "model.ckpt-10"\n', Kind.CHECKPOINT),
        (b"anything" + bytes.fromhex("57fb808b247547db"), Kind.CHECKPOINT),
        (inception_like().SerializeToString(), Kind.GRAPH_DEF),
        (b"node {", Kind.GRAPH_DEF),
        (b"graph_def {", Kind.META_GRAPH),
    ],
)
def test_kinds_by_content(tmp_path: Path, content: bytes, expected: Kind) -> None:
    file = tmp_path / "graph.pb"  # the name says nothing
    file.write_bytes(content)
    assert kind_of(file) is expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty; download or copy it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 95673916\n",
            "is a git-lfs pointer, not the file itself; run `git lfs pull` where it came from",
        ),
        (b"<!DOCTYPE html>\n<html>", WEB_PAGE),
        (b"\n  <HTML><head>", WEB_PAGE),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", WEB_PAGE),
        (jpeg(), IMAGE),
        (b"\x89PNG\r\n\x1a\n", IMAGE),
        (b"GIF89a", IMAGE),
        (b"BM\x36\x04", IMAGE),
        (b"BZh91AY", "is packed with bzip2 or xz; unpack it and pass the file inside"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive; unpack it and pass the file inside"),
        (b"\x08\x07\x12\x07pytorch: onnx", "is an ONNX model; pass the TensorFlow model that "),
        (b"no idea", NO_KIND),
        (b"bm is no image", NO_KIND),
    ],
)
def test_what_no_reader_takes_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "graph.bin"
    file.write_bytes(content)
    if content.startswith(b"\x08"):  # an ONNX file's first bytes are like those of a SavedModel
        assert foreign_kind(content) is not None
        assert str(foreign_kind(content)).startswith(expected)
        return
    with pytest.raises(InputError) as error:
        kind_of(file)
    assert str(error.value).startswith(f"{file} {expected}")
    assert str(error.value).endswith(".")


def test_a_part_of_a_checkpoint_is_known_by_its_name(tmp_path: Path) -> None:
    for name in ("model.ckpt.data-00000-of-00001", "cut_off.ckpt"):
        file = tmp_path / name
        file.write_bytes(bytes(64))
        assert kind_of(file) is Kind.CHECKPOINT


def test_a_file_above_2_gb_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "graph.pb"
    file.touch()
    os.truncate(file, 2**31)  # sparse: takes no room
    with pytest.raises(InputError) as error:
        read_graph_def(file)
    expected = "has 2,147,483,648 bytes; a GraphDef cannot have more than 2,147,483,647."
    assert str(error.value) == f"{file} {expected}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], Kind.FOLDER),
        (["b.pbtxt", "a.pb", "labels.txt"], Kind.FOLDER),
        (["saved_model.pb"], Kind.SAVED_MODEL),
        (["saved_model.pbtxt", "checkpoint"], Kind.SAVED_MODEL),
        (["checkpoint"], Kind.CHECKPOINT),
        (["model.ckpt.index"], Kind.CHECKPOINT),
    ],
)
def test_folders(tmp_path: Path, names: list[str], expected: Kind) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert kind_of(tmp_path) is expected


def test_a_file_is_opened_once_to_tell_its_kind_and_once_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "graph.pb"
    file.write_bytes(inception_like().SerializeToString())
    opened: list[str] = []
    real_open = io.open

    def counted(path: object, *rest: object, **named: object) -> object:
        if str(path) == str(file):
            opened.append(str(path))
        return real_open(path, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", counted)  # what Path.open and Path.read_bytes call
    model = open_model(file)
    model.tensors()
    model.frozen()
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b'node {\n  name: "x"', True),
        (b"\n\t# a comment\n# another\n node: {", True),
        (b"versions { producer: 8 }", True),
        (b"library {", True),
        (b"nodes {", False),
        (b"meta_info_def {", False),
        (inception_like().SerializeToString(), False),
    ],
)
def test_text_graphs_by_their_start(start: bytes, expected: bool) -> None:
    assert is_text_graph(start) is expected


def boundaries(data: bytes, graph_def: object) -> list[int]:
    """Where the nodes of a serialised graph end; what follows is two small messages."""
    ends, position = [], 0
    for node in graph_def.node:  # type: ignore[attr-defined]
        size = node.ByteSize()
        position += 1 + (1 if size < 1 << 7 else 2 if size < 1 << 14 else 3) + size
        ends.append(position)
    assert data.startswith(b"\x0a")
    return ends


TINY = inception_like()
DATA = TINY.SerializeToString()
ENDS = boundaries(DATA, TINY)


@settings(deadline=None)
@given(st.integers(1, len(DATA) - 1))
def test_a_cut_is_found_and_counted(cut: int) -> None:
    complete = sum(end <= cut for end in ENDS)
    found = truncation(DATA[:cut])
    if cut in ENDS or complete == 0:
        assert found is None  # a smaller graph, or nothing to recognise one by
        return
    assert found is not None
    assert found.startswith(f"is cut off: it ends after {complete} complete nodes ({cut:,} bytes")
    assert found.endswith("); download or copy it again")


def test_a_cut_says_how_much_is_missing() -> None:
    cut = ENDS[20] - 3
    assert truncation(DATA[:cut]) == (
        f"is cut off: it ends after 20 complete nodes ({cut:,} bytes of at least {ENDS[20]:,}); "
        "download or copy it again"
    )


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    truncation(data)
    truncation(DATA[: ENDS[3]] + data)
    is_text_graph(data)
