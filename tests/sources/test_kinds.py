"""Wrong files: one clear line each, whatever they are called."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.sources.kinds import Kind, kind_of
from retrain_tools.sources.open import open_model

from .corpus import Written


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        open_model(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


WRONG = {
    "html": (b"<!DOCTYPE html><html></html>", "is a web page saved by mistake"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "a git-lfs pointer"),
    "empty": (b"", "is empty"),
    "text": (b"cat\ndog\n", "is none of the kinds of file that can be opened"),
    "zeros": (bytes(4000), "is none of the kinds"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(50), "is an image"),
    "pickle": (pickle.dumps({"a": 1}), "is a Python pickle"),
    "xz": (b"\xfd7zXZ\x00" + bytes(30), "is packed with bzip2 or xz"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is damaged or cut off"),
    "tflite": (b"\x20\x00\x00\x00TFL3" + b"\xff" * 40, "damaged or cut-off TensorFlow Lite"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(30), "cannot be unpacked"),
    "zip": (b"PK\x03\x04" + bytes(30), "cannot be unpacked"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("ending", [".pb", ".meta", ".h5"])
def test_wrong_files(tmp_path: Path, name: str, ending: str) -> None:
    data, words = WRONG[name]
    path = tmp_path / f"model{ending}"
    path.write_bytes(data)
    assert words in refusal(path)


def test_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.pb") == f"No such file: {tmp_path / 'no.pb'}"


def test_folder_without_a_model(tmp_path: Path) -> None:
    assert "holds no model (it is empty)" in refusal(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    assert "holds no model (there is photo.jpg)" in refusal(tmp_path)


@pytest.mark.parametrize(
    "data", [*(WRONG[n][0] for n in ("html", "lfs", "empty", "zeros")), b"\x08"]
)
def test_saved_model_folder_with_a_wrong_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(data)
    assert str(tmp_path / "saved_model.pb") in refusal(tmp_path)


def test_saved_model_without_its_variables(saved_model_1: Written, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes((saved_model_1.path / "saved_model.pb").read_bytes())
    opened = open_model(tmp_path)
    assert opened.variables
    with pytest.raises(InputError, match=r"its variables are missing .* copy the whole folder"):
        opened.freeze()


def test_files_cut_off_anywhere(
    frozen: Path,
    training: Written,
    saved_model_2: Written,
    keras_files: Mapping[str, Path],
    tmp_path: Path,
) -> None:
    """Either one clear line, or (cut between two fields of a message) a file with less in it."""
    sources = [frozen, training.path, saved_model_2.path / "saved_model.pb"]
    sources += [keras_files[form] for form in ("keras", "h5", "tflite")]
    for source in sources:
        data = source.read_bytes()
        for part in (1, 7, len(data) // 7, len(data) // 2, len(data) - 1):
            path = tmp_path / source.name
            path.write_bytes(data[:part])
            try:
                opened = open_model(path)
                if opened.can_freeze:
                    opened.freeze()
            except InputError as error:
                assert "\n" not in str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), form=st.sampled_from(["keras", "h5", "tflite", "saved", "meta"]))
def test_bytes_changed_anywhere(
    seed: int,
    form: str,
    keras_files: Mapping[str, Path],
    saved_model_2: Written,
    training: Written,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A damaged file never leads to anything but an InputError; Keras is not asked to build it."""
    chance = random.Random(seed)
    known = {"saved": saved_model_2.path / "saved_model.pb", "meta": training.path}
    source = known.get(form) or keras_files[form]
    data = bytearray(source.read_bytes())
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = tmp_path_factory.mktemp("changed") / source.name
    if form == "saved":
        shutil.copytree(source.parent, path.parent, dirs_exist_ok=True)
    path.write_bytes(data)
    try:
        opened = open_model(path)
        if form == "saved":
            opened.freeze()
    except InputError as error:
        assert "\n" not in str(error)


def _graph(change: Callable[..., None]) -> bytes:
    graph_def = schema.GraphDef()
    first = graph_def.node.add(name="a", op="Placeholder")
    first.attr["dtype"].type = 1
    second = graph_def.node.add(name="b", op="Identity", input=["a"])
    second.attr["T"].type = 1
    change(graph_def)
    return bytes(graph_def.SerializeToString())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.node.add(name="a", op="NoOp"), "two nodes are called 'a'"),
        (lambda g: g.node.add(name="c", op="Identity", input=["gone"]), "which no node makes"),
        (lambda g: g.node[1].input.__setitem__(0, "b"), "form a cycle"),
    ],
)
def test_inconsistent_graphs_in_every_wrapping(
    tmp_path: Path, change: Callable[..., None], words: str
) -> None:
    graph_def = _graph(change)
    (tmp_path / "graph.pb").write_bytes(graph_def)
    assert words in refusal(tmp_path / "graph.pb")
    meta = schema.MetaGraphDef()
    meta.graph_def.ParseFromString(graph_def)
    meta.meta_info_def.tensorflow_version = "1.4.1"
    meta.meta_info_def.tags.append("serve")
    (tmp_path / "m.meta").write_bytes(meta.SerializeToString())
    assert kind_of(tmp_path / "m.meta") is Kind.META_GRAPH
    assert words in refusal(tmp_path / "m.meta")
    model = schema.SavedModel(saved_model_schema_version=1, meta_graphs=[meta])
    (tmp_path / "sm").mkdir()
    (tmp_path / "sm" / "saved_model.pb").write_bytes(model.SerializeToString())
    assert words in refusal(tmp_path / "sm")


def test_files_of_2_gb_and_more(tmp_path: Path) -> None:
    for name, start in (("graph.pb", _graph(lambda g: None)), ("saved_model.pb", b"\x08\x01\x12")):
        path = tmp_path / name[:5] / name
        path.parent.mkdir()
        with path.open("wb") as file:  # a hole: it takes no room on the disk
            file.write(start)
            file.truncate(2**31 + 10)
        assert "cannot have more than 2,147,483,647" in refusal(path)


def test_archives_that_would_do_harm(tmp_path: Path) -> None:
    def packed(name: str, **attributes: object) -> Path:
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as tar:
            member = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        return path

    assert "outside the destination" in refusal(packed("../../evil.pb", size=4))
    link = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
    assert "cannot be unpacked" in refusal(packed("link.pb", **link))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.pb", "x")
    assert "leads out of its folder" in refusal(tmp_path / "a.zip")
    assert not (tmp_path.parent / "evil.pb").exists()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "holds no model (there is readme.txt)" in refusal(tmp_path / "empty.zip")


def test_an_archive_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain_tools.sources.archives._MOST_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("graph.pb", bytes(2**21))
    assert "unpacks to more than 1,048,576 bytes" in refusal(tmp_path / "a.zip")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("graph.pb")
        member.size = 2**21
        tar.addfile(member, io.BytesIO(bytes(2**21)))
    assert "unpacks to more than" in refusal(tmp_path / "a.tar.gz")


def test_a_gzip_file_of_zeros_is_left_at_what_is_in_proportion_to_it(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "graph.pb.gz", "wb", compresslevel=1) as packed:
        for _ in range(300):
            packed.write(bytes(1 << 20))
    assert "unpacks to more than 268,435,456 bytes" in refusal(tmp_path / "graph.pb.gz")


def test_nothing_unpacked_is_left_behind(
    frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(frozen, "graph.pb")
    opened = open_model(tmp_path / "a.zip")
    assert len(list((tmp_path / "t").iterdir())) == 1
    assert opened.freeze().outputs
    del opened
    assert not list((tmp_path / "t").iterdir())
