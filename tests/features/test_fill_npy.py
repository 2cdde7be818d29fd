"""Filling a cache that is one matrix: as with text files, value for value."""

from __future__ import annotations

import dataclasses
import logging
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.features.cache import Identity
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.features.manifest import Manifest, manifest_path, read_manifest, write_manifest
from retrain_tools.features.matrix_cache import MatrixCache
from retrain_tools.features.packed import packed_path
from retrain_tools.images.folders import find_images

from . import tiny
from .filling import counts, run, texts


@pytest.fixture(scope="module")
def frozen(graph_2015):
    return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)


def fill(frozen, images, folder, **options):
    return run(frozen, images, folder, cache_format="npy", **options)


def test_the_values_are_those_of_the_text_files_bit_by_bit(frozen, images, folder, tmp_path):
    report = fill(frozen, images, folder)
    assert counts(report) == (12, 0, 0, 0)
    assert {p.name for p in folder.iterdir()} == {
        "bottlenecks.npy", "bottlenecks.index", "bottlenecks.lock", "manifest.json"
    }  # fmt: skip
    run(frozen, images, tmp_path / "text")
    for read in (rt.read_bottlenecks, lambda place: rt.read_features(place).values["bottleneck"]):
        one, other = read(folder), read(tmp_path / "text")
        one, other = (getattr(found, "vectors", found) for found in (one, other))
        assert one.tobytes() == other.tobytes()
    found, text = rt.read_bottlenecks(folder), rt.read_bottlenecks(tmp_path / "text")
    assert (found.images, found.labels) == (text.images, text.labels)
    assert read_manifest(folder, "") == read_manifest(tmp_path / "text", "")


def test_a_second_run_goes_on_with_the_matrix_without_being_told(
    frozen, images, folder, no_extractor
):
    fill(frozen, images, folder, bottleneck_suffix="_m")
    no_extractor()
    report = run(frozen, images, folder)
    assert counts(report) == (0, 12, 0, 0)
    assert report.cache.suffix == "_m"
    assert not texts(folder)


def test_what_is_damaged_or_missing_is_made_again(frozen, images, folder):
    before = fill(frozen, images[:10], folder).cache
    data = bytearray(before.path.read_bytes())
    data[200] ^= 1  # of the first row
    before.path.write_bytes(data)
    report = fill(frozen, images, folder)
    assert counts(report) == (2, 9, 1, 0)
    assert counts(fill(frozen, images, folder)) == (0, 12, 0, 0)


def test_the_vectors_are_those_of_the_images_in_their_order(frozen, images, folder):
    fill(frozen, images[3:7], folder)
    options = CacheOptions(str(folder), cache_format="npy")
    report = fill_cache(frozen, images[::-1], options, with_vectors=True)
    assert report.vectors.shape == (12, 256)
    for image, vector in zip(images[::-1], report.vectors, strict=True):
        np.testing.assert_array_equal(report.cache.read(image), vector)
    assert not packed_path(folder, "").exists(), "a matrix needs no copy"


def test_failures_have_no_rows_and_are_listed(frozen, photos, images, folder):
    (photos / "a/0.jpg").write_bytes(b"not an image")
    report = fill(frozen, images, folder)
    assert counts(report) == (11, 0, 0, 1)
    assert "is not a JPEG, PNG, GIF, BMP or WebP image" in (folder / "failures.csv").read_text()
    assert "a/0.jpg" not in rt.read_bottlenecks(folder).images


def test_another_graph_s_matrix_is_refused(frozen, pixel_graph, images, folder):
    fill(frozen, images, folder)
    other = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    with pytest.raises(InputError, match=f"tensor {tiny.BOTTLENECK_2015} there"):
        run(other, images, folder)


def test_a_matrix_without_its_manifest_is_spot_checked(frozen, images, folder):
    cache = fill(frozen, images, folder).cache
    manifest_path(folder, "").unlink()
    assert counts(run(frozen, images, folder)) == (0, 12, 0, 0)
    assert read_manifest(folder, "").adopted["checked"] == 5
    manifest_path(folder, "").unlink()
    for image in images:
        cache.write(image, np.arange(256, dtype=np.float32))
    with pytest.raises(InputError, match=r"12 bottlenecks in .* do not agree with this graph"):
        run(frozen, images, folder)


def test_a_matrix_of_another_length_is_not_written_over(frozen, images, folder):
    cache = MatrixCache(folder, "", 3)
    for image in images:
        cache.write(image, np.ones(3, np.float32))
    with pytest.raises(InputError) as error:
        run(frozen, images, folder)
    assert str(error.value).startswith(f"{folder} holds 12 bottlenecks of 3 values and none of 256")


def test_rows_that_another_graph_computed_are_computed_again(frozen, images, folder):
    report = fill(frozen, images, folder)
    other = Identity("another", tiny.BOTTLENECK_2015, "none", {})
    mixed = Manifest(None, 256, "other.pb").with_computed(other, "other.pb", ["a/0.jpg"])
    write_manifest(folder, "", dataclasses.replace(mixed, identity=report.identity))
    report.cache.write(images[0], np.ones(256, np.float32))
    assert counts(run(frozen, images, folder)) == (1, 11, 0, 0)
    assert report.cache.read(images[0]).std() > 0
    assert read_manifest(folder, "").computed == ()


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [("text", "npy", "text files"), ("npy", "text", "one matrix")],
)
def test_one_naming_has_one_format(frozen, images, folder, first, then, kept):
    run(frozen, images, folder, cache_format=first)
    with pytest.raises(InputError) as error:
        run(frozen, images, folder, cache_format=then)
    assert str(error.value) == (
        f"The bottlenecks in {folder} are kept as {kept}. Leave cache_format out to go on with "
        "them, or use another bottleneck_dir or another bottleneck_suffix."
    )
    assert counts(run(frozen, images, folder, cache_format=then, bottleneck_suffix="_b"))[0] == 12
    assert counts(run(frozen, images, folder, bottleneck_suffix="")) == (0, 12, 0, 0)


def test_a_stranger_s_bottlenecks_npy_is_refused_before_anything_is_computed(
    frozen, images, folder, no_extractor
):
    folder.mkdir()
    np.save(folder / "bottlenecks.npy", np.zeros((2, 2)))
    no_extractor()
    with pytest.raises(InputError, match=r"bottlenecks\.npy is not of a cache of this program"):
        fill(frozen, images, folder)


def test_text_files_of_the_same_naming_are_left_out_with_a_warning(
    frozen, images, folder, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    fill(frozen, images[:3], folder)
    (folder / "a").mkdir()
    (folder / "a/9.jpg.txt").write_text("1,2")
    assert len(rt.read_bottlenecks(folder).images) == 3
    assert caplog.messages == [
        f"of naming '', of which there is a matrix, and left out: 1 text file in {folder}"
    ]


def test_a_damaged_row_is_named_where_all_are_asked_for(frozen, images, folder):
    cache = fill(frozen, images[:3], folder).cache
    data = bytearray(cache.path.read_bytes())
    data[-1] ^= 1
    cache.path.write_bytes(data)
    message = f"{images[2].relative} in {cache.path} is damaged: not the values that were written"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        rt.read_bottlenecks(folder)


# --- kills ---

COUNT = 60
_JOB = """
import sys, time
from retrain_tools.features.image_side import ImagePreparation
prepare = ImagePreparation.prepare
def slowly(self, image):
    time.sleep(0.02)
    return prepare(self, image)
ImagePreparation.prepare = slowly
from retrain_tools import bottlenecks
sys.argv[0] = "bottlenecks"
bottlenecks.script()
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    root = tmp_path_factory.mktemp("killed")
    (root / "photos/a").mkdir(parents=True)
    data = tiny.encoded(tiny.photo(20, 20), "JPEG")
    for number in range(COUNT):
        (root / f"photos/a/{number:02}.jpg").write_bytes(data)
    return tiny.write_pixel_graph(root / "graph.pb"), root / "photos"


def start(job, folder):
    graph, photos = job
    flags = ("--input_mean=127.5", "--input_std=127.5", "--bottleneck_tensor=features")
    where = (f"--graph={graph}", f"--image_dir={photos}", f"--bottleneck_dir={folder}")
    return subprocess.Popen(
        [sys.executable, "-c", _JOB, *where, *flags, "--cache_format=npy"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def rows_in(folder):
    return MatrixCache(folder, "", 4).images()


def wait_for_rows(folder, process, count):
    deadline = time.monotonic() + 120
    while len(rows_in(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_at_a_random_moment_only_what_is_missing_is_computed(job, folder, how):
    with start(job, folder) as process:
        wait_for_rows(folder, process, random.randint(1, 30))
        process.send_signal(how)
        _, err = process.communicate()
    done = rows_in(folder)
    assert 0 < len(done) < COUNT
    if how == signal.SIGINT:
        assert f"stopped after {len(done)} of {COUNT} images; run again to go on" in err
    graph, photos = job
    before = MatrixCache(folder, "", 4)
    vectors = [before.read(image) for image in done]
    report = run(tiny.opened(graph, tiny.BOTTLENECK_PIXELS), find_images(str(photos)), folder)
    assert counts(report) == (COUNT - len(done), len(done), 0, 0)
    found = rt.read_bottlenecks(folder)
    assert len(found.images) == COUNT
    rows = dict(zip(found.images, found.vectors, strict=True))
    for image, vector in zip(done, vectors, strict=True):
        np.testing.assert_array_equal(rows[image.relative], vector)


def test_two_runs_at_once_on_one_matrix(job, folder):
    with start(job, folder) as first, start(job, folder) as second:
        for process in (first, second):
            out, err = process.communicate(timeout=180)
            assert process.returncode == 0, err
            assert re.match(r"\d+ computed, \d+ reused, 0 repaired, 0 failed", out)
    graph, photos = job
    images = find_images(str(photos))
    assert counts(run(tiny.opened(graph, tiny.BOTTLENECK_PIXELS), images, folder)) == (
        0, COUNT, 0, 0
    )  # fmt: skip
