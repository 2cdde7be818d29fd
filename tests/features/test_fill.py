"""Filling a cache: what is computed, reused, repaired, refused, and survives a kill."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from retrain_tools.engine.settings import RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features.cache import parse_bottleneck
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.features.manifest import manifest_path
from retrain_tools.images.folders import ImageFile, find_images
from retrain_tools.quiet_tensorflow import tf

from . import tiny
from .filling import counts, run, texts


@pytest.fixture(scope="module")
def frozen(graph_2015):
    return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)


# --- what is done ---


def test_a_new_cache_holds_the_untouched_graph_s_values(frozen, graph_2015, images, folder):
    report = run(frozen, images, folder)
    assert counts(report) == (12, 0, 0, 0)
    assert report.seconds > 0
    assert re.fullmatch(
        rf"12 computed, 0 reused, 0 repaired, 0 failed \([\d.]+ images/s\): {folder}",
        report.summary(),
    )
    for image in images:
        data = open(image.path, "rb").read()  # noqa: PTH123, SIM115
        [expected] = tiny.run_untouched(
            graph_2015, tiny.BOTTLENECK_2015, {"DecodeJpeg/contents:0": data}
        )
        cached = parse_bottleneck((folder / f"{image.relative}.txt").read_bytes())
        np.testing.assert_allclose(cached, expected, rtol=0, atol=1e-4)
    assert {p.name for p in folder.iterdir()} == {
        "a", "b", "checksums.crc32", "manifest.json",
    }  # fmt: skip


def test_a_second_run_computes_nothing_and_opens_nothing(frozen, images, folder, no_extractor):
    run(frozen, images, folder)
    before = texts(folder)
    no_extractor()
    report = run(frozen, images, folder)
    assert counts(report) == (0, 12, 0, 0)
    assert report.summary() == f"0 computed, 12 reused, 0 repaired, 0 failed: {folder}"
    assert texts(folder) == before


def test_what_is_damaged_or_missing_is_made_again(frozen, images, folder):
    run(frozen, images, folder)
    before = texts(folder)
    (folder / "a/0.jpg.txt").write_text(before["a/0.jpg.txt"][:100])
    (folder / "a/2.jpg.txt").write_text("")
    (folder / "b/1.jpg.txt").write_text(before["b/1.jpg.txt"].replace(",", ",nan,", 1))
    (folder / "b/3.jpg.txt").unlink()
    report = run(frozen, images, folder)
    assert counts(report) == (1, 8, 3, 0)
    after = texts(folder)
    assert set(after) == set(before)
    for name, text in after.items():
        np.testing.assert_allclose(
            parse_bottleneck(text.encode()), parse_bottleneck(before[name].encode()), atol=1e-5
        )


def test_the_naming_that_is_there_is_kept(frozen, images, folder):
    run(frozen, images, folder, bottleneck_suffix="_inception_v3")
    report = run(frozen, images, folder, preferred_suffix="_other")
    assert counts(report) == (0, 12, 0, 0)
    assert report.cache.suffix == "_inception_v3"
    assert manifest_path(folder, "_inception_v3").name == "manifest_inception_v3.json"


def test_two_graphs_may_share_a_folder_under_two_namings(frozen, pixel_graph, images, folder):
    run(frozen, images, folder, bottleneck_suffix="_old")
    other = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    assert counts(run(other, images, folder, bottleneck_suffix="_pixels")) == (12, 0, 0, 0)
    assert counts(run(frozen, images, folder, bottleneck_suffix="_old")) == (0, 12, 0, 0)


NAMES = ["a b/c d.jpg", "a b/1,2.jpg", "日本/é.jpg", "-x/--help.jpg", 'a b/it\'s "1".jpg']


def test_any_names(frozen, photos, tmp_path, folder):
    data = (photos / "a/0.jpg").read_bytes()
    undecodable = os.fsdecode(b"\xff.jpg")
    longest = "x" * 247  # the name of its bottleneck file has 255 bytes, the most there can be
    for name in (*NAMES, f"a b/{undecodable}", f"{longest}.jpg"):
        path = tmp_path / "named" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    report = run(frozen, find_images(str(tmp_path / "named")), folder)
    assert counts(report) == (7, 0, 0, 0)
    assert {f"{name}.txt" for name in NAMES} <= set(texts(folder))


def test_the_vectors_are_those_of_the_images_in_their_order(frozen, images, folder, monkeypatch):
    """Also with more threads than cores, and with half of the images cached already."""
    run(frozen, images[:6], folder)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("retrain_tools.engine.body._USUAL_SIZE", 2)
    prepared_in = set()
    prepare = ImagePreparation.prepare

    def slowly(self, image):
        prepared_in.add(threading.current_thread())
        time.sleep(0.01)
        return prepare(self, image)

    monkeypatch.setattr(ImagePreparation, "prepare", slowly)
    options = CacheOptions(str(folder), running=RunSettings(self_check=False))  # it prepares, too
    report = fill_cache(frozen, images, options, with_vectors=True)
    assert counts(report) == (6, 6, 0, 0)
    assert len(prepared_in) == 3, "a worker for each batch, and 8 are allowed"
    assert report.vectors.shape == (12, 256)
    for image, vector in zip(images, report.vectors, strict=True):
        np.testing.assert_array_equal(report.cache.read(image), vector)


def test_an_image_named_twice_is_one_image(frozen, images, folder):
    assert counts(run(frozen, [*images, *images], folder)) == (12, 0, 0, 0)


def test_images_that_would_share_a_file_are_refused(frozen, images, folder):
    other = ImageFile("elsewhere/a/0.jpg", "a/0.jpg")
    with pytest.raises(InputError) as error:
        run(frozen, [*images, other], folder)
    assert str(error.value) == (
        f"{images[0].path} and elsewhere/a/0.jpg would share the bottleneck of a/0.jpg; "
        "give each folder of images its own bottleneck_dir."
    )
    assert not folder.exists()


# --- what is refused ---


def test_another_graph_s_cache(frozen, pixel_graph, images, folder):
    run(frozen, images, folder)
    before = texts(folder)
    other = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    with pytest.raises(InputError) as error:
        run(other, images, folder)
    message = str(error.value)
    assert f"tensor {tiny.BOTTLENECK_2015} there, {tiny.BOTTLENECK_PIXELS} now" in message
    assert 'preprocessing {"by": "graph"' in message
    assert "tiny_2015.pb" in message
    assert texts(folder) == before


def test_another_pooling_s_cache(graph_2015, images, folder):
    maps = tiny.opened(graph_2015, "conv/relu:0")
    run(maps, images, folder, pooling="avg")
    with pytest.raises(InputError, match="pooling avg there, max now"):
        run(maps, images, folder, pooling="max")


def test_all_values_of_a_map_are_the_same_cache_by_either_name(graph_2015, images, folder):
    """`none` and `flatten` write the same values."""
    maps = tiny.opened(graph_2015, "conv/relu:0")
    run(maps, images[:2], folder, pooling="none")
    before = texts(folder)
    assert counts(run(maps, images[:2], folder, pooling="flatten")) == (0, 2, 0, 0)
    assert texts(folder) == before
    with pytest.raises(InputError, match=re.escape("pooling flatten there, avg now")):
        run(maps, images[:2], folder, pooling="avg")


def test_a_legacy_cache_of_another_length_is_not_written_over(frozen, images, folder):
    """Without this check all of it would count as damaged and be computed anew."""
    for image in images:
        path = folder / f"{image.relative}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0.5,0.25,0.125")
    for trust in (False, True):
        with pytest.raises(InputError) as error:
            run(frozen, images, folder, trust_cache=trust)
        assert str(error.value) == (
            f"{folder} holds 12 bottlenecks of 3 values and none of 256, which "
            "'pool/_reshape:0' of this graph has: they were made by another graph, or from "
            "another tensor. Use another bottleneck_dir or another bottleneck_suffix, or "
            "remove them."
        )
    assert set(texts(folder).values()) == {"0.5,0.25,0.125"}
    assert not manifest_path(folder, "").exists()


def test_a_file_instead_of_the_folder(frozen, images, folder):
    folder.write_text("x")
    with pytest.raises(InputError, match=rf"{folder} is a file; bottleneck_dir takes a folder"):
        run(frozen, images, folder)


def test_a_naming_with_a_slash(frozen, images, folder):
    with pytest.raises(InputError, match=r"^bottleneck_suffix=_a/b .*cannot hold '/'.*'~'"):
        run(frozen, images, folder, bottleneck_suffix="_a/b")
    assert not folder.exists()


# --- images that cannot be used ---


def spoil(photos, *names):
    for name in names:
        (photos / name).write_bytes(b"not an image")


def test_failures_are_listed_and_the_list_goes_when_they_do(
    frozen, photos, images, folder, tmp_path, caplog
):
    good = (photos / "a/0.jpg").read_bytes()
    spoil(photos, "a/0.jpg")
    (photos / "b/1.jpg").write_bytes(b"")
    (photos / "b/x,y.jpg").symlink_to(tmp_path / "gone")
    images = find_images(str(photos))
    report = run(frozen, images, folder)
    assert counts(report) == (10, 0, 0, 3)
    with (folder / "failures.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "reason"],
        [str(photos / "a/0.jpg"), "is not a JPEG, PNG, GIF, BMP or WebP image"],
        [str(photos / "b/1.jpg"), "is empty"],
        [str(photos / "b/x,y.jpg"), "cannot be read: No such file or directory"],
    ]
    assert f"{photos / 'b/1.jpg'} is empty" in caplog.text
    assert not (folder / "a/0.jpg.txt").exists()

    (photos / "b/x,y.jpg").unlink()
    for name in ("a/0.jpg", "b/1.jpg"):
        (photos / name).write_bytes(good)
    assert counts(run(frozen, find_images(str(photos)), folder)) == (2, 10, 0, 0)
    assert not (folder / "failures.csv").exists()


def test_a_failure_whose_name_is_no_utf8_is_listed_too(frozen, photos, folder):
    (photos / "a" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    assert counts(run(frozen, find_images(str(photos)), folder)) == (12, 0, 0, 1)
    assert b"/a/\xff.jpg,is empty" in (folder / "failures.csv").read_bytes()


def test_fail_on_error_stops_and_keeps_what_is_done(frozen, photos, images, folder):
    spoil(photos, "b/9.jpg")
    with pytest.raises(InputError) as error:
        run(frozen, images, folder, on_error="fail")
    assert str(error.value) == (f"{photos / 'b/9.jpg'} is not a JPEG, PNG, GIF, BMP or WebP image.")
    assert all(len(parse_bottleneck(text.encode())) == 256 for text in texts(folder).values())


def test_all_failed(frozen, photos, images, folder):
    spoil(photos, *(image.relative for image in images))
    with pytest.raises(InputError) as error:
        run(frozen, images, folder)
    path = folder / "failures.csv"
    assert str(error.value) == f"None of the 12 images can be used; the reasons are in {path}."
    assert len(path.read_text().splitlines()) == 13


# --- kills, Ctrl-C and company ---

COUNT = 40


def slow(pooled, pixels):
    """Take some tenths of a second for a batch."""
    large = tf.fill([1000, 1000], tf.reduce_mean(pixels))
    for _ in range(5):
        large = tf.matmul(large, large) * 1e-6
    return pooled + 1e-30 * tf.reduce_mean(large)


@pytest.fixture(scope="module")
def slow_job(tmp_path_factory):
    root = tmp_path_factory.mktemp("slow")
    (root / "photos/a").mkdir(parents=True)
    data = tiny.encoded(tiny.photo(20, 20), "JPEG")
    for number in range(COUNT):
        (root / f"photos/a/{number:02}.jpg").write_bytes(data)
    graph = tiny.write_pixel_graph(root / "slow.pb", slow)
    return graph, root / "photos"


def start(slow_job, folder):
    graph, photos = slow_job
    arguments = (f"--graph={graph}", f"--image_dir={photos}", f"--bottleneck_dir={folder}")
    mean_and_std = ("--input_mean=127.5", "--input_std=127.5", "--bottleneck_tensor=features")
    return subprocess.Popen(
        [sys.executable, "-m", "retrain_tools.bottlenecks", *arguments, *mean_and_std],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_files(folder, process, count=8):
    deadline = time.monotonic() + 60
    while len(list(folder.rglob("*.txt"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_what_is_there_and_finish(slow_job, folder):
    graph, photos = slow_job
    done = texts(folder)
    assert 8 <= len(done) < COUNT
    assert all(len(parse_bottleneck(text.encode())) == 4 for text in done.values())
    frozen = tiny.opened(graph, tiny.BOTTLENECK_PIXELS)
    report = run(frozen, find_images(str(photos)), folder)
    assert counts(report) == (COUNT - len(done), len(done), 0, 0)
    finished = texts(folder)
    assert len(finished) == COUNT
    assert {name: finished[name] for name in done} == done


def test_after_a_kill_only_what_is_missing_is_computed(slow_job, folder):
    with start(slow_job, folder) as process:
        wait_for_files(folder, process)
        process.kill()
        process.communicate()
    check_what_is_there_and_finish(slow_job, folder)


def test_ctrl_c_says_how_far_it_came_and_exits_with_130(slow_job, folder):
    with start(slow_job, folder) as process:
        wait_for_files(folder, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    done = len(texts(folder))
    assert f"stopped after {done} of {COUNT} images; run again to go on" in err
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err
    assert not list(folder.rglob("*.tmp"))
    check_what_is_there_and_finish(slow_job, folder)


def test_two_runs_at_once_on_one_cache(slow_job, folder):
    with start(slow_job, folder) as first, start(slow_job, folder) as second:
        for process in (first, second):
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert re.match(r"\d+ computed, \d+ reused, 0 repaired, 0 failed", out)
    done = texts(folder)
    assert len(done) == COUNT
    assert all(len(parse_bottleneck(text.encode())) == 4 for text in done.values())
    assert not list(folder.rglob("*.tmp"))
