"""What is trained on of a store of features: as of a cache of the same vectors, or why not."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest

from retrain_tools.engine.settings import DEFAULTS
from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions, identity_of
from retrain_tools.features.matrix_cache import MatrixCache
from retrain_tools.features.read_cache import find_bottlenecks
from retrain_tools.features.streamed import open_features
from retrain_tools.head import features_alone
from retrain_tools.head.bottlenecks_alone import read_dataset
from retrain_tools.head.checkpoints import dependencies
from retrain_tools.head.dataset import splits_table
from retrain_tools.head.evaluation import evaluate, evaluate_pieces
from retrain_tools.head.features_alone import read_features_dataset
from retrain_tools.head.settings import settings_in
from retrain_tools.images.folders import ImageFile
from tests.features.stored import write_parts, write_store

from .conftest import make_head
from .graphs import DEPTH

SPLIT = (20, 20, "basename")


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    return caplog


def rows_of(count, depth=DEPTH, classes="ab"):
    """Images in the order of a shuffled walk, their labels and vectors."""
    names = [f"{classes[n % len(classes)]}/{n % 7}/{n:04}.jpg" for n in range(count)]
    rng = np.random.default_rng(1)
    names = [names[n] for n in rng.permutation(count)]
    values = rng.normal(size=(count, depth)).astype(np.float32)
    return names, [name[0] for name in names], values


def read(stored, folder, frozen=None, tensor=None, split=SPLIT, **options):
    cache = CacheOptions(str(folder), **options)
    return read_features_dataset(frozen, open_features(str(stored)), tensor, cache, split)


@pytest.mark.parametrize("count", [12, 3000])
@pytest.mark.parametrize("split", [SPLIT, (10, 0, "basename"), (30, 30, "path")])
def test_the_dataset_is_that_of_a_cache_of_the_same_vectors(tmp_path, count, split):
    images, labels, values = rows_of(count)
    cache = MatrixCache(tmp_path / "npy", "", DEPTH)
    if count > 12:  # appending rows one by one takes its time
        cache.write = lambda *_: None
    for image, vector in zip(images, values, strict=True):
        cache.write(ImageFile(image, image), vector)
    store = write_store(tmp_path / "store.npz", images, labels, {"pool": values})
    found, told, identity = read(store, tmp_path / "packed", split=split)
    if count > 12:
        expected = _by_hand(images, labels, split)
    else:
        data, _, _ = read_dataset(
            None, find_bottlenecks(tmp_path / "npy"), CacheOptions(str(tmp_path / "npy")), split
        )
        expected = {
            name: [[data.images[row].path for row in rows] for rows in of_class]
            for name, of_class in data.rows.items()
        }
    by_name = dict(zip(images, values, strict=True))
    for name, of_class in found.rows.items():
        names = [[found.images[row].path for row in rows] for rows in of_class]
        assert names == expected[name]
        for number, rows in enumerate(of_class):
            assert (found.classes[rows] == number).all()
            for row in rows:
                np.testing.assert_array_equal(found.vectors[row], by_name[found.images[row].path])
    assert (found.labels, told.reused, identity) == (["a", "b"], count, None)


def _by_hand(images, labels, split):
    """The rule of retrain.py, written again: SHA-1 modulo 2^27, less than the percentages."""
    import hashlib

    testing, validation, key = split
    parts = {name: [[], []] for name in ("training", "validation", "testing")}
    for image, label in sorted(zip(images, labels, strict=True)):
        hashed = (image.rpartition("/")[2] if key == "basename" else image).encode()
        percent = int(hashlib.sha1(hashed).hexdigest(), 16) % 2**27 * (100.0 / (2**27 - 1))
        name = "training"
        if percent < validation:
            name = "validation"
        elif percent < testing + validation:
            name = "testing"
        parts[name]["ab".index(label)].append(image)
    return parts


def test_the_table_of_splits_is_sorted_by_class_and_image(tmp_path):
    images, labels, values = rows_of(300)
    data, _, _ = read(write_store(tmp_path / "s.npz", images, labels, {"x": values}), tmp_path)
    lines = "".join(splits_table(data)).splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [[n, n[0]] for n in sorted(images)]


def test_a_test_in_pieces_finds_what_a_test_at_once_finds(monkeypatch):
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(1000, DEPTH)).astype(np.float32)
    classes, head = rng.integers(0, 3, 1000), make_head(DEPTH)
    whole = evaluate(head, vectors, classes)
    pieces = [(vectors[n : n + 300], classes[n : n + 300]) for n in range(0, 1000, 300)]
    found = evaluate_pieces(head, pieces)
    np.testing.assert_array_equal(found.confusion, whole.confusion)
    np.testing.assert_array_equal(found.predicted, whole.predicted)
    assert found.accuracy == whole.accuracy
    assert found.cross_entropy == pytest.approx(whole.cross_entropy, rel=1e-6)
    empty = evaluate_pieces(head, [(vectors[:0], classes[:0])])
    assert (empty.accuracy, empty.cross_entropy) == (None, None)


def test_a_checkpoint_depends_on_the_store_and_on_the_split(tmp_path):
    images, labels, values = rows_of(40)
    settings = settings_in(str(tmp_path), cache=CacheOptions(str(tmp_path)))

    def digest(name, values, split=SPLIT):
        store = write_store(tmp_path / name, images, labels, {"x": values})
        return dependencies(settings, read(store, tmp_path, split=split)[0], None)

    first = digest("a.npz", values)
    store = open_features(str(tmp_path / "a.npz"))
    again = read_features_dataset(None, store, None, settings.cache, SPLIT)[0]
    assert dependencies(settings, again, None) == first
    assert digest("a.npz", values + 1) != first
    again = read_features_dataset(None, store, None, settings.cache, (30, 20, "basename"))[0]
    assert dependencies(settings, again, None) != first


def test_labels_are_made_of_folder_names_as_those_of_images_are(tmp_path):
    images, _, values = rows_of(20)
    labels = [{"a": "Red_Rose!", "b": "daisy"}[name[0]] for name in images]
    store = write_store(tmp_path / "s.npz", images, labels, {"x": values})
    assert read(store, tmp_path)[0].labels == ["red rose ", "daisy"]
    cache = CacheOptions(str(tmp_path))
    kept = read_features_dataset(None, open_features(str(store)), None, cache, SPLIT, True)[0]
    assert kept.labels == ["Red_Rose!", "daisy"]


def test_images_without_a_label_are_left_out_with_a_line(tmp_path, told):
    images, labels, values = rows_of(20)
    labels = [None if number < 3 else label for number, label in enumerate(labels)]
    folder = write_parts(str(tmp_path / "p"), images, labels, {"x": values})
    data, outcome, _ = read(folder, tmp_path)
    assert outcome.reused == 17
    used = {data.images[row].path for of in data.rows.values() for rows in of for row in rows}
    assert used == set(images[3:])
    assert f"3 images in {folder} have no label and are left out" in told.messages


def test_rows_that_cannot_be_used_are_failures(tmp_path, told, monkeypatch):
    images, labels, values = rows_of(30)
    values[:3, 0] = np.nan
    store = write_store(tmp_path / "s.npz", images, labels, {"x": values})
    _, outcome, _ = read(store, tmp_path)
    assert (outcome.reused, list(outcome.failed)) == (27, images[:3])
    line = f"{images[0]} in {store} cannot be used: a value that is not a finite number"
    assert line in told.messages
    with pytest.raises(InputError) as error:
        read(store, tmp_path, on_error="fail")
    assert str(error.value) == f"{line}."
    (tmp_path / "packed_s.npz.npy").unlink()
    monkeypatch.setattr("retrain_tools.features.packed_features._FAILURES_NAMED", 1)
    read(store, tmp_path)
    assert "and so are 2 more" in told.messages


_MESSAGES = {
    "no labels": "{} has no labels. Fetch it with image_dir, a folder of images per class: its "
    "folders are the labels; or give it a column 'labels'.",
    "one label": "Training takes at least two classes; {} has only one label ('a').",
    "no rows": "{} has no row that can be used.",
    "another tensor": "No tensor 'poool' in {}. Did you mean 'pool'?",
    "far from any": "No tensor 'zzzzz' in {}. It has 'pool', 'other'.",
    "two tensors": "{} has 'pool', 'other'. Choose one with features_tensor.",
}


@pytest.mark.parametrize("case", _MESSAGES)
def test_what_cannot_be_trained_on_is_named(tmp_path, case):
    images, labels, values = rows_of(20)
    if case == "no rows":
        values[:] = np.nan
    labels = {"no labels": None, "one label": ["a"] * 20}.get(case, labels)
    tensors = {"pool": values}
    if case in ("another tensor", "two tensors", "far from any"):
        tensors["other"] = values
    tensor = {"another tensor": "poool", "far from any": "zzzzz"}.get(case)
    store = write_store(tmp_path / "s.npz", images, labels, tensors)
    with pytest.raises(InputError) as error:
        read(store, tmp_path, tensor=tensor)
    assert str(error.value) == _MESSAGES[case].format(store)


def test_with_a_graph_its_own_tensor_is_taken_however_it_was_pooled(old, tmp_path, told):
    images, labels, values = rows_of(20)
    own = identity_of(old, "avg", DEFAULTS)
    for pooling in ("none", "avg"):
        made = {"x": dataclasses.replace(own, fingerprint="other"),
                "mine": dataclasses.replace(own, pooling=pooling)}  # fmt: skip
        tensors = {"x": values, "mine": values + 1}
        store = write_store(tmp_path / f"{pooling}.npz", images, labels, tensors, made)
        data, _, identity = read(store, tmp_path, old)
        assert identity == own
        np.testing.assert_array_equal(data.vectors, values + 1)
    assert not [record for record in told.records if record.levelno >= logging.WARNING
                and "few" not in record.message and "moved" not in record.message]  # fmt: skip


def test_a_store_of_another_graph_is_refused_before_anything_is_packed(old, tmp_path):
    images, labels, values = rows_of(20)
    own = identity_of(old, "avg", DEFAULTS)
    made = {"x": dataclasses.replace(own, fingerprint="e" * 64)}
    store = write_store(tmp_path / "s.npz", images, labels, {"x": values}, made)
    with pytest.raises(InputError) as error:
        read(store, tmp_path / "cache", old)
    assert str(error.value) == (
        f"'x' in {store} was made by another graph or in another way (graph.pb): fingerprint "
        f"{'e' * 12}… there, {own.fingerprint[:12]}… now. Name the graph that it was made by, its "
        "tensor with bottleneck_tensor, or leave out graph: then the new layer alone is written."
    )
    assert not (tmp_path / "cache").exists()
    both = {"x": made["x"], "y": dataclasses.replace(own, tensor="y:0")}
    store = write_store(tmp_path / "t.npz", images, labels, {"x": values, "y": values}, both)
    with pytest.raises(InputError) as error:
        read(store, tmp_path / "cache", old)
    assert str(error.value) == (
        f"{store} has 'x', 'y', none of which is '{own.tensor}' of this graph. Choose one with "
        "features_tensor."
    )


def test_a_store_without_a_record_is_compared_by_its_length(old, tmp_path, told):
    images, labels, values = rows_of(20)
    store = tmp_path / "theirs.npz"
    np.savez(store, images=images, labels=labels, feats=values)
    read(store, tmp_path, old)
    assert (
        f"{store} has no record that says what made it: whether it is this graph's can only be "
        "told by its length"
    ) in told.messages
    np.savez(store, images=images, labels=labels, feats=values[:, 1:])
    with pytest.raises(InputError) as error:
        read(store, tmp_path, old)
    assert str(error.value) == (
        f"'feats' in {store} has {DEPTH - 1} values, and '{old.spec.bottleneck}' of this graph has "
        f"{DEPTH}: it was made by another graph, or from another tensor."
    )


def test_what_is_packed_already_is_not_opened_again(tmp_path, monkeypatch):
    images, labels, values = rows_of(20)
    store = tmp_path / "theirs.npz"
    np.savez(store, images=images, labels=labels, feats=values)
    read(store, tmp_path)
    monkeypatch.setattr("retrain_tools.features.streamed.read_features", None)
    np.testing.assert_array_equal(read(store, tmp_path)[0].vectors, values)
    assert features_alone.PackedImages(["a", "b"])[0:2] == [ImageFile(n, n) for n in "ab"]
