"""Stores as streams, and packed into a mapped matrix: the same rows, whatever kind they are of."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.packed_features import (
    packed_features,
    packed_features_path,
    read_packed_features,
)
from retrain_tools.features.streamed import open_features

from .stored import KINDS, write_parts, write_store

RNG = np.random.default_rng(0)
IMAGES = [f"photos/{'ab'[n % 2]}/{n} ä.jpg" for n in range(50)]
LABELS = ["" if n == 7 else f"class {'ab'[n % 2]}" for n in range(50)]
VALUES = {
    "pool:0": RNG.normal(size=(50, 5)).astype(np.float32),
    "other": RNG.normal(size=(50, 3)).astype(np.float32),
}


@pytest.fixture(params=[*KINDS, "parts", "parts by URI"])
def store(request, tmp_path):
    """A store of two tensors of each kind."""
    if request.param == "parts":
        return write_parts(str(tmp_path / "store"), IMAGES, LABELS, VALUES, size=7)
    if request.param == "parts by URI":
        return write_parts(f"file://{tmp_path}/store", IMAGES, LABELS, VALUES, size=50)
    return str(write_store(tmp_path / f"store{request.param}", IMAGES, LABELS, VALUES))


def pack(store, folder, tensor="pool:0"):
    return packed_features(folder, open_features(store), tensor)


def test_what_is_packed_is_what_the_store_has(store, tmp_path):
    for tensor, values in VALUES.items():
        found = pack(store, tmp_path / "cache", tensor)
        assert list(found.images) == IMAGES
        assert [found.images[n] for n in (0, 49, -1)] == [IMAGES[0], IMAGES[49], IMAGES[49]]
        known = [*found.record.labels, ""]
        assert [known[number] for number in found.labels] == LABELS
        assert isinstance(found.vectors, np.memmap)
        np.testing.assert_array_equal(found.vectors, values)
        assert found.record.names == list(VALUES)
        whole = np.load(found.path, mmap_mode="r")  # anybody can read it
        np.testing.assert_array_equal(whole, values)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [found.path.name]


def test_it_is_packed_once_and_again_when_the_store_has_changed(store, tmp_path):
    first = pack(store, tmp_path / "cache")
    made = first.path.stat()
    assert pack(store, tmp_path / "cache").path.stat() == made
    changed = {name: values + 1 for name, values in VALUES.items()}
    if store.endswith("/store"):
        write_parts(store, IMAGES, LABELS, changed, size=7 if "file:" not in store else 50)
    else:
        write_store(Path(store), IMAGES, LABELS, changed)
    again = pack(store, tmp_path / "cache")
    assert again.path.stat().st_ino != made.st_ino
    np.testing.assert_array_equal(again.vectors, changed["pool:0"])
    np.testing.assert_array_equal(first.vectors, VALUES["pool:0"])  # a running training keeps its


@pytest.mark.parametrize("spoil", ["cut", "another mark", "empty", "another header"])
def test_a_packed_copy_that_is_damaged_is_made_again(tmp_path, spoil):
    store = str(write_store(tmp_path / "store.npz", IMAGES, LABELS, VALUES))
    path = pack(store, tmp_path / "cache").path
    data = path.read_bytes()
    spoiled = {
        "cut": data[:-9],
        "another mark": data[:-16] + b"x" * 16,
        "empty": b"",
        "another header": b"x" + data[1:],
    }[spoil]
    path.write_bytes(spoiled)
    assert read_packed_features(path) is None
    np.testing.assert_array_equal(pack(store, tmp_path / "cache").vectors, VALUES["pool:0"])


def test_rows_without_finite_numbers_are_left_out_and_named(tmp_path):
    values = VALUES["pool:0"].copy()
    values[3, 2], values[8, 0] = np.nan, np.inf
    store = write_store(tmp_path / "store.npz", IMAGES, LABELS, {"pool": values})
    found = pack(str(store), tmp_path, "pool")
    good = [n for n in range(50) if n not in (3, 8)]
    np.testing.assert_array_equal(found.vectors, values[good])
    assert list(found.images) == [IMAGES[n] for n in good]
    reason = "a value that is not a finite number"
    assert found.record.failed == {IMAGES[3]: reason, IMAGES[8]: reason}


def test_names_that_are_no_text_keep_their_bytes(tmp_path):
    images = [os.fsdecode(b"a/\xff.jpg"), "b/1.jpg"]
    store = write_store(tmp_path / "s.npy", images, ["a", "b"], {"x": np.ones((2, 2), np.float32)})
    assert list(pack(str(store), tmp_path, "x").images) == images


@pytest.mark.parametrize("kind", [".npz", ".pkl"])
def test_what_another_program_wrote_is_packed_too(tmp_path, kind):
    store = tmp_path / f"theirs{kind}"
    if kind == ".npz":
        np.savez(store, filenames=IMAGES, feats=VALUES["other"].astype(np.float64), y=LABELS)
    else:
        store.write_bytes(pickle.dumps(dict(zip(IMAGES, VALUES["other"], strict=True)), 4))
    stored = open_features(str(store))
    [name] = stored.names()
    found = packed_features(tmp_path, stored, name)
    np.testing.assert_array_equal(found.vectors, VALUES["other"])
    assert list(found.images) == IMAGES
    assert (stored.identities, len(found.record.labels)) == ({}, 2 if kind == ".npz" else 0)


def test_a_store_is_found_by_its_name():
    assert packed_features_path(Path("a"), "s3://b/out/") == Path("a/packed_out.npy")
    assert packed_features_path(Path("a"), "b/f.npz") == Path("a/packed_f.npz.npy")


def test_a_copied_store_is_taken_and_a_changed_one_is_not(tmp_path):
    store = write_store(tmp_path / "store.npz", IMAGES, LABELS, VALUES)
    (tmp_path / "there").mkdir()
    for name in ("store.npz", "store.npz.json"):
        shutil.copyfile(tmp_path / name, tmp_path / "there" / name)  # with another time
    assert open_features(str(tmp_path / "there/store.npz")).identities
    with store.open("ab") as file:
        file.write(b"more")
    size = store.stat().st_size
    with pytest.raises(InputError) as error:
        open_features(str(store))
    assert str(error.value) == (
        f"{store} has {size:,} bytes, and {store}.json says {size - 4:,}: it was changed since it "
        "was written. Fetch it again, or remove the record if it is what it should be."
    )


@pytest.mark.parametrize(
    ("values", "images", "message"),
    [
        (np.zeros((2, 3, 4)), ["1.jpg", "2.jpg"],
         "'x' in {} has values of shape [3, 4] for each image; a layer is trained on vectors. "
         "Fetch it with pooling=avg, or name another with features_tensor."),
        (np.zeros((2, 3)), None,
         "{} names no images, by whose names training, validation and testing are told apart: it "
         "takes the name of each row, as a column 'images'."),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_named(tmp_path, values, images, message):
    path = tmp_path / "store.npz"
    np.savez(path, x=values, **({} if images is None else {"images": images}))
    with pytest.raises(InputError) as error:
        pack(str(path), tmp_path, "x")
    assert str(error.value) == message.format(path)
    assert [one.name for one in tmp_path.iterdir()] == ["store.npz"]  # nothing half-written


def test_a_part_of_another_length_is_named(tmp_path):
    folder = write_parts(str(tmp_path / "p"), IMAGES[:8], LABELS[:8], {"x": np.ones((8, 3), "f4")})
    other = write_parts(str(tmp_path / "q"), IMAGES[:8], LABELS[:8], {"x": np.ones((8, 4), "f4")})
    for end in ("parquet", "json"):
        shutil.copy(f"{other}/part-00001.{end}", folder)
    with pytest.raises(InputError) as error:
        pack(folder, tmp_path, "x")
    assert str(error.value) == (
        f"{folder} has vectors of 3 values, and of 4 from {IMAGES[4]} on: they were made by two "
        "graphs or from two tensors."
    )


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("no.npz", "No such file: {}/no.npz"),
        ("no.txt", "{}/no.txt is no file of features: its name ends in none of "),
        ("", "{} is no folder of parts as fetch_many writes it: it has no manifest.json of theirs; "
             "a folder of bottlenecks is named with bottleneck_dir."),
        ("damaged.npz", "{}/damaged.npz cannot be read as features: File is not a zip file."),
    ],
)  # fmt: skip
def test_what_is_no_store_is_named(tmp_path, place, message):
    (tmp_path / "damaged.npz").write_bytes(b"nothing")
    with pytest.raises(InputError) as error:
        open_features(f"{tmp_path}/{place}".rstrip("/")).names()
    assert str(error.value).startswith(message.format(tmp_path))


def test_a_uri_that_is_no_folder_of_parts_is_named(bucket):
    with pytest.raises(InputError) as error:
        open_features(f"{bucket}/features.npz")
    assert str(error.value) == (
        f"{bucket}/features.npz is no folder of parts as fetch_many writes it: it has no "
        "manifest.json of theirs; copy a file of features to this machine, and name it here."
    )
