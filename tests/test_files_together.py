"""Results that belong together: all of them appear, or none; two writers take turns."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from retrain_tools import files


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_nothing_is_seen_before_all_is_written_and_then_everything(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with files.together() as beside:
        files.write_text(beside(tmp_path / "a.txt"), "after")
        assert (tmp_path / "a.txt").read_text() == "before"
        for part in ("index", "data"):  # what has a prefix for its name
            files.write_text(f"{beside(tmp_path / 'new' / 'model.ckpt')}.{part}", part)
        files.write_text(f"{beside(tmp_path / 'saved' / '1')}/model.pb", "model")
    assert (tmp_path / "a.txt").read_text() == "after"
    assert names(tmp_path) == [
        "a.txt", "new", "new/model.ckpt.data", "new/model.ckpt.index", "saved", "saved/1",
        "saved/1/model.pb",
    ]  # fmt: skip


def test_where_the_block_fails_everything_is_as_it_was(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(RuntimeError), files.together() as beside:
        files.write_text(beside(tmp_path / "a.txt"), "after")
        raise RuntimeError
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_a_place_that_cannot_be_taken_is_named(tmp_path):
    (tmp_path / "a.txt" / "full").mkdir(parents=True)
    with pytest.raises(OSError) as raised, files.together() as beside:
        files.write_text(beside(tmp_path / "a.txt"), "after")
    assert raised.value.filename == str(tmp_path / "a.txt")


_WRITER = """
import sys, time
from pathlib import Path
from retrain_tools import files
with files.alone_in(Path(sys.argv[1])):
    print(time.monotonic(), flush=True)
    time.sleep(0.5)
    print(time.monotonic(), flush=True)
"""


def test_two_processes_are_never_in_one_folder_at_once_and_leave_nothing_there(tmp_path):
    folder = tmp_path / "made"
    command = [sys.executable, "-c", _WRITER, folder]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    times = sorted(list(map(float, one.communicate()[0].split())) for one in both)
    assert times[0][1] <= times[1][0]
    assert names(tmp_path) == ["made"]


def test_a_killed_process_holds_nobody_up(tmp_path):
    command = [sys.executable, "-c", _WRITER.replace("0.5", "60"), tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.kill()
    start = time.monotonic()
    with files.alone_in(tmp_path):
        assert time.monotonic() - start < 30


def test_a_file_that_cannot_be_written_is_named_as_the_user_knows_it(tmp_path):
    code = """
import resource, signal, sys
from retrain_tools import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    if sys.argv[2] == "together":
        with files.together() as beside:
            files.write_text(beside(sys.argv[1]), "x" * 5000)
    else:
        files.write_text(sys.argv[1], "x" * 5000)
except OSError as error:
    print(error)
"""
    path = tmp_path / "a.txt"
    for way in ("together", "alone"):
        command = [sys.executable, "-c", code, path, way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"[Errno 27] File too large: '{path}'\n"
        assert names(tmp_path) == []


_WITHOUT_RIGHTS = """
import os, pathlib, sys, tempfile
from retrain_tools import files
folder = pathlib.Path(sys.argv[1])
if os.getuid() == 0:
    os.chown(folder, 65534, 65534)
    os.setuid(65534)
try:
    if sys.argv[2] == "together":
        with files.together() as beside:
            files.write_text(beside(folder / "a.txt"), "x")
            folder.chmod(0o555)
    else:
        with files.replacing(folder / "a.txt"):
            folder.chmod(0o555)
except OSError as error:
    print(error)
folder.chmod(0o755)
"""


@pytest.mark.parametrize("way", ["together", "alone"])
def test_where_rights_go_half_way_the_error_is_of_the_users_file(way):
    """What is temporary cannot be removed then, either: the next run does it."""
    with tempfile.TemporaryDirectory() as folder:  # not below one that root alone may enter
        path = Path(folder, "a.txt")
        command = [sys.executable, "-c", _WITHOUT_RIGHTS, folder, way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"[Errno 13] Permission denied: '{path}'\n"
        files.write_text(path, "all")
        assert names(path.parent) == ["a.txt"]


def test_an_error_that_is_not_the_systems_stays_as_it_is(tmp_path):
    class OddError(OSError):
        pass

    with pytest.raises(OddError, match="of a library"), files.replacing(tmp_path / "a"):
        raise OddError("of a library")
