"""The Parquet files of a shard: what is written is read, and the same rows give the same bytes."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.features.failures import Failure
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.tables import (
    PartTable,
    failures_bytes,
    list_bytes,
    part_bytes,
    read_failures,
    read_list,
    read_part,
)
from retrain_tools.features.stores.table import Column

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def table(images, labels, seed=0):
    columns = [Column("pool:0", (3,)), Column("map", (2, 2, 1)), Column("one", ())]
    rng = np.random.default_rng(seed)
    shapes = [(len(images), *column.shape) for column in columns]
    values = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return PartTable(images, labels, columns, values)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(TEXT, st.just("") | TEXT), max_size=5))
def test_a_part_is_read_as_it_was_written(rows):
    images, labels = [image for image, _ in rows], [label for _, label in rows]
    written = table(images, labels)
    data = part_bytes(written)
    found = read_part(data)
    assert (list(found.images), list(found.labels)) == (images, labels)
    assert list(found.columns) == list(written.columns)
    for one, other in zip(found.values, written.values, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.digest() == written.digest()
    assert part_bytes(table(images, labels)) == data


def test_a_part_is_an_ordinary_parquet_file():
    data = part_bytes(table(["1.jpg", "2.jpg"], ["a", ""]))
    found = pyarrow.parquet.read_table(io.BytesIO(data))
    assert found.column_names == ["image", "label", "pool:0", "map", "one"]
    assert found["label"].to_pylist() == ["a", None]
    assert len(found["map"][1].as_py()) == 4
    assert found.schema.field("map").metadata == {b"shape": b"2,2,1"}


def test_some_tensors_are_read_in_the_order_that_is_asked_for():
    written = table(["1.jpg"], [""])
    found = read_part(part_bytes(written), ["one", "pool:0"])
    assert [column.name for column in found.columns] == ["one", "pool:0"]
    np.testing.assert_array_equal(found.values[1], written.values[0])


def test_the_digest_of_rows_tells_values_images_and_labels_apart():
    digests = {
        table(["1", "2"], ["", ""]).digest(),
        table(["1", "2"], ["", "a"]).digest(),
        table(["1", "3"], ["", ""]).digest(),
        table(["1", "2"], ["", ""], seed=1).digest(),
    }
    assert len(digests) == 4


def test_failures_and_lists_are_read_as_they_were_written():
    why = Failure("is empty")
    later = Failure("cannot be read: No such file")
    later.kind = "reading"
    found = read_failures(failures_bytes([("a.jpg", why), ("a.jpg", later)]))
    assert found == [("a.jpg", "is empty"), ("a.jpg", "cannot be read: No such file")]
    assert [one.kind for _, one in found] == ["image", "reading"]
    entries = [Entry("s3://b/1.jpg", "cat", 5, "etag"), Entry("2.jpg"), Entry("3", "", -1, "")]
    assert read_list(list_bytes(entries)) == entries


@pytest.mark.parametrize("make", [list_bytes, failures_bytes])
def test_an_empty_list_has_its_columns(make):
    assert pyarrow.parquet.read_table(io.BytesIO(make([]))).num_rows == 0


def test_a_file_name_that_is_no_text_is_spelled_out():
    data = part_bytes(table([b"\xff.jpg".decode("utf-8", "surrogateescape")], [""]))
    assert read_part(data).images == [r"\xff.jpg"]
