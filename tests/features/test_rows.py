"""Rows on disk: what was appended is read back, also after a kill, a cut file or a full disk."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.features.rows import RowFiles, Source

SHAPES = [(3,), (), (2, 2)]

paths = st.binary(min_size=1, max_size=30).filter(lambda b: b"\0" not in b).map(os.fsdecode)
shapes = st.lists(
    st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=3
)  # fmt: skip


def source(number: int) -> Source:
    return Source(f"photos/{number}.jpg", 100 + number, 7)


def row(number: int, shapes=SHAPES) -> list[np.ndarray]:
    """The values of a row are known from its number."""
    return [
        np.random.default_rng([number, tensor]).normal(size=shape).astype(np.float32)
        for tensor, shape in enumerate(shapes)
    ]


def fill(folder, numbers, shapes=SHAPES) -> None:
    rows = RowFiles(folder, shapes)
    for number in numbers:
        rows.append(source(number), row(number, shapes))
    rows.close()


def check(rows: RowFiles, numbers, shapes=SHAPES) -> None:
    assert len(rows) == len(numbers)
    assert all(source(number) in rows for number in numbers)
    for tensor, shape in enumerate(shapes):
        values = rows.read(tensor, [source(number) for number in numbers])
        assert values.dtype == np.float32
        assert values.shape == (len(numbers), *shape)
        for value, number in zip(values, numbers, strict=True):
            np.testing.assert_array_equal(value, row(number, shapes)[tensor])


@given(st.lists(paths, min_size=1, max_size=8, unique=True), shapes, st.randoms())
@settings(max_examples=40, deadline=None)
def test_rows_of_any_shape_and_path_are_read_back_in_any_order(tmp_path_factory, names, made, rng):
    folder = tmp_path_factory.mktemp("rows")
    sources = [Source(name, number, 2**62) for number, name in enumerate(names)]
    rows = RowFiles(folder, made)
    for number, one in enumerate(sources):
        rows.append(one, row(number, made))
    mixed = rng.sample(range(len(names)), len(names))
    for opened in (rows, RowFiles(folder, made)):  # also after it is opened again
        assert len(opened) == len(names)
        for tensor, shape in enumerate(made):
            values = opened.read(tensor, [sources[number] for number in mixed])
            expected = [row(number, made)[tensor] for number in mixed]
            np.testing.assert_array_equal(values, np.reshape(expected, (len(names), *shape)))
        opened.close()


def test_a_row_is_of_a_file_as_it_was_then(tmp_path):
    fill(tmp_path, [1])
    rows = RowFiles(tmp_path, SHAPES)
    assert source(1) in rows
    assert dataclasses.replace(source(1), bytes=7) not in rows
    assert dataclasses.replace(source(1), modified_ns=8) not in rows
    assert dataclasses.replace(source(1), path="photos/2.jpg") not in rows
    rows.close()


def test_a_source_looks_at_the_file_and_a_missing_one_is_empty(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"12345")
    os.utime(tmp_path / "1.jpg", ns=(1, 1_234_567_890_123_456_789))
    path = str(tmp_path / "1.jpg")
    assert Source.of(path) == Source(path, 5, 1_234_567_890_123_456_789)
    assert Source.of("gone/1.jpg") == Source("gone/1.jpg", 0, 0)


def test_closing_keeps_the_files_and_deleting_leaves_nothing(tmp_path):
    fill(tmp_path / "rows", range(3))
    assert len(list((tmp_path / "rows").iterdir())) == len(SHAPES) + 1
    rows = RowFiles(tmp_path / "rows", SHAPES)
    check(rows, range(3))
    rows.delete()
    assert list((tmp_path / "rows").iterdir()) == []
    rows = RowFiles(tmp_path / "rows", SHAPES)
    check(rows, [])
    rows.close()


@given(st.sampled_from(["0.rows", "1.rows", "2.rows", "sources"]), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_loses_only_the_last_rows(tmp_path_factory, name, part):
    folder = tmp_path_factory.mktemp("rows")
    fill(folder, range(5))
    os.truncate(folder / name, int(part * (folder / name).stat().st_size))
    rows = RowFiles(folder, SHAPES)
    check(rows, range(len(rows)))  # a beginning
    for number in range(len(rows), 7):
        rows.append(source(number), row(number))
    rows.close()
    rows = RowFiles(folder, SHAPES)
    check(rows, range(7))
    rows.close()


@pytest.mark.parametrize("half", [b"garbage", b'["photos/5.jpg", 105', b'["photos/5.jpg", 105, 7]'])
def test_a_line_without_its_end_and_values_without_a_line_are_dropped(tmp_path, half):
    fill(tmp_path, range(5))
    with (tmp_path / "0.rows").open("ab") as file:
        file.write(b"\xff" * 17)
    with (tmp_path / "sources").open("ab") as file:
        file.write(half)
    rows = RowFiles(tmp_path, SHAPES)
    check(rows, range(5))
    rows.append(source(5), row(5))
    check(rows, range(6))
    rows.close()
    rows = RowFiles(tmp_path, SHAPES)
    check(rows, range(6))
    rows.close()


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"[1]\n", b"{}\n", b"5\n", b"\xff\xfe\n"])
def test_a_line_that_is_no_source_ends_what_can_be_used(tmp_path, damage):
    """What a disk may hold where the power failed: the length grew, the bytes were not there."""
    fill(tmp_path, range(5))
    lines = (tmp_path / "sources").read_bytes().splitlines(keepends=True)
    (tmp_path / "sources").write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
    rows = RowFiles(tmp_path, SHAPES)
    check(rows, range(3))
    rows.append(source(3), row(3))
    rows.close()
    rows = RowFiles(tmp_path, SHAPES)
    check(rows, range(4))
    rows.close()


_APPEND = """
import itertools, pathlib, sys
from tests.features.test_rows import SHAPES, RowFiles, row, source
rows = RowFiles(pathlib.Path(sys.argv[1]), SHAPES)
for number in itertools.count(len(rows)):
    rows.append(source(number), row(number))
"""


def test_a_process_killed_while_it_writes_loses_no_whole_row(tmp_path):
    known = 0
    for _ in range(3):
        worker = subprocess.Popen([sys.executable, "-c", _APPEND, str(tmp_path)])
        listing = tmp_path / "sources"
        wanted = known + 50
        while not listing.exists() or listing.read_bytes().count(b"\n") < wanted:
            assert worker.poll() is None
            time.sleep(0.005)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        rows = RowFiles(tmp_path, SHAPES)
        assert len(rows) >= wanted
        check(rows, range(len(rows)))
        known = len(rows)
        rows.close()


_FULL = """
import pathlib, resource, sys
from tests.features.test_rows import check, row, source
from retrain_tools.features.rows import RowFiles
shapes = [(2,), (200,)]
rows = RowFiles(pathlib.Path(sys.argv[1]), shapes)
for number in range(3):
    rows.append(source(number), row(number, shapes))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 800 + 100, hard))  # as on a full disk
try:
    rows.append(source(99), row(99, shapes))  # 0.rows takes it, 1.rows does not
except OSError as error:
    print(error)
assert source(99) not in rows
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # another thread finds room again
rows.append(source(3), row(3, shapes))
check(rows, range(4), shapes)
rows.close()
"""


def test_a_row_after_one_that_found_no_room_is_in_its_place(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"[Errno 27] File too large: '{tmp_path}'\n", "")
    rows = RowFiles(tmp_path, [(2,), (200,)])
    check(rows, range(4), [(2,), (200,)])
    rows.close()


def test_a_label_comes_back_and_does_not_make_another_file_of_it(tmp_path):
    daisy = dataclasses.replace(source(1), label="daisy")
    assert daisy == source(1)
    rows = RowFiles(tmp_path, SHAPES)
    rows.append(daisy, row(1))
    rows.append(source(2), row(2))
    assert source(1) in rows
    rows.close()
    again = RowFiles(tmp_path, SHAPES)
    assert [(one.path, one.label) for one in again] == [
        ("photos/1.jpg", "daisy"),
        ("photos/2.jpg", ""),
    ]
    again.close()
