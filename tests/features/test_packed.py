"""The packed copy of text files: believed only of files that are still the same."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.features import packed
from retrain_tools.features.cache import Cache
from retrain_tools.features.checksums import checksums_path
from retrain_tools.features.packed import load_texts, pack, packed_path
from retrain_tools.images.folders import ImageFile

DEPTH = 4
NAMES = ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/deep/é 2.jpg"]


def image(name) -> ImageFile:
    return ImageFile(f"photos/{name}", name)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Files count as settled as soon as they are written, and a few are enough for a copy."""
    monkeypatch.setattr(packed, "_SETTLED_NS", 0)
    monkeypatch.setattr(packed, "_FEWEST", 1)


@pytest.fixture
def cache(tmp_path) -> Cache:
    cache = Cache(tmp_path, "_m", DEPTH)
    for number, name in enumerate(NAMES):
        cache.write(image(name), np.arange(DEPTH, dtype=np.float32) + number / 3)
    checksums_path(tmp_path, "_m").unlink()  # the files are changed as another program would
    return Cache(tmp_path, "_m", DEPTH)


def load(cache, names=NAMES, keep=True):
    """Return the rows, which images were read from text, and what was told."""
    read = []

    def reading(cache, image):
        read.append(image.relative)
        return Cache.read(cache, image)

    images = [image(name) for name in names]
    vectors = np.zeros((len(images), cache.depth), np.float32)
    loaded = load_texts(cache, images, vectors, reading)
    if keep:
        pack(cache, images, vectors, loaded)
    return vectors, read, loaded


def from_text(cache, names=NAMES):
    vectors = [cache.read(image(name)) for name in names]
    return np.array([np.zeros(DEPTH) if one is None else one for one in vectors], np.float32)


def test_the_second_time_no_text_is_read_and_the_bits_are_the_same(cache):
    first, read, _ = load(cache)
    assert read == NAMES
    second, read, loaded = load(cache)
    assert read == []
    assert (loaded.good, loaded.wrong) == ([True] * 4, {})
    assert first.tobytes() == second.tobytes() == from_text(cache).tobytes()


def test_the_copy_is_an_npy_that_numpy_opens(cache):
    vectors, _, _ = load(cache)
    assert packed_path(cache.folder, "_m").name == "packed_bottlenecks_m.npy"
    np.testing.assert_array_equal(np.load(packed_path(cache.folder, "_m"), mmap_mode="r"), vectors)


def test_any_order_and_choice_of_images_finds_its_rows(cache):
    load(cache)
    names = [NAMES[2], "a/new.jpg", NAMES[0]]
    vectors, read, loaded = load(cache, names)
    assert read == ["a/new.jpg"]
    assert (loaded.good, loaded.wrong) == ([True, False, True], {})
    assert vectors.tobytes() == from_text(cache, names).tobytes()


def written_in_place(path):
    """The same size and the time of before: only the time of the entry tells."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1].replace(b".", b"0.", 1)[: before.st_size])
    path.write_text("9.5,8.5,7.5,6.5".ljust(before.st_size, "0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path):
    """By another file, of the same size and time."""
    before = path.stat()
    other = path.with_name("other")
    other.write_text("9.5,8.5,7.5,6.5".ljust(before.st_size, "0"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def made_longer(path):
    path.write_text("9.5,8.5,7.5,6.54321098765432")


@pytest.mark.parametrize("change", [written_in_place, replaced, made_longer])
def test_only_what_changed_is_read_again(cache, change):
    load(cache)
    path = cache.path(image(NAMES[1]))
    change(path)
    assert path.stat().st_size == len(path.read_bytes())
    vectors, read, _ = load(cache)
    assert read == [NAMES[1]]
    assert vectors.tobytes() == from_text(cache).tobytes()
    assert vectors[1, 0] == 9.5
    assert load(cache)[1] == []


def test_what_is_gone_or_damaged_meanwhile_is_not_taken_from_the_copy(cache):
    load(cache)
    cache.path(image(NAMES[0])).unlink()
    cache.path(image(NAMES[2])).write_text("0.5,x")
    vectors, _, loaded = load(cache)
    assert loaded.good == [False, True, False, True]
    assert {place: str(why) for place, why in loaded.wrong.items()} == {
        2: "not comma-separated numbers"
    }
    assert not vectors[[0, 2]].any()


def test_a_file_that_changed_a_moment_ago_is_not_believed_to_stay(cache, monkeypatch):
    monkeypatch.setattr(packed, "_SETTLED_NS", 60 * 10**9)
    load(cache)
    assert not packed_path(cache.folder, "_m").exists()
    assert load(cache)[1] == NAMES


def test_of_few_files_no_copy_is_kept(cache, monkeypatch):
    monkeypatch.setattr(packed, "_FEWEST", 5)
    load(cache)
    assert not packed_path(cache.folder, "_m").exists()


def test_whether_files_are_good_is_told_without_their_values(cache):
    load(cache)
    loaded = load_texts(cache, [image(name) for name in NAMES], None, None)
    assert (loaded.good, loaded.packed) == ([True] * 4, 4)


def test_a_copy_that_is_as_good_is_not_written_again(cache):
    load(cache)
    before = packed_path(cache.folder, "_m").stat()
    load(cache, NAMES[:2])
    assert packed_path(cache.folder, "_m").stat().st_ino == before.st_ino


def test_a_copy_of_another_depth_is_not_used(cache):
    load(cache)
    for number, name in enumerate(NAMES):
        cache.path(image(name)).write_text(f"{number},1")
    other = Cache(cache.folder, "_m", 2)
    vectors, read, _ = load(other)
    assert read == NAMES
    np.testing.assert_array_equal(vectors, [[0, 1], [1, 1], [2, 1], [3, 1]])
    assert load(other)[1] == []


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_damaged_copy_is_never_believed(tmp_path_factory, part, wrong, cut):
    folder = tmp_path_factory.mktemp("cache")
    cache = Cache(folder, "", DEPTH)
    rng = np.random.default_rng(0)
    for name in NAMES:
        cache.write(image(name), rng.normal(size=DEPTH).astype(np.float32))
    load(cache)
    path = packed_path(folder, "")
    data = bytearray(path.read_bytes())
    place = int(part * len(data))
    if cut:
        del data[place:]
    else:
        data[place] ^= wrong
    path.write_bytes(data)
    vectors, _, loaded = load(cache)
    assert loaded.good == [True] * 4
    assert vectors.tobytes() == from_text(cache).tobytes()
    assert load(cache)[1] == []


@pytest.mark.parametrize("data", [b"", b"mine", b"\x93NUMPY\x01\x00\xff", b"\xff" * 500])
def test_a_copy_that_is_none_is_made_again(cache, data):
    packed_path(cache.folder, "_m").write_bytes(data)
    assert load(cache)[1] == NAMES
    assert load(cache)[1] == []


def test_a_copy_that_is_damaged_is_made_again_and_a_line_says_so(cache, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    caplog.set_level(logging.INFO)
    load(cache)
    path = packed_path(cache.folder, "_m")
    path.write_bytes(path.read_bytes()[:-1])
    assert load(cache)[1] == NAMES
    data = bytearray(path.read_bytes())
    data[128] ^= 1  # of the first row
    path.write_bytes(data)
    assert load(cache)[1] == NAMES[:1]
    assert caplog.messages == [f"damaged, and made again: {path}"] * 2


def test_where_it_cannot_be_written_there_is_none(cache, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    caplog.set_level(logging.INFO)
    path = packed_path(cache.folder, "_m")
    path.mkdir()
    (path / "full").touch()
    vectors, read, _ = load(cache)
    assert read == NAMES
    assert vectors.tobytes() == from_text(cache).tobytes()
    assert caplog.messages == [
        f"not readable, and made again: {path}: Is a directory",
        f"no packed copy of the bottlenecks is kept: [Errno 21] Is a directory: '{path}'",
    ]
    assert sorted(child.name for child in cache.folder.iterdir()) == ["a", "b", path.name]
