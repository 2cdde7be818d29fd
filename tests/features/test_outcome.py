"""Counts, closing lines, lists of failures; what is checked before a graph is opened."""

from __future__ import annotations

import dataclasses
import logging
import pkgutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import get_type_hints

import pytest

import retrain_tools.engine
import retrain_tools.features
import retrain_tools.images
from retrain_tools.errors import InputError
from retrain_tools.features import fetch, fill
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.failures import report_failures
from retrain_tools.features.in_memory import fetch_in_memory
from retrain_tools.features.outcome import Outcome, compute
from retrain_tools.head.labelling import label_images
from retrain_tools.images.decode import ImageError, read_image

from . import tiny
from .fetching import jpegs


def test_closing_lines():
    failed = {"a.jpg": "is empty"}
    done = Outcome(computed=12, reused=3, repaired=0, failed=failed, seconds=0.8)
    assert done.closing_line("F") == (
        "12 computed, 3 reused, 0 repaired, 1 failed (15.0 images/s): F"
    )
    repaired = dataclasses.replace(done, repaired=4)
    assert "4 repaired, 1 failed (20.0 images/s)" in repaired.closing_line("F")
    assert dataclasses.replace(done, repaired=None).closing_line("F: pool [2]") == (
        "12 computed, 3 reused, 1 failed (15.0 images/s): F: pool [2]"
    )
    assert Outcome(reused=3).closing_line("F") == "0 computed, 3 reused, 0 failed: F"


def test_outcomes_are_frozen():
    for kind in (Outcome, fill.FilledCache, fetch.FetchedTensors):
        assert kind.__dataclass_params__.frozen


@pytest.fixture
def extractor(pixel_graph):
    frozen = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    with Extractor(frozen, [tiny.BOTTLENECK_PIXELS]) as extractor:
        yield extractor


def test_compute_keeps_the_good_and_names_the_bad(extractor, photos):
    paths = jpegs(photos)
    with open(paths[2], "wb"):  # noqa: PTH123
        pass
    kept = {}

    def keep(path, values):
        if path == paths[4]:
            raise ImageError("is not wanted")
        kept[path] = values

    done = compute(extractor, paths, keep, "skip")
    assert list(kept) == [path for path in paths if path not in (paths[2], paths[4])]
    assert (done.computed, done.reused) == (10, 0)
    assert done.failed == {paths[2]: "is empty", paths[4]: "is not wanted"}
    assert done.seconds > 0
    for bad in (paths[2], paths[4]):
        with pytest.raises(InputError, match=rf"^{bad} is (empty|not wanted)\.$"):
            compute(extractor, [paths[0], bad, paths[1]], keep, "fail")


class Given:
    """What computes results: here they are given."""

    def __init__(self, *results, then=None):
        self.results, self.then, self.yielded = results, then, threading.Event()

    def extract(self, paths):
        for path, result in zip(paths, self.results, strict=False):
            yield path, result
            self.yielded.set()
        if self.then is not None:
            raise self.then


def test_keeping_does_not_hold_up_computing():
    given = Given([1], [2])
    threads = []

    def keep(path, values):
        threads.append(threading.current_thread())
        assert given.yielded.wait(30), "the next image was asked for meanwhile"

    assert compute(given, ["a", "b"], keep, "skip").computed == 2
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_what_stops_the_keeping_ends_the_job_as_it_is():
    kept, full = [], OSError(28, "No space left on device", "f")

    def keep(path, values):
        if path == "b":
            raise full
        kept.append(path)

    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: 'f'$") as error:
        compute(Given(*([0] for _ in range(100))), [*"abc", *"d" * 97], keep, "skip")
    assert error.value is full
    assert kept == ["a"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_the_job_what_is_computed_is_kept_before_it_is_counted(
    stop, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    caplog.set_level(logging.INFO)
    kept = []

    def keep(path, values):
        time.sleep(0.02)
        kept.append(path)

    with pytest.raises(stop):
        compute(Given([0], [0], [0], [0], then=stop()), list("abcdef"), keep, "skip")
    assert kept == list("abcd")
    said = ["stopped after 4 of 6 images; run again to go on"] if stop is KeyboardInterrupt else []
    assert caplog.messages == said


def test_nothing_to_compute(extractor):
    assert compute(extractor, [], None, "fail").computed == 0


def test_the_list_of_failures_is_replaced_and_removed(tmp_path, caplog):
    path = tmp_path / "failures.csv"
    report_failures({"b,1.jpg": "is empty", "a.jpg": "is 'x'"}, 3, path)
    assert path.read_text() == "image,reason,kind\na.jpg,is 'x',image\n\"b,1.jpg\",is empty,image\n"
    assert "b,1.jpg is empty" in caplog.messages
    report_failures({}, 3, path)
    assert not path.exists()
    with pytest.raises(InputError, match=r"^None of the 1 images can be used; the reasons are in"):
        report_failures({"a.jpg": "is empty"}, 1, path)
    assert path.read_text() == "image,reason,kind\na.jpg,is empty,image\n"


# --- before a graph is opened ---


def refused(check, options):
    with pytest.raises(InputError) as error:
        check(options)
    return str(error.value)


def test_options_of_a_cache_that_cannot_be(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    options = fill.CacheOptions(str(file))
    assert (
        refused(fill.check_options, options) == f"{file} is a file; bottleneck_dir takes a folder."
    )
    options = fill.CacheOptions(str(file / "below"))
    assert refused(fill.check_options, options) == (
        f"{file} is a file; results cannot be written to {file}/below."
    )
    options = fill.CacheOptions(str(tmp_path / "new"), preferred_suffix="_a/b")
    assert refused(fill.check_options, options).startswith("bottleneck_suffix=_a/b is part of a")
    fill.check_options(fill.CacheOptions(str(tmp_path / "new/below")))
    assert not (tmp_path / "new").exists()


def test_options_of_an_output_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.npz").mkdir()
    options = fetch.FetchOptions(str(tmp_path / "file/f.npz"))
    assert refused(fetch.check_options, options) == (
        f"{tmp_path}/file is a file; results cannot be written to {tmp_path}/file."
    )
    options = fetch.FetchOptions(str(tmp_path / "folder.npz"))
    assert refused(fetch.check_options, options) == (
        f"{tmp_path}/folder.npz is a folder; it should be a file to write."
    )
    options = fetch.FetchOptions("f.csv")
    assert refused(fetch.check_options, options).startswith("output=f.csv: the end of the name")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that takes no files")
def test_a_place_that_cannot_be_written():
    for check, options in (
        (fill.check_options, fill.CacheOptions("/proc/new/cache")),
        (fetch.check_options, fetch.FetchOptions("/proc/new/f.npz")),
    ):
        assert "/proc is not writable; results cannot be" in refused(check, options)


CHECKS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from retrain_tools.features import fetch, fill
fill.check_options(fill.CacheOptions("/tmp/new"))
fetch.check_options(fetch.FetchOptions("/tmp/new.npz"))
assert "tensorflow.python.tf2" not in sys.modules
"""


def test_nothing_here_imports_tensorflow():
    packages = (retrain_tools.engine, retrain_tools.features, retrain_tools.images)
    names = [
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    assert len(names) > 20
    subprocess.run([sys.executable, "-c", CHECKS, *names], check=True)


def test_type_hints_can_be_asked_for():
    for function in (
        fill.fill_cache, fetch.fetch_tensors, fetch_in_memory, label_images, read_image
    ):  # fmt: skip
        assert "return" in get_type_hints(function)
