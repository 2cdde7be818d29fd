"""The cache as one matrix: any names, kills, cuts, full disks, several processes."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.features.cache import DamagedBottleneckError
from retrain_tools.features.matrix_cache import MatrixCache, has_matrix, matrix_namings
from retrain_tools.images.folders import ImageFile

DEPTH = 6


def image(name) -> ImageFile:
    return ImageFile(f"photos/{name}", str(name))


def vector(name) -> np.ndarray:
    """The values of an image are known from its name."""
    seed = list(os.fsencode(str(name)))
    return np.random.default_rng(seed).normal(size=DEPTH).astype(np.float32)


def fill(folder, names, suffix="") -> MatrixCache:
    cache = MatrixCache(folder, suffix, DEPTH)
    for name in names:
        cache.write(image(name), vector(name))
    return cache


def check(folder, names, suffix="") -> None:
    """A process that opens it anew finds these images, and their values."""
    cache = MatrixCache(folder, suffix, 0)
    assert cache.depth == DEPTH
    images = [image(name) for name in names]
    assert {found.relative for found in cache.images()} == {one.relative for one in images}
    vectors = np.zeros((len(images), DEPTH), np.float32)
    loaded = cache.load(images, vectors)
    assert loaded.wrong == {}
    assert loaded.good == cache.load(images).good == [True] * len(images)
    for name, found in zip(names, vectors, strict=True):
        assert found.tobytes() == vector(name).tobytes()


paths = st.binary(min_size=1, max_size=30).filter(lambda b: b"\0" not in b).map(os.fsdecode)


@given(st.lists(paths, min_size=1, max_size=8, unique=True), st.randoms())
@settings(max_examples=40, deadline=None)
def test_images_of_any_names_have_their_values_in_any_order(tmp_path_factory, names, rng):
    folder = tmp_path_factory.mktemp("cache")
    fill(folder, names)
    check(folder, rng.sample(names, len(names)))


def test_numpy_opens_the_matrix_without_us(tmp_path):
    fill(tmp_path, ["a/1.jpg", "b/2.jpg"], "_m")
    matrix = np.load(tmp_path / "bottlenecks_m.npy", mmap_mode="r")
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [vector("a/1.jpg"), vector("b/2.jpg")])


def test_many_rows_are_read_in_the_order_of_the_images(tmp_path):
    names = [f"{number}.jpg" for number in range(600)]
    fill(tmp_path, names)
    random.Random(0).shuffle(names)
    check(tmp_path, names)


def test_what_is_not_there(tmp_path):
    cache = MatrixCache(tmp_path / "new", "", DEPTH)
    assert cache.read(image("1.jpg")) is None
    assert cache.load([image("1.jpg")]).good == [False]
    assert not cache.holds_other_images([])
    assert not (tmp_path / "new").exists(), "reading writes nothing"
    assert MatrixCache(tmp_path / "new", "", 0).depth == 0


def test_a_row_that_is_written_again_takes_the_place_of_the_first(tmp_path):
    cache = fill(tmp_path, ["1.jpg", "2.jpg"])
    cache.write(image("1.jpg"), vector("other"))
    np.testing.assert_array_equal(cache.read(image("1.jpg")), vector("other"))
    again = MatrixCache(tmp_path, "", DEPTH)
    np.testing.assert_array_equal(again.read(image("1.jpg")), vector("other"))
    np.testing.assert_array_equal(again.read(image("2.jpg")), vector("2.jpg"))


def test_a_row_that_is_removed_is_not_there_any_more(tmp_path):
    cache = fill(tmp_path, ["1.jpg", "2.jpg", "3.jpg"])
    cache.remove([image("1.jpg"), image("3.jpg"), image("never.jpg")])
    assert cache.read(image("1.jpg")) is None
    check(tmp_path, ["2.jpg"])
    cache.write(image("3.jpg"), vector("3.jpg"))
    check(tmp_path, ["2.jpg", "3.jpg"])


def test_other_images_and_namings_are_told(tmp_path):
    cache = fill(tmp_path, ["1.jpg", "2.jpg"])
    assert cache.holds_other_images([image("1.jpg")])
    assert not cache.holds_other_images([image("1.jpg"), image("2.jpg"), image("3.jpg")])
    fill(tmp_path, ["1.jpg"], "_m")
    (tmp_path / "bottlenecks_x.index").write_text("of another program")
    assert matrix_namings(tmp_path) == ["", "_m"]
    assert has_matrix(tmp_path, "_m")
    assert not has_matrix(tmp_path, "_x")


# --- damage ---


@given(st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_an_index_cut_anywhere_loses_only_the_last_images(tmp_path_factory, part):
    folder = tmp_path_factory.mktemp("cache")
    names = [f"{number}.jpg" for number in range(5)]
    fill(folder, names)
    index = folder / "bottlenecks.index"
    least = 20  # the block that says the depth; without it the file is nobody's
    os.truncate(index, least + int(part * (index.stat().st_size - least)))
    count = len(MatrixCache(folder, "", DEPTH).images())
    check(folder, names[:count])
    fill(folder, names[count:])
    check(folder, names)


def test_a_matrix_that_was_cut_off_is_seen_and_mended(tmp_path):
    names = [f"{number}.jpg" for number in range(5)]
    cache = fill(tmp_path, names)
    os.truncate(cache.path, cache.path.stat().st_size - DEPTH * 4 - 3)
    vectors = np.zeros((5, DEPTH), np.float32)
    loaded = MatrixCache(tmp_path, "", DEPTH).load([image(name) for name in names], vectors)
    assert loaded.good == [True, True, True, False, False]
    assert {place: str(why) for place, why in loaded.wrong.items()} == dict.fromkeys(
        (3, 4), "not the values that were written"
    )
    assert not vectors[3:].any()
    fill(tmp_path, names[3:])
    check(tmp_path, names)


def test_a_matrix_that_is_gone_is_seen_and_mended(tmp_path):
    fill(tmp_path, ["1.jpg"]).path.unlink()
    with pytest.raises(DamagedBottleneckError, match=r"^not the values that were written$"):
        MatrixCache(tmp_path, "", DEPTH).read(image("1.jpg"))
    fill(tmp_path, ["1.jpg", "2.jpg"])
    check(tmp_path, ["1.jpg", "2.jpg"])


@given(st.integers(0, 5 * DEPTH * 4 - 1), st.integers(1, 255))
@settings(max_examples=40, deadline=None)
def test_a_wrong_byte_costs_the_row_that_it_is_in(tmp_path_factory, place, wrong):
    folder = tmp_path_factory.mktemp("cache")
    names = [f"{number}.jpg" for number in range(5)]
    path = fill(folder, names).path
    data = bytearray(path.read_bytes())
    data[128 + place] ^= wrong
    path.write_bytes(data)
    loaded = MatrixCache(folder, "", DEPTH).load([image(name) for name in names])
    assert list(loaded.wrong) == [place // (DEPTH * 4)]


def test_another_depth_is_told_and_written_over(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg"])
    other = MatrixCache(tmp_path, "", 2)
    loaded = other.load([image("1.jpg"), image("3.jpg")])
    assert loaded.good == [False, False]
    assert str(loaded.wrong[0]) == f"{DEPTH} values instead of 2"
    assert loaded.wrong[0].depth == DEPTH
    assert list(loaded.wrong) == [0]
    other.write(image("3.jpg"), np.ones(2, np.float32))
    assert MatrixCache(tmp_path, "", 0).depth == 2
    np.testing.assert_array_equal(np.load(other.path), [[1, 1]])


@pytest.mark.parametrize("name", ["bottlenecks.npy", "bottlenecks.index"])
def test_a_file_of_another_program_is_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    cache = MatrixCache(tmp_path, "", DEPTH)
    with pytest.raises(InputError) as error:
        cache.write(image("1.jpg"), vector("1.jpg"))
    assert str(error.value) == (
        f"{tmp_path / name} is not of a cache of this program, or damaged: bottlenecks.index has "
        "to say what the rows of bottlenecks.npy are. Remove it, or use another bottleneck_dir or "
        "another bottleneck_suffix."
    )
    assert (tmp_path / name).read_bytes() == b"mine"


# --- kills, full disks and company ---

_APPEND = """
import itertools, pathlib, sys
from tests.features.test_matrix_cache import DEPTH, MatrixCache, image, vector
cache = MatrixCache(pathlib.Path(sys.argv[1]), "", DEPTH)
first, step, last = map(int, sys.argv[2:])
print("ready", flush=True)
for number in itertools.count(first, step):
    if 0 <= last <= number:
        break
    cache.write(image(f"{number}.jpg"), vector(f"{number}.jpg"))
"""


def start(folder, first, step=1, last=-1):
    return subprocess.Popen(
        [sys.executable, "-c", _APPEND, str(folder), str(first), str(step), str(last)],
        stdout=subprocess.PIPE,
    )


def test_processes_killed_at_random_moments_lose_no_row_but_the_one_in_flight(tmp_path):
    rng, known = random.Random(time.time_ns()), 0
    for _ in range(6):
        with start(tmp_path, known) as worker:
            worker.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.2))
            worker.send_signal(signal.SIGKILL)
        count = len(MatrixCache(tmp_path, "", DEPTH).images())
        assert count >= known
        if count:
            check(tmp_path, [f"{number}.jpg" for number in range(count)])
        known = count
    fill(tmp_path, [f"{number}.jpg" for number in range(known, known + 3)])
    check(tmp_path, [f"{number}.jpg" for number in range(known + 3)])


def test_two_processes_write_beside_each_other_and_one_is_killed(tmp_path):
    with start(tmp_path, 0, 3, 600) as one, start(tmp_path, 1, 3, 600) as other:
        with start(tmp_path, 2, 3) as killed:
            killed.stdout.readline()
            time.sleep(0.1)
            killed.send_signal(signal.SIGKILL)
        assert (one.wait(60), other.wait(60)) == (0, 0)
    of_the_killed = sum(
        int(found.relative[:-4]) % 3 == 2 for found in MatrixCache(tmp_path, "", DEPTH).images()
    )
    numbers = [n for n in range(600) if n % 3 != 2] + [3 * n + 2 for n in range(of_the_killed)]
    check(tmp_path, [f"{number}.jpg" for number in numbers])


_FULL = """
import pathlib, resource, sys
from tests.features.test_matrix_cache import DEPTH, fill, image, vector
cache = fill(pathlib.Path(sys.argv[1]), ["1.jpg", "2.jpg"])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
limit = cache.path.stat().st_size + 10 if sys.argv[2] == "row" else 200
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # as on a full disk
try:
    cache.write(image("3.jpg"), vector("3.jpg"))
except OSError as error:
    print(error)
assert cache.read(image("3.jpg")) is None
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # there is room again
cache.write(image("4.jpg"), vector("4.jpg"))
"""


@pytest.mark.parametrize("what", ["row", "index"])
def test_a_row_that_found_no_room_is_none_and_the_next_is_in_its_place(tmp_path, what):
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path), what],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    path = re.escape(str(tmp_path / "bottlenecks.npy"))
    assert re.fullmatch(rf"\[Errno 27\] File too large: '{path}'\n", done.stdout), done.stderr
    assert done.stderr == ""
    check(tmp_path, ["1.jpg", "2.jpg", "4.jpg"])
