"""Errors of a full disk: whichever library tells of it, the user's place and what is lacking."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from retrain_tools import command_line, disk_space, files
from retrain_tools.disk_space import NoSpaceError, needing, on_disk


@pytest.fixture(autouse=True)
def _free(monkeypatch):
    monkeypatch.setattr(disk_space, "free_bytes", lambda _: 1_000_000)
    monkeypatch.setattr(command_line, "free_bytes", lambda _: 1_000_000)


def raised(error, needed=None, place="out"):
    with pytest.raises(NoSpaceError) as caught, needing(place, lambda: needed):
        raise error
    return caught.value


def full(path=None, number=errno.ENOSPC):
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        (1_000_400, " (needs about 400 bytes more)"),
        (1_004_200, " (needs about 4.2 kB more)"),
        (5_000_000, " (needs about 4.0 MB more)"),
        (56_000_000, " (needs about 55 MB more)"),
        (1_300_001_000_000, " (needs about 1,300 GB more)"),
        (999_999, ""),
        (None, ""),
    ],
)
def test_what_is_lacking_is_what_is_needed_but_not_free(needed, said):
    assert str(raised(full("x.tmp"), needed)) == f"No space left on device: out{said}"


def test_of_a_user_s_part_of_a_disk_nobody_knows_what_is_free():
    error = raised(full(number=errno.EDQUOT), 3_000_000)
    assert str(error) == "Disk quota exceeded: out (needs about 3.0 MB more)"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x.tmp; No space left on device"),
        OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
    ],
)
def test_libraries_that_say_it_in_their_texts(error):
    found = raised(error, 3_000_000)
    assert isinstance(found, NoSpaceError)
    assert (found.errno, found.filename, found.lacking) == (errno.ENOSPC, "out", 2_000_000)


def test_other_errors_stay_as_they_are():
    for error in (PermissionError(errno.EACCES, "Permission denied", "f"), KeyError("k")):
        with pytest.raises(type(error)) as caught, needing("out", lambda: 1):
            raise error
        assert caught.value is error


def test_without_a_place_it_is_the_file_and_the_outermost_block_tells_how_much():
    inner = raised(full("file"), 1_500_000, place=None)
    assert str(inner) == "No space left on device: file (needs about 500 kB more)"
    with pytest.raises(NoSpaceError) as caught, needing("folder", lambda: 9_000_000):
        raise inner
    assert str(caught.value) == "No space left on device: folder (needs about 8.0 MB more)"


def test_a_text_that_does_not_fit(tmp_path, monkeypatch):
    def no_room(*_):
        raise full()

    monkeypatch.setattr(os, "fdopen", no_room)
    with pytest.raises(NoSpaceError) as caught:
        files.write_text(tmp_path / "labels.csv", "x" * 3_000_000)
    assert str(caught.value) == (
        f"No space left on device: {tmp_path}/labels.csv (needs about 2.0 MB more)"
    )
    assert list(tmp_path.iterdir()) == []


def test_whole_blocks_are_taken():
    block = os.statvfs("/").f_frsize
    assert [on_disk(size, Path("/")) for size in (0, 1, block, block + 1)] == [
        0, block, block, 2 * block,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            full("out"),
            "No space left on device: out (1,000,000 bytes are free there). Make room, or choose "
            "another place; what is done is kept, and the same command goes on.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "out"),
            "Permission denied: out. Let this user do that, or choose another place.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "out"),
            "Read-only file system: out. Choose another place.",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "out"),
            "File name too long: out. Choose a shorter name.",
        ),
        (
            OSError(errno.EMFILE, "Too many open files", "out"),
            "Too many open files: out. Allow this process more open files (ulimit -n).",
        ),
        (
            OSError(errno.EIO, "Input/output error", "out"),
            "Input/output error: out. Look at the disk; what is done is kept, and the same command "
            "goes on.",
        ),
        (
            OSError(errno.ESTALE, "Stale file handle", "out"),
            "Stale file handle: out. Look at the network; what is done is kept, and the same "
            "command goes on.",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "out"), "Is a directory: out"),
    ],
)
def test_a_script_says_what_the_system_says_and_the_way_out(capsys, monkeypatch, error, said):
    def main(_):
        raise error

    monkeypatch.setattr("sys.argv", ["script"])
    with pytest.raises(SystemExit) as end:
        command_line.run(main)
    assert (end.value.code, capsys.readouterr().err) == (2, f"error: {said}\n")


def test_a_script_says_what_is_lacking(capsys, monkeypatch):
    def main(_):
        with needing("out", lambda: 5_000_000):
            raise full("x.tmp")

    monkeypatch.setattr("sys.argv", ["script"])
    with pytest.raises(SystemExit):
        command_line.run(main)
    assert capsys.readouterr().err == (
        "error: No space left on device: out (needs about 4.0 MB more). Make room, or choose "
        "another place; what is done is kept, and the same command goes on.\n"
    )
