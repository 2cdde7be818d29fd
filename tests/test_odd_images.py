"""Names of images and folders that would command a terminal, or be more than one line of a file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

ESCAPES = "\x1b[2Jtwo\nlines\u202e.jpg"


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


def run(run_script, script, mean_colour, photos, *more):
    scaling = ("--input_mean=0", "--input_std=1", "--bottleneck_tensor=mean_colour:0")
    tensor = () if script == "fetch_tensors" else scaling
    given = (f"--graph={mean_colour}", f"--image_dir={photos}", *tensor, *more)
    return run_script(f"retrain_tools.{script}", *given, cwd=photos.parent)


def test_log_lines_escape_names(run_script, mean_colour, photos):
    (photos / "a" / ESCAPES).write_bytes(b"no image")
    done = run(run_script, "bottlenecks", mean_colour, photos, "--bottleneck_dir=all")
    assert r"a/\x1b[2Jtwo\nlines\u202e.jpg is not a JPEG" in done.err
    assert "\x1b" not in done.err


def test_error_lines_escape_names(run_script, photos):
    done = run(run_script, "bottlenecks", f"{photos}/{ESCAPES}.pb", photos)
    assert done.status == 2
    assert r"\x1b[2Jtwo lines\u202e.jpg.pb" in done.err
    assert "\x1b" not in done.err


def test_a_class_folder_whose_name_is_two_lines_is_refused_before_training(
    run_script, mean_colour, photos
):
    for name in ("two\nlines", "b"):
        shutil.copytree(photos / "a", photos / name)
    done = run(run_script, "retrain", mean_colour, photos, "--keep_folder_names")
    assert done.status == 2
    assert done.err.endswith(
        r"error: The folder name 'two\nlines' would be more than one line of a file of labels. "
        "Rename the folder, or leave out --keep_folder_names.\n"
    )
