"""Temporary files of killed runs: those of the dead go, those of the living stay."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools import files, leftovers
from retrain_tools.leftovers import owned_prefix, remove_leftovers


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def made_by(folder, process, host=None, name="x.tmp"):
    start = re.sub(rf"(.*-){os.getpid()}-.*", r"\1", owned_prefix())
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


@pytest.mark.skipif(sys.platform != "linux", reason="when a process began is told by Linux only")
def test_what_is_of_a_process_that_had_this_ones_number_is_removed(tmp_path):
    """As in a container, where the first process has the same number each time."""
    began = owned_prefix().split("-")[-2]
    mine, before = (tmp_path / f"{owned_prefix()}{name}.tmp" for name in ("a", "b"))
    before = before.with_name(before.name.replace(began, f"s{int(began[1:]) - 1}"))
    for path in (mine, before):
        path.write_bytes(b"half")
    assert remove_leftovers(tmp_path) == [before]
    assert mine.exists()


def test_the_host_may_have_numbers_in_its_name(tmp_path, dead, monkeypatch):
    monkeypatch.setattr(leftovers, "_HOST", f"node-{os.getpid()}-a")
    path = made_by(tmp_path, dead)
    assert path.name.startswith(f".retrain_tools-node-{os.getpid()}-a-{dead}-")
    assert remove_leftovers(tmp_path) == [path]


_IN_SCRATCH = """
import sys, time
from retrain_tools.leftovers import scratch_folder
with scratch_folder() as folder:
    (folder / "large").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(float(sys.argv[1]))
"""


def test_a_scratch_folder_of_a_killed_process_goes_with_the_next_one(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", _IN_SCRATCH]
    with subprocess.Popen([*command, "60"], stdout=-1, text=True, env=environment) as process:
        folder = process.stdout.readline().strip()
        process.kill()
    assert [path.name for path in Path(folder).iterdir()] == ["large"]
    subprocess.run([*command, "0"], check=True, env=environment, stdout=subprocess.DEVNULL)
    assert list(tmp_path.iterdir()) == []


def test_every_folder_in_the_systems_temporary_one_says_whose_it_is():
    package = Path(leftovers.__file__).parent
    for path in package.rglob("*.py"):
        if path.name != "leftovers.py":
            assert "TemporaryDirectory(" not in path.read_text(encoding="utf-8"), path


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
