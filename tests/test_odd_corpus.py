"""`bottlenecks` and `fetch_tensors` on the corpus of bad and odd images: each becomes what it must.

The table is in `images/odd_corpus.py`.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from retrain_tools.features.cache import parse_bottleneck
from retrain_tools.features.matrix_cache import MatrixCache
from tests.images import odd_corpus
from tests.images.odd_corpus import MAX_PIXELS, UNREADABLE, Failure
from tests.script_process import ScriptProcess

# Root may read everything, unless that right is taken from it.
AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
READS_ALL = IS_ROOT and shutil.which("setpriv") is None

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes, links and odd names")


class Run(NamedTuple):
    """What a run left: vectors and failures by image, as named in its folder; how it ended."""

    vectors: dict[bytes, np.ndarray]
    failures: dict[bytes, Failure]
    rows: int
    status: int
    out: str


def failures(path):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    found = {_name(row["image"]): Failure(row["kind"], row["reason"]) for row in rows}
    return found, len(rows)


def _name(image):
    return os.fsencode(str(image)).removeprefix(b"photos/a/")


def text_vectors(folder):
    paths = [path for path in (folder / "a").rglob("*.txt") if path.is_file()]
    below = {os.fsencode(path.relative_to(folder / "a")): path for path in paths}
    return {n.removesuffix(b".txt"): parse_bottleneck(p.read_bytes()) for n, p in below.items()}


def npy_vectors(folder):
    cache = MatrixCache(folder, "", 3)
    return {os.fsencode(i.relative).removeprefix(b"a/"): cache.read(i) for i in cache.images()}


def fetched_vectors(path):
    with np.load(path) as store:
        names = map(_name, store["images"])
        return dict(zip(names, store["mean_colour:0"], strict=True))


WAYS = {
    "text": ("bottlenecks", ["--bottleneck_dir=text"], "text", text_vectors),
    "npy": ("bottlenecks", ["--bottleneck_dir=npy", "--cache_format=npy"], "npy", npy_vectors),
    "fetch": ("fetch_tensors", ["--output=out.npz"], "out.npz", fetched_vectors),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, mean_colour):
    """Each way on the corpus, and on what is good of it alone (`good`)."""
    everything, good = tmp_path_factory.mktemp("all"), tmp_path_factory.mktemp("good")
    odd_corpus.make(everything / "photos" / "a")
    odd_corpus.make(good / "photos" / "a", lambda one: one.expected is None and not one.as_text)
    before = AS_ANYBODY if IS_ROOT and not READS_ALL else ()
    found = {}
    for script in ("bottlenecks", "fetch_tensors"):
        tensor = "--bottleneck_tensor" if script == "bottlenecks" else "--tensors"
        common = [f"--graph={mean_colour}", "--input_mean=0", "--input_std=1",
            "--image_dir=photos", f"{tensor}=mean_colour:0", f"--max_image_pixels={MAX_PIXELS}",
        ]  # fmt: skip
        with ScriptProcess(f"retrain_tools.{script}", before) as process:
            for way, (of, more, place, vectors) in WAYS.items():
                folders = {way: everything} | ({"good": good} if way == "text" else {})
                for key, folder in folders.items() if of == script else ():
                    done = process.run((*common, *more), folder)
                    listed = folder / place / "failures.csv"
                    if script == "fetch_tensors":
                        listed = folder / f"{place}.failures.csv"
                    failed, rows = failures(listed) if listed.exists() else ({}, 0)
                    assert "Traceback" not in done.err
                    result = vectors(folder / place)
                    found[key] = Run(result, failed, rows, done.status, done.out)
    return found


def expected_of(one, way):
    return (one.as_text if way == "text" else None) or one.expected


def test_the_corpus_has_more_than_three_hundred_files_and_every_kind_of_end():
    table = odd_corpus.odd_files()
    assert len(table) > 450
    ends = [type(one.expected) for one in table]
    assert min(map(ends.count, (Failure, str, type(None)))) >= 8


@pytest.mark.parametrize("way", WAYS)
def test_each_file_becomes_what_the_table_says(runs, way):
    run, wrong = runs[way], {}
    for one in odd_corpus.odd_files():
        expected, failed = expected_of(one, way), run.failures.get(one.name)
        if one.name == UNREADABLE and READS_ALL:
            continue
        if expected is None or expected == "left out":
            is_right = failed is None and (one.name in run.vectors) == (expected is None)
        else:
            is_right = failed is not None and failed.kind == expected.kind
            is_right = is_right and re.fullmatch(expected.reason, failed.reason) is not None
        if not is_right:
            wrong[one.name] = (expected, failed, one.name in run.vectors)
    assert wrong == {}


@pytest.mark.parametrize("way", WAYS)
def test_each_image_comes_out_exactly_once(runs, way):
    run = runs[way]
    images = {one.name for one in odd_corpus.odd_files() if one.expected != "left out"}
    assert run.vectors.keys() | run.failures.keys() == images
    assert not run.vectors.keys() & run.failures.keys()
    assert run.rows == len(run.failures)
    assert f"{len(run.vectors)} computed, 0 reused, " in run.out
    assert f"{len(run.failures)} failed" in run.out
    assert run.status == 1


@pytest.mark.parametrize("way", WAYS)
def test_good_images_have_the_bits_that_they_have_without_the_others(runs, way):
    alone = runs["good"]
    assert (alone.status, alone.failures) == (0, {})
    assert len(alone.vectors) > 130
    found = runs[way].vectors
    differing = [name for name, own in alone.vectors.items() if (found[name] != own).any()]
    assert differing == []


ALIKE = [
    ["really PNG.jpg", "really BMP.png", "really PNG.gif", "seldom rotated by exif.png",
     "seldom broken icc.png", "seldom animated.png", "seldom lossless.webp",
     "seldom a clear colour.png", "png pixels in pieces of a byte.png",
     "png profile of noise.png", "seldom alpha.png", "seldom alpha.bmp"],
    ["ünïcödé.jpg", "really JPEG.png", "seldom rotated by exif.jpg", "seldom broken icc.jpg",
     "seldom two in one.jpg", "link.jpg", "jpeg an image behind.jpg", "jpeg fill bytes.jpg"],
    ["seldom rotated by exif.webp", "seldom broken icc.webp", "really WEBP.png"],
    ["seldom indexed.bmp", "seldom indexed.png", "seldom indexed with alpha.png",
     "seldom indexed with a clear colour.png"],
]  # fmt: skip


@pytest.mark.parametrize("names", ALIKE, ids=lambda names: names[0].partition(" ")[0])
def test_the_same_pixels_in_another_file_have_the_same_bits(runs, names):
    first, *others = (runs["fetch"].vectors[name.encode()] for name in names)
    for name, other in zip(names[1:], others, strict=True):
        assert (first == other).all(), name


def test_a_photo_without_the_right_to_read_it_is_one_failure(runs):
    if READS_ALL:
        pytest.skip("root can read everything, and there is no setpriv to take that from it")
    expected = Failure("reading", "cannot be read: Permission denied")
    assert {runs[way].failures[UNREADABLE] for way in WAYS} == {expected}


OWN = ("manifest.json", "checksums.crc32", "failures.csv", "packed_bottlenecks.npy")


def test_classes_that_are_called_as_files_of_the_cache_are_failures(
    run_script, mean_colour, tmp_path
):
    for folder in (*OWN, "bottlenecks.index", "failures_2.csv"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        (tmp_path / "photos" / folder / "x.jpg").write_bytes(odd_corpus.GOOD)
    flags = ("--input_mean=0", "--input_std=1", "--bottleneck_tensor=mean_colour:0")
    for reused in (0, 2):
        done = run_script(
            "retrain_tools.bottlenecks", f"--graph={mean_colour}", "--image_dir=photos",
            "--bottleneck_dir=out", *flags, cwd=tmp_path,
        )  # fmt: skip
        assert done.status == 1, done.err
        assert f"{2 - reused} computed, {reused} reused, 0 repaired, 4 failed" in done.out
        found, _ = failures(tmp_path / "out" / "failures.csv")
        assert found == {
            f"photos/{name}/x.jpg".encode(): Failure(
                "image", f"its bottleneck file would be in the place of out/{name}"
            )
            for name in OWN
        }
    assert Path(tmp_path / "out" / "manifest.json").is_file()
