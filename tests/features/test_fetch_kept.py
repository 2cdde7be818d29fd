"""A second run that names other images: rows that are there stay, or the run is refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features import fetch as module
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.fetch import FetchOptions, fetch_tensors

from . import tiny
from .fetching import FETCHES, check, counts, fetch, jpegs, refusal, seen

READ_AGAIN = [".npz", ".npy", ".parquet", ".h5"]
NAMES = ["pool/_reshape:0", "softmax"]


@pytest.fixture(scope="module")
def frozen(graph_2015):
    return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)


@pytest.fixture
def paths(photos):
    return jpegs(photos)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out/features.npz"


def contents(store: Path) -> tuple[list[str], np.ndarray]:
    """The images and their softmax, as a user reads them."""
    if store.suffix == ".npz":
        with np.load(store) as arrays:
            return arrays["images"].tolist(), arrays["softmax"]
    if store.suffix == ".npy":
        images = store.with_suffix(".images.txt").read_text().splitlines()
        return images, np.load(store.with_suffix(".softmax.npy"))
    if store.suffix == ".parquet":
        table = pyarrow.parquet.read_table(store)
        return table["images"].to_pylist(), np.array(table["softmax"].to_pylist(), np.float32)
    if store.suffix == ".h5":
        with h5py.File(store) as file:
            return file["images"].asstr()[:].tolist(), file["softmax"][:]
    with store.open("rb") as file:
        features = pickle.load(file)
    return list(features), np.array([rows["softmax"] for rows in features.values()])


# --- kept ---


@pytest.mark.parametrize("suffix", [*READ_AGAIN, ".pkl"])
def test_asking_for_one_of_many_touches_nothing(frozen, paths, output, suffix):
    store = output.with_suffix(suffix)
    fetch(frozen, paths, store, NAMES)
    before = seen(store.parent)
    report = fetch(frozen, paths[4:5], store, NAMES)
    assert (counts(report), report.kept) == ((0, 1, 0), 11)
    assert report.summary() == (
        f"0 computed, 1 reused, 0 failed: {store}: pool/_reshape:0 [256], softmax [5]; 11 rows of "
        "other images kept"
    )
    assert counts(fetch(frozen, paths[5:2:-1], store, NAMES)) == (0, 3, 0)
    assert seen(store.parent) == before


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_new_images_come_after_those_that_are_there(frozen, graph_2015, paths, output, suffix):
    store = output.with_suffix(suffix)
    fetch(frozen, paths[:5], store, NAMES)
    was, values = contents(store)
    report = fetch(frozen, [paths[9], paths[2], paths[7]], store, NAMES)
    assert (counts(report), report.kept) == ((2, 1, 0), 4)
    images, now = contents(store)
    assert images == [*was, paths[9], paths[7]]
    np.testing.assert_array_equal(now[:5], values)
    if suffix == ".npz":
        check(store, graph_2015, images, NAMES)
    assert counts(fetch(frozen, images, store, NAMES)) == (0, 7, 0)


def test_a_changed_image_is_computed_again_in_its_place(frozen, graph_2015, paths, output):
    fetch(frozen, paths[:5], output, NAMES)
    Path(paths[2]).write_bytes(Path(paths[9]).read_bytes())
    report = fetch(frozen, [paths[2]], output, NAMES)
    assert (counts(report), report.kept) == ((1, 0, 0), 4)
    check(output, graph_2015, paths[:5], NAMES)


def test_rows_of_files_that_are_gone_stay_too(frozen, graph_2015, paths, output):
    fetch(frozen, paths[:5], output, NAMES)
    expected = contents(output)
    for path in paths[:5]:
        Path(path).unlink()
    fetch(frozen, paths[6:7], output, NAMES)
    images, values = contents(output)
    assert images == [*paths[:5], paths[6]]
    np.testing.assert_array_equal(values[:5], expected[1])


def test_where_no_image_can_be_used_all_rows_stay(frozen, paths, output):
    fetch(frozen, paths[:5], output, NAMES)
    before = seen(output.parent)
    Path(paths[1]).write_bytes(b"")
    message = refusal(frozen, [paths[1]], output, NAMES)
    assert message.startswith("None of the 1 images can be used")
    assert {k: v for k, v in seen(output.parent).items() if "failures" not in k} == before


def test_overwrite_drops_what_is_not_named_and_computes_nothing_again(
    frozen, graph_2015, paths, output
):
    fetch(frozen, paths, output, NAMES)
    report = fetch(frozen, [paths[3], paths[1]], output, NAMES, overwrite=True)
    assert (counts(report), report.kept) == ((0, 2, 0), 0)
    check(output, graph_2015, [paths[3], paths[1]], NAMES)


# --- what is refused ---


def test_a_pickle_of_other_images_is_refused(frozen, paths, output):
    store = output.with_suffix(".pkl")
    fetch(frozen, paths[:5], store, NAMES)
    before = seen(store.parent)
    assert refusal(frozen, [paths[1], paths[8]], store, NAMES) == (
        f"{store} holds 4 images that were not asked for, whose rows cannot be taken over (a "
        "pickle is a program, which is never read). Ask for them too, choose another output, or "
        "drop them with overwrite."
    )
    assert seen(store.parent) == before
    assert counts(fetch(frozen, [*paths[:5], paths[8]], store, NAMES)) == (6, 0, 0)
    assert counts(fetch(frozen, [paths[8]], store, NAMES, overwrite=True)) == (1, 0, 0)
    assert contents(store)[0] == [paths[8]]


@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_rows_that_cannot_be_read_are_not_dropped_without_a_word(frozen, paths, output, suffix):
    store = output.with_suffix(suffix)
    fetch(frozen, paths[:5], store, NAMES[1:])
    status = store.stat()
    store.write_bytes(b"\0" * status.st_size)  # rot: neither size nor time tell
    os.utime(store, ns=(status.st_atime_ns, status.st_mtime_ns))
    message = refusal(frozen, paths[6:8], store, NAMES[1:])
    assert message.startswith(
        f"{store} holds 5 images that were not asked for, whose rows cannot be taken over ("
    )
    assert message.endswith(
        "). Ask for them too, choose another output, or drop them with overwrite."
    )
    assert counts(fetch(frozen, paths[:8], store, NAMES[1:])) == (6, 2, 0)


def test_other_tensors_are_refused_whatever_images_are_named(frozen, paths, output):
    fetch(frozen, paths, output)
    before = seen(output.parent)
    assert refusal(frozen, paths[:1], output, ["softmax"]) == (
        f"{output} holds {', '.join(FETCHES)}, not softmax. Choose another output, or replace it "
        "with overwrite."
    )
    assert seen(output.parent) == before


# --- being stopped ---


def stopping_after(count, monkeypatch):
    extract = Extractor.extract

    def stopped(self, asked):
        for number, pair in enumerate(extract(self, asked)):
            if number == count:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(Extractor, "extract", stopped)


def test_what_a_stopped_run_did_for_other_images_is_not_lost(
    frozen, graph_2015, paths, output, monkeypatch
):
    fetch(frozen, paths[:2], output, NAMES)
    with monkeypatch.context() as patch:
        stopping_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths[2:8], output, NAMES)
    check(output, graph_2015, paths[:2], NAMES)
    assert counts(fetch(frozen, paths[1:2], output, NAMES)) == (0, 1, 0)  # leaves it alone
    report = fetch(frozen, paths[10:11], output, NAMES)
    assert (counts(report), report.kept) == ((1, 0, 0), 5)
    check(output, graph_2015, [*paths[:5], paths[10]], NAMES)
    assert counts(fetch(frozen, paths[2:8], output, NAMES)) == (3, 3, 0)
    assert not Path(f"{output}.part").exists()


def test_nor_if_no_image_can_be_used_after_that(frozen, graph_2015, paths, output, monkeypatch):
    with monkeypatch.context() as patch:
        stopping_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths[:6], output, NAMES)
    assert refusal(frozen, ["gone.jpg"], output, NAMES).startswith("None of the 1 images")
    assert counts(fetch(frozen, paths[:6], output, NAMES)) == (3, 3, 0)
    check(output, graph_2015, paths[:6], NAMES)


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("at", ["write_record", "Table"])
@pytest.mark.parametrize(("asked", "computed"), [(6, (1, 0, 0)), (0, (0, 1, 0))])
def test_stopped_while_rows_of_others_are_written(
    frozen, paths, output, monkeypatch, suffix, at, asked, computed
):
    """The next run names still other images, or none of the new ones, and all rows are there."""
    store = output.with_suffix(suffix)
    fetch(frozen, paths[:4], store, NAMES)
    old = dict(zip(*contents(store), strict=True))

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, at, stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(frozen, paths[4:6], store, NAMES)
    assert counts(fetch(frozen, paths[asked : asked + 1], store, NAMES)) == computed
    images, values = contents(store)
    assert sorted(images) == paths[: 7 if asked else 6]
    assert not Path(f"{store}.part").exists()
    for image, value in zip(images, values, strict=True):
        if image in old:
            np.testing.assert_array_equal(value, old[image])


# --- labels ---


def labelled(frozen, paths, output, labels, **options):
    options = FetchOptions(str(output), **options)
    return fetch_tensors(frozen, {"softmax": "softmax:0"}, paths, options, labels)


def labels_in(store: Path) -> dict[str, str]:
    with np.load(store) as arrays:
        return dict(zip(arrays["images"].tolist(), arrays["labels"].tolist(), strict=True))


def test_labels_stay_with_their_rows(frozen, paths, output):
    of_all = {path: f"class {Path(path).parent.name}" for path in paths}
    labelled(frozen, paths[:4], output, of_all)
    assert labels_in(output) == {path: of_all[path] for path in paths[:4]}
    before = seen(output.parent)
    labelled(frozen, paths[1:3], output, {})  # a path alone does not take its label away
    assert seen(output.parent) == before
    labelled(frozen, paths[5:6], output, {})
    assert labels_in(output) == {path: of_all[path] for path in paths[:4]} | {paths[5]: ""}
    report = labelled(frozen, paths[:6], output, of_all)
    assert counts(report) == (1, 5, 0)
    assert labels_in(output) == {path: of_all[path] for path in paths[:6]}


def test_an_output_without_labels_gets_them_and_nothing_is_computed(frozen, paths, output):
    """One of 0.1.0, whose record has none, too."""
    labelled(frozen, paths[:4], output, {})
    with np.load(output) as arrays:
        assert arrays.files == ["images", "softmax"]
    assert all(len(one) == 3 for one in json.loads(Path(f"{output}.json").read_text())["images"])
    assert counts(labelled(frozen, paths[:4], output, {paths[0]: "a"})) == (0, 4, 0)
    assert labels_in(output) == {paths[0]: "a"} | dict.fromkeys(paths[1:4], "")


@pytest.mark.parametrize(("suffix", "place"), [(".npy", "f.labels.txt"), (".pkl", "f.labels.pkl")])
def test_labels_in_a_file_of_their_own_go_with_the_rows(frozen, paths, tmp_path, suffix, place):
    store = tmp_path / f"f{suffix}"
    labelled(frozen, paths[:2], store, {paths[0]: "a", paths[1]: "b"})
    found = (tmp_path / place).read_bytes()
    assert (
        found == b"a\nb\n" if suffix == ".npy"
        else pickle.loads(found) == {paths[0]: "a", paths[1]: "b"}
    )  # fmt: skip
    (tmp_path / place).write_bytes(b"edited")
    with pytest.raises(InputError, match="was changed since it was written"):
        labelled(frozen, paths[:2], store, {})
    labelled(frozen, paths[3:4], store, {}, overwrite=True)
    assert not (tmp_path / place).exists()
