"""Files where they lie: local folders, and stores behind fsspec that need no server."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrain_tools import files, object_stores, storage
from retrain_tools.errors import InputError

NAMES = ["a b.jpg", "ä.jpg", "100%.jpg", "%41.jpg", "what?.jpg", "x#y.jpg", "[1]*.jpg", "a::b.jpg"]


@pytest.fixture(params=["path", "relative", "file", "memory", "local", "s3"])
def folder(request, tmp_path, monkeypatch):
    """An empty folder of each kind; `local:` is fsspec's way to a file system with renames."""
    if request.param == "relative":
        monkeypatch.chdir(tmp_path)
        return "s3:"  # looks like the beginning of a URI
    if request.param == "s3":
        return request.getfixturevalue("bucket")
    if request.param in ("memory", "local"):
        pytest.importorskip("fsspec", reason="needs fsspec: pip install fsspec")
    if request.param == "memory":
        return f"memory://{tmp_path}"
    return {"path": "", "file": "file://", "local": "local://"}[request.param] + f"{tmp_path}/new"


@pytest.fixture
def no_waits(monkeypatch):
    monkeypatch.setattr(storage, "_WAITS", (0.0, 0.0))


def test_what_is_written_is_read_found_and_removed(folder):
    place = storage.join(folder, "deep/er/a.bin")
    assert not storage.exists(place)
    storage.write(place, b"first")
    storage.write(place, b"second one")
    assert storage.read(place) == b"second one"
    assert storage.exists(place)
    assert storage.exists(storage.join(folder, "deep"))
    assert storage.list_names(storage.join(folder, "deep/er")) == ["a.bin"]  # nothing temporary
    found = storage.stat(place)
    assert (found.uri, found.size, bool(found.version)) == (place, 10, True)
    storage.delete(place)
    storage.delete(place)
    assert not storage.exists(place)


def test_another_content_has_another_version_and_the_walk_tells_it(folder):
    place = storage.join(folder, "a/1.jpg")
    storage.write(place, b"12345")
    first = storage.stat(place)
    assert list(storage.walk(folder)) == [first]
    storage.write(place, b"54321")
    second = storage.stat(place)
    assert second.version != first.version
    assert list(storage.walk(folder)) == [second]
    assert storage.read(place, expected=second) == b"54321"
    with pytest.raises(storage.ChangedError) as error:
        storage.read(place, expected=first)
    assert str(error.value) == f"[Errno {errno.ESTALE}] it changed since it was listed: {place!r}"


def test_names_are_taken_as_they_are(folder):
    for name in NAMES:
        storage.write(storage.join(folder, name), name.encode())
    assert storage.list_names(folder) == sorted(NAMES)
    found = [one.uri for one in storage.walk(folder)]
    assert found == sorted(storage.join(folder, name) for name in NAMES)
    assert [storage.read(uri).decode() for uri in found] == sorted(NAMES)


def test_a_walk_is_sorted_as_whole_paths_are(folder):
    names = ["a/1", "a/b/2", "a.jpg", "a-b/1", "a", "b/c/d/e", "Z", "ab", ".hidden/x"]
    if not folder.startswith(("s3://", "memory:")):
        names.remove("a")  # a file and a folder of one name are of object stores
    if folder.startswith("memory:"):
        names.remove("a")  # which fsspec's own store does not list
    for name in names:
        storage.write(storage.join(folder, name), b"x")
    assert [one.uri for one in storage.walk(folder)] == sorted(
        storage.join(folder, name) for name in names
    )
    assert storage.list_names(folder) == sorted(name for name in names if "/" not in name)
    with_slash = [one.uri for one in storage.walk(f"{folder}/")]
    assert with_slash == [one.uri for one in storage.walk(folder)]


def test_what_is_not_there_is_named_as_the_user_named_it(folder):
    storage.write(storage.join(folder, "a/1.jpg"), b"x")
    missing = storage.join(folder, "no.jpg")
    for action in (storage.stat, storage.read, lambda uri: list(storage.walk(uri))):
        with pytest.raises(FileNotFoundError) as error:
            action(missing)
        assert str(error.value) == f"[Errno 2] No such file or directory: {missing!r}"
    assert storage.list_names(missing) == []
    a_folder = storage.join(folder, "a")
    for action in (storage.stat, storage.read):
        with pytest.raises(IsADirectoryError) as error:
            action(a_folder)
        assert str(error.value) == f"[Errno 21] Is a directory: {a_folder!r}"
    with pytest.raises(NotADirectoryError) as error:
        list(storage.walk(storage.join(a_folder, "1.jpg")))
    assert str(error.value).startswith("[Errno 20] Not a directory: ")


def test_more_than_the_limit_is_not_read(folder, monkeypatch):
    place = storage.join(folder, "a.jpg")
    storage.write(place, b"x" * 1001)
    assert len(storage.read(place, limit=1001)) == 1001
    monkeypatch.setattr(files, "read_regular", _must_not_happen)
    monkeypatch.setattr(object_stores.Opened, "_changed", _must_not_happen)
    with pytest.raises(OSError, match="it has 1,001 bytes, and 1,000 are the most") as error:
        storage.read(place, limit=1000)
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, place)


def _must_not_happen(*_):
    raise AssertionError


def test_an_empty_file_is_read(folder):
    place = storage.join(folder, "empty")
    storage.write(place, b"")
    assert (storage.read(place), storage.stat(place).size) == (b"", 0)


def test_local_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff.jpg")
    storage.write(f"{tmp_path}/{name}", b"1")
    storage.write(f"file://{tmp_path}/b{name}", b"2")
    assert [one.uri for one in storage.walk(f"file://{tmp_path}")] == [
        f"file://{tmp_path}/b{name}",
        f"file://{tmp_path}/{name}",
    ]
    assert storage.read(f"file://{tmp_path}/{name}") == b"1"


def test_each_real_folder_is_walked_once_and_a_dangling_link_is_told(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.jpg").write_bytes(b"x")
    (tmp_path / "again").symlink_to("real")
    (tmp_path / "real" / "up").symlink_to("..")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    found = list(storage.walk(str(tmp_path)))
    assert [one.uri for one in found] == [f"{tmp_path}/gone.jpg", f"{tmp_path}/real/1.jpg"]
    assert (found[0].size, found[0].version) == (-1, "")
    with pytest.raises(FileNotFoundError):
        storage.read(found[0].uri)


def test_a_named_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="it is a named pipe"):
        storage.read(str(tmp_path / "pipe.jpg"))


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "1").touch()
    real = os.scandir

    def refuse(path):
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    walking = storage.walk(f"file://{tmp_path}")
    assert next(walking).uri == f"file://{tmp_path}/a/1"  # what comes first is there already
    with pytest.raises(PermissionError) as error:
        next(walking)
    assert error.value.filename == f"file://{tmp_path}/b"


def test_a_local_file_that_changes_while_it_is_read_is_read_again(tmp_path, monkeypatch, no_waits):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    real, contents = files.read_regular, [b"two!", b"three"]

    def change_after(place, most):
        data = real(place, most)
        if contents:
            path.write_bytes(contents.pop(0))
        return data

    monkeypatch.setattr(files, "read_regular", change_after)
    assert storage.read(str(path)) == b"three"
    contents += [b"1", b"22", b"333"]
    with pytest.raises(OSError, match="it changed while it was read") as error:
        storage.read(str(path))
    assert error.value.errno == errno.ESTALE


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file://h/x", "file://h/x names another computer, or no whole path: write file:///folder."),
        ("gss://b", "gss://b: fsspec knows no URIs that begin with gss://. Did you mean 'gs'?"),
        ("xyzzy://u:p@b/x", "xyzzy://***@b/x: fsspec knows no URIs that begin with xyzzy://."),
    ],
)  # fmt: skip
def test_a_uri_that_nobody_knows(uri, message):
    if not uri.startswith("file:"):
        pytest.importorskip("fsspec", reason="needs fsspec: pip install fsspec")
    with pytest.raises(InputError) as error:
        storage.read(uri)
    assert str(error.value) == message


_WITHOUT = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from retrain_tools import storage
for uri in sys.argv[2:]:
    try:
        print(storage.exists(uri))
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_without_packages_local_files_are_read_and_each_scheme_names_its_own(tmp_path):
    blocked = "fsspec,s3fs,gcsfs,adlfs,pyarrow,paramiko"
    uris = [
        "s3://b/x",
        "gs://b/x",
        "abfs://c@a/x?sig=1",
        "hdfs://h/x",
        "memory://x",
        "sftp://u:p@h/",
    ]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, blocked, str(tmp_path), f"file://{tmp_path}/no", *uris],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "True",
        "False",
        "InputError s3://b/x needs s3fs: pip install s3fs",
        "InputError gs://b/x needs gcsfs: pip install gcsfs",
        "InputError abfs://c@a/x?*** needs adlfs: pip install adlfs",
        "InputError hdfs://h/x needs pyarrow: pip install pyarrow",
        "InputError memory://x needs fsspec: pip install fsspec",
        "InputError sftp://***@h/ needs paramiko: pip install paramiko",
    ]
