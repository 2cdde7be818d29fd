"""`bottlenecks` and `fetch_tensors` among files that are odd: each is one failure, by its name."""

from __future__ import annotations

import csv
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from retrain_tools.quiet_tensorflow import tf

LONG = "n" * 249 + ".jpg"  # the name of its bottleneck is longer than file systems take
ESCAPES = "\x1b[2Jtwo\nlines\u202e.jpg"


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.reduce_mean(pixels, [1, 2], name="mean_colour")
    path = tmp_path_factory.mktemp("graph") / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture
def photos(tmp_path):
    """Four good photos, one with an odd name."""
    folder = tmp_path / "photos" / "a"
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for name in ("1.jpg", "2.jpg", "3.jpg", ESCAPES):
        pixels = numbers.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name, "JPEG")
    return folder.parent


def run(run_script, script, graph, photos, *more):
    scaling = ("--input_mean=0", "--input_std=1", "--bottleneck_tensor=mean_colour:0")
    tensor = () if script == "fetch_tensors" else scaling
    given = (f"--graph={graph}", f"--image_dir={photos}", *tensor, *more)
    return run_script(f"retrain_tools.{script}", *given, cwd=photos.parent)


def failures(path):
    with path.open(newline="", errors="surrogateescape") as file:
        return {row["image"].rpartition("/")[2]: row["reason"] for row in csv.DictReader(file)}


def texts(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.txt") if path.is_file()}


def test_odd_files_fail_by_name_and_leave_the_others_as_they_are(
    run_script, graph, photos, tmp_path
):
    assert run(run_script, "bottlenecks", graph, photos, "--bottleneck_dir=good").status == 0
    expected = texts(tmp_path / "good")
    assert len(expected) == 4
    os.mkfifo(photos / "a" / "pipe.jpg")
    (photos / "a" / "zero.jpg").symlink_to("/dev/zero")
    with (photos / "a" / "huge.jpg").open("wb") as file:
        file.truncate(40 << 30)
    shutil.copy(photos / "a" / "1.jpg", photos / "a" / LONG)
    (tmp_path / "all" / "a" / "2.jpg.txt").mkdir(parents=True)
    done = run(run_script, "bottlenecks", graph, photos, "--bottleneck_dir=all")
    assert failures(tmp_path / "all" / "failures.csv") == {
        "pipe.jpg": "cannot be read: it is a named pipe",
        "zero.jpg": "cannot be read: it is a device",
        "huge.jpg": "cannot be read: it has 42,949,672,960 bytes, and 732,605,096 are the most",
        LONG: "its bottleneck file cannot be written: File name too long",
        "2.jpg": "its bottleneck file cannot be written: Is a directory",
    }
    assert "3 computed, 0 reused, 0 repaired, 5 failed" in done.out
    del expected["2.jpg.txt"]
    assert texts(tmp_path / "all") == expected


def test_log_lines_escape_names(run_script, graph, photos):
    (photos / "a" / ESCAPES).write_bytes(b"no image")
    done = run(run_script, "bottlenecks", graph, photos, "--bottleneck_dir=all")
    assert r"a/\x1b[2Jtwo\nlines\u202e.jpg is not a JPEG" in done.err
    assert "\x1b" not in done.err


def test_error_lines_escape_names(run_script, photos):
    done = run(run_script, "bottlenecks", f"{photos}/{ESCAPES}.pb", photos)
    assert done.status == 2
    assert r"\x1b[2Jtwo lines\u202e.jpg.pb" in done.err
    assert "\x1b" not in done.err


def test_a_class_folder_whose_name_is_two_lines_is_refused_before_training(
    run_script, graph, photos
):
    for name in ("two\nlines", "b"):
        shutil.copytree(photos / "a", photos / name)
    done = run(run_script, "retrain", graph, photos, "--keep_folder_names")
    assert done.status == 2
    assert done.err.endswith(
        r"error: The folder name 'two\nlines' would be more than one line of a file of labels. "
        "Rename the folder, or leave out --keep_folder_names.\n"
    )
