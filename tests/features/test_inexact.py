"""An inexact way to compute: its first images are computed exactly, too; told once, recorded."""

from __future__ import annotations

import json
import logging
import threading

import numpy as np
import pytest

from retrain_tools.engine.settings import RunSettings
from retrain_tools.features import extractor as extractor_module
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.faithfulness import Difference, difference
from retrain_tools.features.fetch import FetchOptions, fetch_tensors
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.features.manifest import read_manifest
from retrain_tools.graphdef.save import write_graph
from retrain_tools.images.decode import ImageError
from retrain_tools.images.folders import find_images
from retrain_tools.standin.inception_2015 import make_reference_graph
from tests.opening import load_graph

from . import tiny

FETCH = tiny.BOTTLENECK_2015
WAYS = "bfloat16 against float32"


@pytest.fixture
def running(monkeypatch, tmp_path):
    """Where the CPU has no bfloat16, TensorFlow computes in it all the same, slowly."""
    monkeypatch.setattr("retrain_tools.engine.settings.has_bfloat16", lambda: True)
    monkeypatch.setattr(extractor_module, "has_bfloat16", lambda: True)
    return RunSettings(precision="bfloat16", model_dir=str(tmp_path / "models"))


@pytest.fixture
def frozen(graph_2015):
    return tiny.opened(graph_2015, FETCH)


@pytest.fixture(scope="module")
def standin(tmp_path_factory):
    path = tmp_path_factory.mktemp("standin") / "graph.pb"
    write_graph(str(path), make_reference_graph(width=0.25))
    return load_graph(path)


@pytest.fixture
def lines(caplog):
    """The lines that tell of a difference, in their order."""
    caplog.set_level(logging.INFO)
    return lambda: [one.message for one in caplog.records if WAYS in one.message]


@pytest.fixture
def paths(photos):
    return sorted(map(str, photos.rglob("*.jpg")))


def values_of(frozen, paths, running, fetches=(FETCH,)):
    """float32 [N, ...] of each fetch."""
    with Extractor(frozen, fetches, running=running) as extractor:
        results = [result for _, result in extractor.results(paths, extractor.image_side.prepare)]
    return [np.stack(column) for column in zip(*results, strict=True)]


def test_the_first_images_that_can_be_used_are_computed_in_both_ways(
    frozen, paths, running, lines, tmp_path
):
    [exact], [fast] = (values_of(frozen, paths, one) for one in (running.exact(), running))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with Extractor(frozen, [FETCH], running=running) as extractor:
        assert extractor.differences == {}
        results = [result for _, result in extractor.extract([str(broken), *paths])]
        assert isinstance(results[0], ImageError)
        assert np.array_equal(np.stack([values for [values] in results[1:]]), fast)
        assert extractor.differences == {FETCH: difference(exact, fast, WAYS)}
        found = extractor.differences[FETCH]
        assert found.images == 12
        assert 0 < found.mean < found.worst < 0.1 * np.abs(exact).max()
        list(extractor.extract(paths))  # and no second time
    assert lines() == [found.line()]


def test_the_next_time_the_difference_is_known_and_nothing_is_computed_twice(
    standin, paths, running, lines
):
    """Of a graph whose plan is kept; another pooling is another feature."""
    fetches = ["pool_3/_reshape:0", "mixed_10/join:0"]
    found = []
    for _ in range(3):
        with Extractor(standin, fetches, running=running) as extractor:
            assert extractor.differences == {}
            list(extractor.extract(paths[:4]))
            list(extractor.extract(paths[:2]))
            found.append(extractor.differences)
    assert found[0] == found[1] == found[2]
    first = [f"{fetch}: {one.line()}" for fetch, one in found[0].items()]
    assert lines() == [*first, *2 * [f"{line} (measured before)" for line in first]]
    with Extractor(standin, fetches, pooling="max", running=running) as extractor:
        list(extractor.extract(paths[:3]))
        assert extractor.differences != found[0]
    assert len(lines()) == 8


def test_what_was_measured_on_fewer_images_is_measured_again_on_more(
    standin, paths, running, lines
):
    fetches = ["pool_3/_reshape:0"]
    for count in (1, 12, 2):
        with Extractor(standin, fetches, running=running) as extractor:
            list(extractor.extract(paths[:count]))
            found = extractor.differences
    assert found[fetches[0]].images == 12
    assert [line.endswith("(measured before)") for line in lines()] == [False, False, True]


def test_a_hint_is_given_once_where_bfloat16_would_pay(frozen, paths, running, caplog, monkeypatch):
    hint = "precision=bfloat16 would be faster here, and change values a little"
    monkeypatch.setattr(extractor_module, "_MANY_IMAGES", 5)
    caplog.set_level(logging.INFO)
    with Extractor(frozen, [FETCH], running=running.exact()) as extractor:
        list(extractor.extract(paths[:4]))
    assert hint not in caplog.messages
    with Extractor(frozen, [FETCH], running=running.exact()) as extractor:
        for _ in range(2):
            list(extractor.extract(paths[:5]))
    assert caplog.messages.count(hint) == 1
    monkeypatch.setattr(extractor_module, "has_bfloat16", lambda: False)
    with Extractor(frozen, [FETCH], running=running.exact()) as extractor:
        list(extractor.extract(paths[:5]))
    assert caplog.messages.count(hint) == 1


def test_the_values_of_every_tensor_are_compared_and_named(frozen, paths, running, lines):
    fetches = ["conv_1/relu:0", FETCH]
    with Extractor(frozen, fetches, pooling=None, running=running) as extractor:
        list(extractor.extract(paths[:4]))
        found = extractor.differences
    assert list(found) == fetches
    assert lines() == [f"{fetch}: {found[fetch].line()}" for fetch in fetches]


def test_no_more_than_the_first_32_images_are_computed_twice_and_fewer_of_large_maps(
    frozen, paths, running, monkeypatch
):
    [depth] = values_of(frozen, paths[:1], running)[0].shape[1:]
    for values, count in ((1 << 22, 32), (20 * depth, 20), (1, 3)):
        monkeypatch.setattr(extractor_module, "_COMPARED_VALUES", values)
        with Extractor(frozen, [FETCH], running=running) as extractor:
            list(extractor.extract(paths * 3))
            assert extractor.differences[FETCH].images == count


def test_where_the_way_is_exact_nothing_is_computed_twice(frozen, paths, lines, monkeypatch):
    opened, body = [], extractor_module.Body
    monkeypatch.setattr(
        extractor_module, "Body", lambda *given: opened.append(given) or body(*given)
    )
    monkeypatch.setattr("retrain_tools.engine.settings.has_bfloat16", lambda: False)
    for precision in ("float32", "auto"):
        with Extractor(frozen, [FETCH], running=RunSettings(precision=precision)) as extractor:
            list(extractor.extract(paths))
            assert extractor.differences == {}
    assert len(opened) == 2
    assert lines() == []


def test_an_image_that_only_one_way_can_use_is_left_out(frozen, paths, running, monkeypatch):
    values = Extractor._values
    with Extractor(frozen, [FETCH], running=running) as extractor:

        def refuse(self, pixels):
            results = values(self, pixels)
            is_exact = self is not extractor
            return [ImageError("gives nonsense"), *results[1:]] if is_exact else results

        monkeypatch.setattr(Extractor, "_values", refuse)
        list(extractor.extract(paths[:4]))
        assert extractor.differences[FETCH].images == 3


def test_a_job_that_is_stopped_leaves_nothing_running(frozen, paths, running, lines):
    before = set(threading.enumerate())
    with Extractor(frozen, [FETCH], running=running) as extractor:
        results = extractor.extract(paths * 10)
        for _ in range(40):
            next(results)
        results.close()
    assert set(threading.enumerate()) <= before
    assert len(lines()) == 1, "what has begun is brought to its end"


def test_a_cache_s_manifest_has_it_and_stays_usable(frozen, photos, folder, running, lines):
    images = find_images(str(photos))
    options = CacheOptions(str(folder), running=running)
    fill_cache(frozen, images[1:], options)
    content = json.loads((folder / "manifest.json").read_text())
    found = Difference(**content["difference"])
    assert (found.ways, found.images) == (WAYS, 11)
    assert lines() == [found.line()]
    again = fill_cache(frozen, images, options)
    assert (again.computed, again.reused) == (1, 11)
    assert read_manifest(folder, "").difference == found, "of more images than the second run's"
    assert len(lines()) == 2


def test_an_exact_cache_s_manifest_has_none(frozen, photos, folder):
    fill_cache(frozen, find_images(str(photos)), CacheOptions(str(folder)))
    assert read_manifest(folder, "").difference is None


def test_a_record_of_fetched_tensors_has_it_and_stays_usable(
    frozen, paths, running, tmp_path, lines
):
    tensors = {"pooled": FETCH, "maps": "conv_1/relu:0"}
    options = FetchOptions(str(tmp_path / "features.npz"), running=running)
    fetch_tensors(frozen, tensors, paths[:9], options)
    told = json.loads((tmp_path / "features.npz.json").read_text())["differences"]
    found = {name: Difference(**one) for name, one in told.items()}
    assert {name: (one.ways, one.images) for name, one in found.items()} == {
        "pooled": (WAYS, 9),
        "maps": (WAYS, 9),
    }
    assert lines() == [f"{tensors[name]}: {found[name].line()}" for name in tensors]
    again = fetch_tensors(frozen, tensors, paths, options)
    assert (again.computed, again.reused) == (3, 9)
    record = json.loads((tmp_path / "features.npz.json").read_text())
    assert record["differences"] == told, "of more images than the second run's"


def test_a_record_of_exact_values_has_none(frozen, paths, tmp_path):
    fetch_tensors(frozen, {"pooled": FETCH}, paths, FetchOptions(str(tmp_path / "f.npy")))
    assert "differences" not in json.loads((tmp_path / "f.npy.json").read_text())
