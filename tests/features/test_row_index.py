"""Indexes of matrices: what is appended comes back; what is cut off or damaged does not count."""

from __future__ import annotations

import io
import os
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.features.row_index import (
    Block,
    block_bytes,
    checksum,
    npy_header,
    read_blocks,
    read_rows,
    sound,
    stamp_of,
)

int64s = st.integers(-(2**63), 2**63 - 1)
names = st.binary(min_size=1, max_size=30).filter(lambda b: b"\0" not in b).map(os.fsdecode)


@st.composite
def blocks(draw) -> Block:
    of = draw(st.lists(names, max_size=4))
    numbers = [draw(st.lists(int64s, min_size=len(of), max_size=len(of))) for _ in range(6)]
    rows, checks, *stamps = (np.array(some, np.int64) for some in numbers)
    return Block(of, rows, checks, np.stack(stamps, axis=1))


def same(one: Block, other: Block) -> bool:
    return one.names == other.names and all(
        np.array_equal(mine, theirs) for mine, theirs in zip(one[1:], other[1:], strict=True)
    )


@given(st.lists(blocks(), max_size=4), st.integers(1, 5000))
def test_blocks_come_back_whatever_the_names(written, depth):
    data = b"".join(block_bytes(depth, block) for block in written)
    found_depth, read, end = read_blocks(data)
    assert (found_depth, end) == (depth if written else None, len(data))
    assert all(map(same, read, written))
    assert len(read) == len(written)


@given(st.lists(blocks(), min_size=1, max_size=3), st.data())
@settings(max_examples=200)
def test_a_cut_or_a_wrong_byte_anywhere_ends_the_index_before_its_block(written, data):
    pieces = [block_bytes(7, block) for block in written]
    whole = b"".join(pieces)
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        spoilt = whole[:place]
    else:
        wrong = data.draw(st.integers(1, 255))
        spoilt = whole[:place] + bytes([whole[place] ^ wrong]) + whole[place + 1 :]
    ends = np.cumsum([len(piece) for piece in pieces])
    count = int(np.searchsorted(ends, place, side="right"))
    _, read, end = read_blocks(spoilt)
    assert len(read) == count
    assert end == (ends[count - 1] if count else 0)
    assert all(map(same, read, written[:count]))


def test_an_index_of_another_depth_is_not_gone_on_with():
    block = Block(["a"], *(np.zeros(1, np.int64),) * 2, np.zeros((1, 4), np.int64))
    depth, read, end = read_blocks(block_bytes(3, block) + block_bytes(4, block))
    assert (depth, len(read), end) == (3, 1, len(block_bytes(3, block)))


@pytest.mark.parametrize("count", [0, 1, 10**9])
def test_the_header_is_numpy_s_and_as_long_for_any_number_of_rows(count):
    header = npy_header(count, 2048)
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    assert (shape, is_fortran, dtype) == ((count, 2048), False, np.float32)
    assert len(header) == len(npy_header(7, 2048)) == file.tell()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), unique_by=lambda pair: pair[1]))
def test_rows_go_to_their_places_and_those_that_are_not_there_are_told(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("rows") / "matrix"
    matrix = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    path.write_bytes(b"head" + matrix.tobytes()[:-2])  # the last row is cut off
    rows, places = (np.array(some, np.int64) for some in zip(*pairs, strict=True)) if pairs else (
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
    )  # fmt: skip
    into = np.full((10, 3), -1, np.float32)
    with path.open("rb") as file:
        there = read_rows(file, 4, rows, into, places)
    assert there.tolist() == [row < 9 for row in rows]
    for row, place in pairs:
        if row < 9:
            np.testing.assert_array_equal(into[place], matrix[row])
    untouched = sorted(set(range(10)) - set(places.tolist()))
    assert (into[untouched] == -1).all()


def test_a_checksum_is_of_the_bytes():
    vectors = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    sums = np.array([zlib.crc32(vector.tobytes()) for vector in vectors], np.int64)
    assert [checksum(vector) for vector in vectors] == sums.tolist()
    assert sound(vectors, np.zeros(0, np.int64), sums[:0]).tolist() == []
    vectors[1, 2] = np.nextafter(vectors[1, 2], np.float32(9))
    assert sound(vectors, np.array([2, 1, 0]), sums[::-1]).tolist() == [True, False, True]


def test_a_stamp_differs_for_a_file_whose_size_and_time_are_set_back(tmp_path):
    path = tmp_path / "1.txt"
    path.write_text("0.1,0.2")
    before = path.stat()
    path.write_text("0.1,0.3")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = stamp_of(path.stat())
    assert after[:2] == stamp_of(before)[:2]
    (tmp_path / "2.txt").write_text("0.1,0.4")
    os.utime(tmp_path / "2.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "2.txt").replace(path)
    assert len({after, stamp_of(before), stamp_of(path.stat())}) >= 2
