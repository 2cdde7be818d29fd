"""Temporary files of killed runs: those of the dead go, those of the living stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from retrain_tools import files
from retrain_tools.leftovers import owned_prefix, remove_leftovers


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def made_by(folder, process, host=None, name="x.tmp"):
    mine = owned_prefix()
    start = mine.removesuffix(f"{os.getpid()}-")
    if host:
        start = f".retrain_tools-{host}-"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{start}{process}-{name}"
    path.write_bytes(b"half")
    return path


def test_only_what_dead_processes_of_this_host_left_is_removed(tmp_path, dead):
    gone = made_by(tmp_path, dead)
    mine, parents = made_by(tmp_path, os.getpid()), made_by(tmp_path, os.getppid())
    others = [tmp_path / name for name in (".x.tmp", ".retrain_tools", "photo.jpg")]
    for path in others:
        path.write_bytes(b"")
    assert remove_leftovers(tmp_path) == [gone]
    assert all(path.exists() for path in (mine, parents, *others))
    assert not gone.exists()


def test_those_of_another_host_are_removed_after_a_day(tmp_path, dead):
    path = made_by(tmp_path, dead, host="elsewhere")
    assert remove_leftovers(tmp_path) == []
    an_hour_short = time.time() - 23 * 3600
    os.utime(path, (an_hour_short, an_hour_short))
    assert remove_leftovers(tmp_path) == []
    a_day_ago = time.time() - 25 * 3600
    os.utime(path, (a_day_ago, a_day_ago))
    assert remove_leftovers(tmp_path) == [path]


def test_folders_go_with_what_is_in_them_and_those_below_only_when_asked(tmp_path, dead):
    folder = made_by(tmp_path, dead)
    folder.unlink()
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "x").write_bytes(b"")
    below = made_by(tmp_path / "class", dead)
    assert remove_leftovers(tmp_path) == [folder]
    assert remove_leftovers(tmp_path, below=True) == [below]


def test_who_writes_beside_left_overs_removes_them(tmp_path, dead):
    gone = made_by(tmp_path, dead)
    files.write_text(tmp_path / "a.txt", "all")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert not gone.exists()


_SLOW = """
import sys, time
from retrain_tools import command_line, files
def main(_):
    with files.replacing(sys.argv[1]) as file:
        print("open", flush=True)
        time.sleep(60)
command_line.run(main, takes_words=True)
"""


@pytest.mark.parametrize(
    ("number", "status", "said", "left"),
    [
        (signal.SIGTERM, 143, "terminated\n", 0),
        (signal.SIGINT, 130, "interrupted\n", 0),
        (signal.SIGKILL, -9, "", 1),
    ],
)
def test_a_signal_ends_a_script(tmp_path, number, status, said, left):
    path = tmp_path / "result"
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW, path], stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (status, said)
    assert len(list(tmp_path.iterdir())) == left
    files.write_text(path, "whole")
    assert [found.name for found in tmp_path.iterdir()] == ["result"]


def test_a_job_on_a_cache_removes_what_killed_jobs_left_in_its_folders(
    tmp_path, dead, run_script, frozen
):
    (tmp_path / "images" / "a").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "a" / "1.png")
    left = [made_by(tmp_path / "cache" / below, dead) for below in ("", "a", "b")]
    run_script(
        "retrain_tools.bottlenecks", f"--graph={frozen}", "--image_dir=images",
        "--bottleneck_dir=cache", cwd=tmp_path,
    )  # fmt: skip
    assert not any(path.exists() for path in left)
