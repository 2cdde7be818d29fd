"""Features in parts: read a part at a time, only what is finished and whole."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from retrain_tools import storage
from retrain_tools.errors import InputError
from retrain_tools.features.parts.reading import read_parts

from .stored import write_parts

IMAGES = [f"s3://b/{'ab'[n % 2]}/{n} ä.jpg" for n in range(10)]
LABELS = [None if n == 3 else "ab"[n % 2] for n in range(10)]
VALUES = {
    "pool": np.arange(30, dtype=np.float32).reshape(10, 3),
    "map:0": np.arange(80, dtype=np.float32).reshape(10, 2, 2, 2),
}


@pytest.fixture
def folder(tmp_path):
    return write_parts(str(tmp_path / "parts"), IMAGES, LABELS, VALUES)


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    return caplog


@pytest.mark.parametrize("tensors", [None, ["map:0"], ["map:0", "pool"]])
def test_every_row_is_read_once_in_the_order_of_the_parts(folder, tensors):
    parts = list(read_parts(folder, tensors))
    assert [len(images) for images, _, _ in parts] == [4, 4, 2]
    assert [image for images, _, _ in parts for image in images] == IMAGES
    assert [label for _, labels, _ in parts for label in labels] == [one or "" for one in LABELS]
    for name in tensors or VALUES:
        found = np.concatenate([values[name] for _, _, values in parts])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, VALUES[name])
    assert all(list(values) == (tensors or list(VALUES)) for _, _, values in parts)


def test_a_bucket_is_read_as_a_folder_is(bucket):
    place = write_parts(f"{bucket}/out", IMAGES, LABELS, VALUES)
    [first, *_] = read_parts(place, ["pool"])
    np.testing.assert_array_equal(first[2]["pool"], VALUES["pool"][:4])


def test_a_part_counts_only_with_its_record(folder, told):
    Path(folder, "part-00001.json").unlink()
    Path(folder, "part-00001.failures.parquet").write_bytes(b"no part")
    found = [image for images, _, _ in read_parts(folder) for image in images]
    assert found == [*IMAGES[:4], *IMAGES[8:]]
    assert f"{folder}: 2 parts of 3 are finished, and taken: the job has not ended" in told.messages


def test_parts_of_a_job_that_has_not_ended_are_read_with_a_line(folder, told):
    place = Path(folder, "manifest.json")
    place.write_text(json.dumps(json.loads(place.read_text()) | {"list": None}))
    assert len(list(read_parts(folder))) == 3
    assert f"{folder}: 3 parts are finished, and taken: the job has not ended" in told.messages


def test_parts_above_99999_come_last(folder):
    for end in ("json", "parquet"):
        Path(folder, f"part-00000.{end}").rename(Path(folder, f"part-100000.{end}"))
    found = [image for images, _, _ in read_parts(folder) for image in images]
    assert found == [*IMAGES[4:], *IMAGES[:4]]


def _flip(folder: Path) -> None:
    data = bytearray((folder / "part-00001.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "part-00001.parquet").write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_flip, "{}/part-00001.parquet cannot be read as a part of features: "
                "not what was written: its checksum is another."),
        (lambda folder: (folder / "part-00001.json").write_text("{}"),
         "{}/part-00001.parquet cannot be read as a part of features: 'sha256'."),
        (lambda folder: (folder / "manifest.json").write_text("{}"),
         "{}/manifest.json is no manifest of features in parts of this version."),
        (lambda folder: (folder / "manifest.json").unlink(),
         "{}/manifest.json cannot be read: No such file or directory."),
        (lambda folder: [one.unlink() for one in folder.glob("part-*.json")],
         "{} has no finished part yet."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(folder, spoil, message):
    spoil(Path(folder))
    with pytest.raises(InputError) as error:
        list(read_parts(folder))
    assert str(error.value) == message.format(folder)


def test_a_tensor_that_is_not_there_is_named_with_the_nearest(folder):
    with pytest.raises(InputError) as error:
        list(read_parts(folder, ["poool"]))
    assert str(error.value) == f"No column 'poool' in {folder}. Did you mean 'pool'?"


def test_the_parts_are_one_table_for_others(folder):
    dataset = pytest.importorskip("pyarrow.dataset", reason="needs pyarrow: pip install pyarrow")
    parts = sorted(map(str, Path(folder).glob("part-*.parquet")))
    found = dataset.dataset(parts).to_table()
    assert found.column("image").to_pylist() == IMAGES
    assert storage.list_names(folder)[0] == "manifest.json"
