"""Labels in files of features, read back with the programs that people read them with."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import pytest

from retrain_tools.features.stores import Table, check_contents, store_format

from .test_stores import COLUMNS, IMAGES, SUFFIXES, refused, values_of

LABELS = ["a", "blüten/日", "", os.fsdecode(b"\xff"), "a"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_are_read_by_the_format_s_own_programs(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    values = values_of(COLUMNS, len(IMAGES))
    table = Table(IMAGES, COLUMNS, lambda c, start, stop: values[c][start:stop], LABELS)
    store = store_format(path)
    store.write(path, table)
    assert sorted(tmp_path.iterdir()) == sorted(store.files(path, COLUMNS))
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            assert arrays.files == ["images", "labels", *(name for name, _ in COLUMNS)]
            found = arrays["labels"].tolist()
    elif suffix == ".npy":
        listing = (tmp_path / "f.labels.txt").read_bytes()
        found = [os.fsdecode(line) for line in listing.split(b"\n")[:-1]]
    elif suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path)
        assert rows.column_names == ["images", "labels", *(name for name, _ in COLUMNS)]
        found = rows["labels"].to_pylist()
    elif suffix in (".h5", ".hdf5"):
        with h5py.File(path) as file:
            found = file["labels"].asstr()[:].tolist()
    else:
        by_image = pickle.loads((tmp_path / "f.labels.pkl").read_bytes())
        assert list(by_image) == IMAGES
        found = list(by_image.values())
    spelt = [label.replace("\udcff", r"\xff") for label in LABELS]
    assert found == (LABELS if suffix in (".npz", ".npy", ".pkl") else spelt)
    if store.read:
        pieces = list(store.read(path, COLUMNS, len(IMAGES)))
        for index, wanted in enumerate(values):
            np.testing.assert_array_equal(np.concatenate([p[index] for p in pieces]), wanted)


def test_a_tensor_cannot_be_called_labels_where_they_are():
    for name in ("f.npz", "f.parquet", "f.h5"):
        assert refused(name, ["a:0", "labels"]) == (
            f"'labels' would have the same name in {name} as the list of the labels."
        )
    assert refused("f.h5", ["labels/a:0"]) == (
        "'labels/a:0' cannot be in f.h5, where the list of the labels is called 'labels'; "
        "choose another kind of file."
    )
    check_contents(Path("f.npy"), ["labels", "a"], ())
    check_contents(Path("f.pkl"), ["labels"], ())
