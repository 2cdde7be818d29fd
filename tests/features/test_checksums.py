"""Damage in text bottlenecks: every bit that flips is found, whoever reads the file."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.features.cache import Cache, DamagedBottleneckError
from retrain_tools.features.checksums import add_checksum, checksum, checksums_path, read_checksums
from retrain_tools.images.folders import ImageFile

IMAGE = ImageFile("images/a/1.jpg", "a/1.jpg")
REASON = "changed since it was written: its checksum is another"


def cache_of(folder, suffix=""):
    return Cache(folder, suffix, 40)


@pytest.fixture
def vector():
    return np.abs(np.random.default_rng(0).normal(size=40)).astype(np.float32)


@pytest.fixture
def written(tmp_path, vector):
    cache_of(tmp_path).write(IMAGE, vector)
    return cache_of(tmp_path).path(IMAGE)


def test_every_flipped_bit_is_found(written, tmp_path):
    good = written.read_bytes()
    for place in range(0, len(good) * 8, 3):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        written.write_bytes(bad)
        with pytest.raises(DamagedBottleneckError) as raised:
            cache_of(tmp_path).read(IMAGE)
        assert str(raised.value) == REASON


def test_a_file_that_is_cut_in_its_last_number_is_found(written, tmp_path):
    written.write_bytes(written.read_bytes()[:-2])
    with pytest.raises(DamagedBottleneckError, match=REASON):
        cache_of(tmp_path).read(IMAGE)


_KILLED = """
import os, pathlib, signal, sys
import numpy as np
from retrain_tools.features.cache import Cache
from retrain_tools.images.folders import ImageFile
replace = os.replace
def replace_and_die(*paths, **named):
    replace(*paths, **named)
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace_and_die
vector = np.arange(40, dtype=np.float32)
Cache(pathlib.Path(sys.argv[1]), "", 40).write(ImageFile("images/a/1.jpg", "a/1.jpg"), vector)
"""


def test_a_file_is_never_there_before_its_checksum(tmp_path):
    done = subprocess.run([sys.executable, "-c", _KILLED, tmp_path], check=False)
    assert done.returncode == -signal.SIGKILL
    text = cache_of(tmp_path).path(IMAGE).read_bytes()
    assert read_checksums(checksums_path(tmp_path, "")) == {"a/1.jpg": checksum(text)}


def test_a_checksum_that_finds_no_room_is_an_error_of_its_file(tmp_path, vector):
    code = """
import resource, sys
from retrain_tools.features.checksums import add_checksum
resource.setrlimit(resource.RLIMIT_FSIZE, (12, 12))  # as on a full disk: the first part fits
try:
    add_checksum(__import__("pathlib").Path(sys.argv[1]), "a/1.jpg", 7)
except OSError as error:
    print(error)
"""
    path = checksums_path(tmp_path, "")
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"[Errno 27] File too large: '{path}'\n"
    assert read_checksums(path) == {}


def test_a_file_without_a_checksum_is_taken_as_it_is(written, tmp_path, vector):
    checksums_path(tmp_path, "").unlink()
    np.testing.assert_array_equal(cache_of(tmp_path).read(IMAGE), vector)
    written.write_bytes(written.read_bytes()[:-1])  # as retrain.py's own, whose loss none can see
    assert cache_of(tmp_path).read(IMAGE) is not None


def test_the_last_checksum_of_an_image_counts_and_each_naming_has_its_own(tmp_path, vector):
    for suffix in ("", "_other"):
        for number in (1, 2):
            cache_of(tmp_path, suffix).write(IMAGE, number * vector)
    for suffix in ("", "_other"):
        np.testing.assert_array_equal(cache_of(tmp_path, suffix).read(IMAGE), 2 * vector)


def test_who_reads_a_folder_without_images_is_told(written, tmp_path):
    written.write_bytes(written.read_bytes().replace(b"1", b"2"))
    with pytest.raises(InputError) as raised:
        rt.read_bottlenecks(tmp_path)
    assert str(raised.value) == f"{written} is damaged: {REASON}"


@given(st.lists(st.tuples(st.text(), st.integers(0, 2**32 - 1)), max_size=8), st.binary())
def test_lines_come_back_also_behind_one_that_was_cut(tmp_path_factory, added, rubbish):
    path = tmp_path_factory.mktemp("sums") / "checksums.crc32"
    path.write_bytes(b'00000000 "cut' + rubbish)
    for image, number in added:
        add_checksum(path, image, number)
    found = read_checksums(path)
    assert {image: found[image] for image, _ in added} == dict(added)


def test_a_missing_file_of_checksums_has_none(tmp_path):
    assert read_checksums(tmp_path / "gone") == {}
    assert checksum(b"123456789") == 0xCBF43926  # the check value of CRC-32
