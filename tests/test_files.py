"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile

import pytest

from retrain_tools.files import replacing, write_text


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_appears_only_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    with replacing(path) as file:
        file.write(b"data")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"data"
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half of the n")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_the_umask_holds():
    """In a process of its own: the umask is read when the module is imported."""
    code = (
        "import os, sys, tempfile; os.umask(0o027); from retrain_tools import files\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    files.write_text(folder + '/f', 'x'); print(os.stat(folder + '/f').st_mode)"
    )
    printed = subprocess.check_output([sys.executable, "-c", code])
    assert stat.S_IMODE(int(printed)) == 0o640


def test_the_longest_name_that_the_file_system_takes(tmp_path):
    path = tmp_path / ("x" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    write_text(path, "text")
    assert path.read_text() == "text"


def test_text_is_utf8_and_keeps_file_names_that_are_not(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "blüte " + os.fsdecode(b"\xff.jpg"))
    assert path.read_bytes() == "blüte ".encode() + b"\xff.jpg"


def test_a_folder_in_the_way_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_text(tmp_path / "taken", "text")
    assert names(tmp_path) == ["taken"]


def test_an_error_is_about_the_file_that_was_named(tmp_path, monkeypatch):
    """Tests may run as root, who may write anywhere, so one refusal is made by hand."""
    with pytest.raises(OSError) as error:
        write_text("/proc/self/f.txt", "text")
    assert error.value.filename == "/proc/self/f.txt"
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists") as error:
        write_text(tmp_path / "file/f.txt", "text")
    assert error.value.filename == str(tmp_path / "file/f.txt")

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", "/somewhere/.x8fz1.tmp")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError) as error:
        write_text(tmp_path / "f.txt", "text")
    assert str(error.value) == f"[Errno 13] Permission denied: '{tmp_path}/f.txt'"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_somebody_who_may_not_write_is_told_the_file(tmp_path):
    path = tmp_path / "f.txt"
    tmp_path.chmod(0o555)
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError) as error:
            write_text(path, "text")
    finally:
        os.seteuid(0)
    assert error.value.filename == str(path)
    assert names(path.parent) == []
