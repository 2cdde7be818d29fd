"""Folders of bottlenecks without the images."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.features.cache import Cache
from retrain_tools.features.read_cache import choose_naming, find_bottlenecks, read_sound_files


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(found, suffix):
    return [image.relative for image in found[suffix]]


MODULE = "_https~tfhub.dev~google~imagenet~inception_v3~feature_vector~3"


@pytest.mark.parametrize("suffix", ["", "_mobilenet_0.50_224", MODULE])
def test_an_images_name_is_that_without_the_suffix_in_all_three_namings(tmp_path, suffix):
    images = ["a/1.jpg", "a/2.JPEG", "a/3.jpg.png", "b/deep.jpg.d/4.gif", "b/x y.jpg copy.webp"]
    write(tmp_path, **{f"{image}{suffix}.txt": "1,2" for image in images})
    found = find_bottlenecks(tmp_path)
    assert list(found) == [suffix]
    assert names(found, suffix) == images
    assert {image.path for image in found[suffix]} == set(images)


def test_text_files_that_are_no_bottlenecks_are_counted(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    files = {"a/1.jpg.txt": "1", "a/notes.txt": "mine", "README.txt": "", "manifest.json": "{}"}
    files |= {"a/._1.jpg.txt": "of a Mac", ".trash/a/2.jpg.txt": "1"}
    files |= {"fine_tune_cut.images.txt": "a/1.jpg", "fine_tune_cut.labels.txt": "a"}  # our own
    assert names(find_bottlenecks(write(tmp_path, **files)), "") == ["a/1.jpg"]
    assert [record.getMessage() for record in caplog.records] == [
        f"not called like IMAGE.jpg.txt, and left out: 2 text files in {tmp_path}"
    ]


@pytest.mark.parametrize(
    ("found", "wanted", "likely", "chosen"),
    [
        ({""}, None, [], ""),
        ({"_a"}, None, ["_b"], "_a"),  # what is likely is no order
        ({"", "_a"}, "_a", [], "_a"),
        ({"", "_a"}, "", ["_a"], ""),
        ({"", "_a", "_b"}, None, ["_b", "_c"], "_b"),
    ],
)
def test_the_naming_that_is_read(found, wanted, likely, chosen):
    found = {naming: [] for naming in found}
    assert choose_naming(Path("folder"), found, wanted, likely) == chosen


@pytest.mark.parametrize(
    ("found", "wanted", "likely", "message"),
    [
        (
            {"", "_b", "_a"}, None, ["_a", "_b"],
            "folder holds bottlenecks of several namings: ['', '_a', '_b']. Choose one with "
            "bottleneck_suffix.",
        ),
        (
            {"", "_mobilenet_0.50_224"}, "_mobilenet_0.5_224", [],
            "No bottlenecks of naming '_mobilenet_0.5_224' in folder. "
            "Did you mean '_mobilenet_0.50_224'?",
        ),
        (
            {"_x", ""}, "_inception_v3", [],
            "No bottlenecks of naming '_inception_v3' in folder. There is '', '_x'.",
        ),
    ],
)  # fmt: skip
def test_a_naming_that_cannot_be_told_is_asked_for(found, wanted, likely, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        choose_naming(Path("folder"), {naming: [] for naming in found}, wanted, likely)


DAMAGED = {
    "a/2.jpg.txt": ("", "an empty file"),
    "a/3.jpg.txt": (" \n", "an empty file"),
    "a/4.jpg.txt": ("1,2,x", "not comma-separated numbers"),
    "a/5.jpg.txt": ("1,2,", "not comma-separated numbers"),
    "a/6.jpg.txt": ("1,nan,3", "a value that is not a finite number"),
    "a/7.jpg.txt": ("1,2", "2 values instead of 3"),
    "b/2.jpg.txt": ("1,2,3,4", "4 values instead of 3"),
}


def test_damaged_files_are_named_and_move_no_other_into_their_place(tmp_path):
    good = {f"{label}/{n}.jpg.txt": f"{n},{n + 0.5},-1e-05" for label in "ab" for n in (1, 8, 9)}
    write(tmp_path, **good, **{name: text for name, (text, _) in DAMAGED.items()})
    images = find_bottlenecks(tmp_path)[""]
    read = read_sound_files(Cache(tmp_path, "", 0), images)
    assert {f"{name}.txt": why for name, why in read.failed.items()} == {
        name: why for name, (_, why) in DAMAGED.items()
    }
    assert [f"{image.relative}.txt" for image in read.images] == sorted(good)
    for image, vector in zip(read.images, read.vectors, strict=True):
        number = float(Path(image.relative).stem)
        assert np.array_equal(vector, np.array([number, number + 0.5, -1e-05], np.float32))
    assert read.lengths == {3: 6, 2: 1, 4: 1}


def test_the_length_that_is_asked_for_counts_and_not_the_usual_one(tmp_path):
    write(tmp_path, **{"a/1.jpg.txt": "1,2", "a/2.jpg.txt": "1,2", "a/3.jpg.txt": "1,2,3"})
    images = find_bottlenecks(tmp_path)[""]
    read = read_sound_files(Cache(tmp_path, "", 3), images)
    assert [image.relative for image in read.images] == ["a/3.jpg"]
    assert set(read.failed.values()) == {"2 values instead of 3"}


def test_as_many_of_one_length_as_of_another_is_an_error(tmp_path):
    write(tmp_path, **{"a/1.jpg.txt": "1,2", "a/2.jpg.txt": "1,2,3"})
    message = (
        f"{tmp_path} holds 1 bottlenecks of 2 values and as many of 3: they were made by two "
        "graphs or from two tensors. Name the right one with graph, or remove the others."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_sound_files(Cache(tmp_path, "", 0), find_bottlenecks(tmp_path)[""])


REFUSED = {
    "no folder": ({}, "No such folder: {folder}"),
    "no bottleneck": (
        {"a/notes.txt": "mine"},
        "No bottlenecks in {folder}: no file is called like IMAGE.jpg.txt.",
    ),
    "damaged": (
        {"a/1.jpg.txt": "1,2", "a/2.jpg.txt": ""},
        "{folder}/a/2.jpg.txt is damaged: an empty file",
    ),
    "two lengths": (
        {"a/1.jpg.txt": "1,2", "a/2.jpg.txt": "1"},
        "{folder}/a/2.jpg.txt has 1 values, and {folder}/a/1.jpg.txt has 2; they were made by two "
        "graphs or from two tensors.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_reading_all_bottlenecks_refuses_what_would_be_no_matrix(tmp_path, what):
    files, message = REFUSED[what]
    folder = write(tmp_path / "cache", **files)
    with pytest.raises(InputError, match=f"^{re.escape(message.format(folder=folder))}$"):
        rt.read_bottlenecks(folder)
