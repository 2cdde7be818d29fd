"""One shard, in this process: what is computed, taken over, tried again, and what counts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from retrain_tools.engine.settings import RunSettings
from retrain_tools.errors import InputError
from retrain_tools.features.parts import computing, layout
from retrain_tools.features.parts.computing import Computer
from retrain_tools.features.parts.job import Job, PackedGraph
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.shard import Shard, make_part
from tests.features import tiny
from tests.features.fetching import fetch
from tests.features.parts.many import (
    TENSOR,
    bytes_of,
    parts_of,
    read_failures,
    read_rows,
    record,
    same_rows,
    write_photos,
)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return tiny.write_2015_graph(tmp_path_factory.mktemp("graph") / "tiny.pb")


@pytest.fixture(scope="module")
def frozen(graph):
    return tiny.opened(graph, TENSOR)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return list(map(str, write_photos(tmp_path / "photos", 12)))


@pytest.fixture
def make(frozen, tmp_path):
    """Makes the part of a shard of images, and tells what became of it."""

    def run(images, number=0, **options):
        precision, pixels = options.pop("precision", "float32"), options.pop("pixels", 10_000)
        running = RunSettings(threads=1, max_image_pixels=pixels, precision=precision)
        pooling = options.pop("pooling", None)
        tensors = options.pop("tensors", {TENSOR: TENSOR})
        out, graph = str(tmp_path / "out"), PackedGraph.of(frozen)
        job = Job(out, "identity", graph, tensors, pooling, running, **options)
        entries = [one if isinstance(one, Entry) else Entry(str(one)) for one in images]
        with Computer(job) as computer:
            return make_part(job, computer, Shard(number, entries))

    return run


def counts(done):
    return done.computed, done.reused, dict(done.failed)


def test_rows_are_those_of_fetch_tensors_whatever_the_shards_and_bad_images(
    frozen, photos, make, tmp_path
):
    photos.insert(5, "missing.jpg")
    fetch(frozen, photos, "f.npz", [TENSOR])
    found = np.load("f.npz")
    wanted = dict(zip(found["images"], found[TENSOR], strict=True))
    for size in (1, 3, 4, 5, 13):  # a shard of one, and borders at every remainder by four
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        for number, start in enumerate(range(0, len(photos), size)):
            make(photos[start : start + size], number)
        assert same_rows(read_rows(tmp_path / "out"), wanted), size
        failures = read_failures(tmp_path / "out")
        assert failures.keys() == set(photos) - wanted.keys()
        assert sorted(failures.values()) == [
            ("cannot be read: No such file or directory", "reading"),
            ("is empty", "image"),
            ("is not a JPEG, PNG, GIF, BMP or WebP image", "image"),
        ]


def test_a_finished_part_is_left_alone(photos, make, tmp_path):
    first = make(photos)
    assert counts(first) == (10, 0, {"image": 2})
    assert len(first.told) == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = make(photos)
    assert counts(again) == (0, 10, {"image": 2})
    assert again.told == ()
    assert again.digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_the_record_tells_what_is_in_the_part(photos, make, tmp_path):
    make(photos)
    told = record(tmp_path / "out", 0)
    [part] = parts_of(tmp_path / "out")
    assert (told["rows"], told["failed"]) == (10, {"image": 2})
    assert told["sha256"] == layout.sha256(part.read_bytes())
    assert told["bytes"] == part.stat().st_size
    assert told["seconds"] > 0
    assert told["host"]
    pinned = pyarrow.parquet.read_table(tmp_path / "out/list/00000.parquet").to_pylist()
    assert [row["uri"] for row in pinned] == photos
    assert pinned[0]["size"] == Path(photos[0]).stat().st_size


def test_one_changed_image_is_computed_alone(photos, make, tmp_path):
    make(photos)
    before = read_rows(tmp_path / "out")
    changed = next(path for path in photos if path in before)
    Path(changed).write_bytes(tiny.encoded(tiny.photo(33, 44, seed=99), "JPEG"))
    done = make(photos)
    assert counts(done) == (1, 9, {"image": 2})
    after = read_rows(tmp_path / "out")
    assert {image for image in after if (after[image] != before[image]).any()} == {changed}
    whole = bytes_of(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    make(photos)
    assert bytes_of(tmp_path / "out") == whole


def test_images_that_come_go_and_move_cost_what_is_new(photos, make, tmp_path):
    make(photos[:8])
    rows = read_rows(tmp_path / "out").keys()
    moved = [*photos[8:10], *reversed(photos[1:8])]
    done = make(moved)
    images = pyarrow.parquet.read_table(parts_of(tmp_path / "out")[0])["image"].to_pylist()
    assert images == [path for path in moved if path in read_rows(tmp_path / "out")]
    assert done.reused == len(rows & set(moved))


def test_another_label_computes_nothing(photos, make, tmp_path):
    make(photos)
    done = make([Entry(path, "cat") for path in photos])
    assert counts(done) == (0, 10, {"image": 2})
    table = pyarrow.parquet.read_table(parts_of(tmp_path / "out")[0])
    assert set(table["label"].to_pylist()) == {"cat"}


def test_an_image_that_is_back_is_computed_alone(photos, make, tmp_path):
    good = next(path for path in photos if path.endswith("005.jpg"))
    Path(good).rename("away.jpg")
    assert counts(make(photos)) == (9, 0, {"image": 2, "reading": 1})
    assert counts(make(photos)) == (0, 9, {"image": 2, "reading": 1})
    assert counts(make(photos, retry_failed=True)) == (0, 9, {"image": 2, "reading": 1})
    Path("away.jpg").rename(good)
    assert counts(make(photos, retry_failed=True)) == (1, 9, {"image": 2})
    assert good in read_rows(tmp_path / "out")


def test_a_failure_that_may_pass_is_tried_again_when_that_is_asked_for(
    photos, make, monkeypatch, tmp_path
):
    good = next(path for path in photos if path.endswith("005.jpg"))
    read, tries = computing.storage.read, []

    def fails(uri, *rest):
        if uri == good:
            tries.append(uri)
            raise OSError(5, "Input/output error")
        return read(uri, *rest)

    monkeypatch.setattr(computing.storage, "read", fails)
    assert counts(make(photos)) == (9, 0, {"image": 2, "reading": 1})
    assert len(tries) == 2  # at once again, as all jobs do
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert counts(make(photos)) == (0, 9, {"image": 2, "reading": 1})
    assert counts(make(photos, retry_failed=True)) == (1, 9, {"image": 2})


def test_images_too_large_are_tried_again_with_another_limit(photos, make):
    done = make(photos, pixels=1_000)
    assert done.failed["image"] > 2
    assert counts(make(photos, pixels=1_000))[0] == 0
    assert counts(make(photos, pixels=10_000)) == (10 - done.computed, done.computed, {"image": 2})


@pytest.mark.parametrize("damage", ["cut", "other", "no list", "no record", "no part"])
def test_a_part_that_is_not_as_it_was_written_is_made_again(photos, make, tmp_path, damage, caplog):
    make(photos)
    good = bytes_of(tmp_path / "out")
    [part] = parts_of(tmp_path / "out")
    data = part.read_bytes()
    if damage == "cut":
        part.write_bytes(data[:-1])
    elif damage == "other":  # of the same size: seen where something is taken over
        part.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
        os.utime(photos[0])
    elif damage == "no list":
        (tmp_path / "out/list/00000.parquet").unlink()
        os.utime(photos[0])
    else:
        name = "part-00000.json" if damage == "no record" else part.name
        (tmp_path / "out" / name).unlink()
    assert counts(make(photos)) == (10, 0, {"image": 2})
    warned = [line for line in caplog.messages if "is not used" in line]
    assert len(warned) == (damage in ("other", "no list"))
    made = bytes_of(tmp_path / "out")
    assert made["part-00000.parquet"] == good["part-00000.parquet"]


def test_a_failure_list_goes_with_the_last_failure(photos, make, tmp_path):
    make(photos)
    assert (tmp_path / "out/part-00000.failures.parquet").exists()
    for path in photos:
        if path in read_failures(tmp_path / "out"):
            Path(path).write_bytes(tiny.encoded(tiny.photo(30, 30), "JPEG"))
    assert counts(make(photos)) == (2, 10, {})
    assert not (tmp_path / "out/part-00000.failures.parquet").exists()


def test_parts_of_another_list_are_not_replaced_unasked(photos, make, tmp_path):
    make(photos[:6])
    with pytest.raises(InputError) as error:
        make(photos[6:])
    assert str(error.value) == (
        f"{tmp_path}/out holds features of another list: none of the 6 images of "
        "part-00000.parquet is named there now. Choose another output, or replace them with "
        "overwrite."
    )
    assert make(photos[6:], overwrite=True).computed > 0


def test_rows_that_no_worker_can_hold_are_refused(photos, make, monkeypatch):
    monkeypatch.setattr(computing, "_MOST_BYTES", 4 * 256 * 5)
    with pytest.raises(InputError) as error:
        make(photos)
    assert str(error.value) == (
        "12 images of 256 values are too much for a worker, which holds the rows of a shard in "
        "memory. shard_size=5 is the most; or make vectors of maps with pooling."
    )


def test_maps_keep_their_shape_or_are_pooled(photos, make, tmp_path):
    make(photos, tensors={"map": "conv/relu:0"})
    field = pyarrow.parquet.read_schema(parts_of(tmp_path / "out")[0]).field("map")
    assert (field.type.list_size, field.metadata[b"shape"]) == (8 * 8 * 8, b"8,8,8")
    shutil.rmtree(tmp_path / "out")
    make(photos, tensors={"map": "conv/relu:0"}, pooling="avg")
    assert (
        pyarrow.parquet.read_schema(parts_of(tmp_path / "out")[0]).field("map").type.list_size == 8
    )


def test_a_difference_from_the_exact_way_is_recorded(photos, make, monkeypatch, tmp_path):
    monkeypatch.setattr("retrain_tools.engine.settings.has_bfloat16", lambda: True)
    done = make(photos, precision="bfloat16")
    found = done.differences[TENSOR]
    assert (found["ways"], found["images"]) == ("bfloat16 against float32", 10)
    assert 0 < found["mean"] < found["standard_deviation"]
    assert record(tmp_path / "out", 0)["differences"] == {TENSOR: found}
    assert make(photos, precision="bfloat16").differences == {TENSOR: found}  # of the finished part


def test_an_image_that_changed_since_it_was_listed_failed_to_be_read(photos, make, tmp_path):
    good = next(path for path in photos if path.endswith("005.jpg"))
    done = make([Entry(good, "", 17, "1"), photos[0]])
    assert counts(done) == (1, 0, {"reading": 1})
    assert read_failures(tmp_path / "out")[good] == (
        "cannot be read: it changed since it was listed",
        "reading",
    )
