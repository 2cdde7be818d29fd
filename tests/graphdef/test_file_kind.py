from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrain_tools.graphdef.file_kind import foreign_kind, is_text_graph, truncation

from .tiny_graphs import inception_like, jpeg

IMAGE = "is an image; pass it as an image and a .pb file as the graph"
WEB_PAGE = "is a web page saved by mistake; download the file itself"
OPEN_IT = "not a GraphDef; retrain_tools.load opens it"


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
        (b"\x1f\x8b\x08\x00", f"is a gzip archive, {OPEN_IT}"),
        (b"PK\x03\x04", f"is a zip archive (a .keras file is one too), {OPEN_IT}"),
        (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file (Keras .h5), {OPEN_IT}"),
        (b"\x1c\0\0\0TFL3", f"is a TensorFlow Lite model, {OPEN_IT}"),
        (jpeg(), IMAGE),
        (b"\x89PNG\r\n\x1a\n", IMAGE),
        (b"GIF89a", IMAGE),
        (b"BM\x36\x04", IMAGE),
        (
            b"saved_model_schema_version: 1\nmeta_graphs {",
            f"is a SavedModel in text form, {OPEN_IT}",
        ),
        (
            b"\x08\x01\x12\x10",
            f"is the saved_model.pb of a SavedModel, {OPEN_IT}",
        ),
        (
            b'model_checkpoint_path: "model.ckpt-10"\n',
            f"only names the newest checkpoint of its folder: {OPEN_IT}",
        ),
        (b"anything" + bytes.fromhex("57fb808b247547db"), f"is a checkpoint, {OPEN_IT}"),
        (inception_like().SerializeToString(), None),
        (b"node {", None),
        (b"no idea", None),
    ],
)
def test_kinds_by_content(tmp_path: Path, content: bytes, expected: str | None) -> None:
    file = tmp_path / "graph.pb"  # the name says nothing
    file.write_bytes(content)
    assert foreign_kind(file) == expected


def test_a_part_of_a_checkpoint_is_known_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt.data-00000-of-00001"
    file.write_bytes(bytes(64))
    assert foreign_kind(file) == f"is a part of a checkpoint, {OPEN_IT}"


def test_a_file_above_2_gb_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "graph.pb"
    file.touch()
    os.truncate(file, 2**31)  # sparse: takes no room
    expected = "has 2,147,483,648 bytes; a GraphDef cannot have more than 2,147,483,647"
    assert foreign_kind(file) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "is a folder, not a GraphDef file"),
        (
            ["b.pbtxt", "a.pb", "labels.txt"],
            "is a folder, not a GraphDef file; it holds a.pb, b.pbtxt",
        ),
        (
            ["saved_model.pb"],
            f"is a SavedModel folder, {OPEN_IT}",
        ),
        (
            ["saved_model.pbtxt", "checkpoint"],
            f"is a SavedModel folder, {OPEN_IT}",
        ),
        (
            ["checkpoint"],
            f"is a checkpoint folder, {OPEN_IT}",
        ),
        (
            ["model.ckpt.index"],
            f"is a checkpoint folder, {OPEN_IT}",
        ),
    ],
)
def test_folders(tmp_path: Path, names: list[str], expected: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert foreign_kind(tmp_path) == expected


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
