"""The cache: exact numbers through text, the old tools' files, and namings."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.features.cache import (
    Cache,
    DamagedBottleneckError,
    find_suffix,
    format_bottleneck,
    parse_bottleneck,
)
from retrain_tools.images.folders import ImageFile

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def image(relative):
    return ImageFile(f"photos/{relative}", relative)


def write(folder, *names, text="1.0,2.0"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# --- text ---


@given(st.lists(floats, min_size=1, max_size=50))
def test_every_float32_comes_back_bit_by_bit(values):
    vector = np.array(values, np.float32)
    text = format_bottleneck(vector)
    assert re.fullmatch(r"[-+.,e0-9]+", text)
    assert parse_bottleneck(text.encode()).tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1e-45, -1.1754942e-38, 3.4028235e38, 16777217, 0.1, 2.31043e-05, 1 / 3]
)
def test_the_corners_of_float32(value):
    vector = np.array([value], np.float32)
    assert parse_bottleneck(format_bottleneck(vector).encode()).tobytes() == vector.tobytes()


def test_text_is_the_shortest_without_a_newline():
    vector = np.array([0.1, 0.0, 2.31043e-05, 1.0], np.float32)
    assert format_bottleneck(vector) == "0.1,0.0,2.31043e-05,1.0"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"0.462781,2.31043e-05,0.0,1", [0.462781, 2.31043e-05, 0.0, 1.0]),  # older NumPy: 6 digits
        (b"0.46278125,1.0123456e-05", [0.46278125, 1.0123456e-05]),  # newer: up to 9
        (b"0.5,0.25\n", [0.5, 0.25]),
        (b"0.5, 0.25\r\n", [0.5, 0.25]),
        (b"-0.0", [-0.0]),
    ],
)
def test_texts_of_the_old_tools(text, values):
    assert parse_bottleneck(text).tobytes() == np.array(values, np.float32).tobytes()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not comma-separated numbers"),
        (b"0.1,0.2,", "not comma-separated numbers"),
        (b"0.1,0.2e", "not comma-separated numbers"),
        (b"0.1,,0.2", "not comma-separated numbers"),
        (b"0.1 0.2", "not comma-separated numbers"),
        (b"zero,one", "not comma-separated numbers"),
        (b"0.1,0.2\0\0\0", "not comma-separated numbers"),
        (b"\0" * 20, "not comma-separated numbers"),
        (b"\xff\xfe0.1", "not comma-separated numbers"),
        (b"0.1,nan", "a value that is not a finite number"),
        (b"inf,0.1", "a value that is not a finite number"),
        (b"1e39", "a value that is not a finite number"),
    ],
)
def test_damaged_texts(text, reason):
    with pytest.raises(DamagedBottleneckError, match=f"^{reason}$"):
        parse_bottleneck(text)


def carefully(text):
    """The same by another way: NumPy's conversion of each text between commas."""
    with np.errstate(over="ignore"):
        return np.array(text.split(b","), np.float32)


NUMBERS = st.text("0123456789.,-+eE \t\n\r\v\f\0naifNx_", max_size=20).map(str.encode)
PLAIN = st.lists(
    st.one_of(floats.map(repr), floats.map(np.float32).map(str), st.integers().map(str)),
    max_size=6,
).map(lambda parts: ",".join(parts).encode())


@given(st.one_of(NUMBERS, PLAIN, st.tuples(PLAIN, NUMBERS).map(b"".join)))
def test_every_text_is_read_or_refused_as_its_parts_are_one_by_one(text):
    try:
        expected = carefully(text)
    except ValueError:
        with pytest.raises(DamagedBottleneckError, match=r"^not comma-separated numbers$"):
            parse_bottleneck(text)
        return
    if np.isfinite(expected).all():
        assert parse_bottleneck(text).tobytes() == expected.tobytes()
    else:
        with pytest.raises(DamagedBottleneckError, match=r"^a value that is not a finite number$"):
            parse_bottleneck(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_numbers_or_damaged(data):
    with contextlib.suppress(DamagedBottleneckError):
        assert np.isfinite(parse_bottleneck(data)).all()


def test_a_file_of_another_length(tmp_path):
    write(tmp_path, "a/1.jpg.txt", text="0.1,0.2,0.3")
    with pytest.raises(DamagedBottleneckError, match=r"^3 values instead of 4$") as error:
        Cache(tmp_path, "", 4).read(image("a/1.jpg"))
    assert error.value.depth == 3


def test_what_is_not_cached(tmp_path):
    write(tmp_path, "b")
    assert Cache(tmp_path, "", 4).read(image("a/1.jpg")) is None
    assert Cache(tmp_path, "", 4).read(image("b/1.jpg")) is None, "a file where a folder should be"


@pytest.mark.parametrize("name", ["a/1.jpg", "1.jpg", "a b/c, d.jpg", "日本/é.png", "-x/--y.jpg"])
def test_round_trip_through_files(tmp_path, name):
    cache = Cache(tmp_path, "_m", 3)
    vector = np.array([0.1, -2.0, 3e-9], np.float32)
    cache.write(image(name), vector)
    np.testing.assert_array_equal(cache.read(image(name)), vector)
    assert (tmp_path / f"{name}_m.txt").read_text() == "0.1,-2.0,3e-09"


# --- namings ---


NAMINGS = ["", "_inception_v3", "_https~tfhub.dev~google~imagenet~inception_v3~feature_vector~3"]


@pytest.mark.parametrize("suffix", NAMINGS)
def test_each_generation_s_naming_is_recognised(tmp_path, suffix):
    write(tmp_path, f"a/1.jpg{suffix}.txt", f"b/2.jpg{suffix}.txt")
    images = [image("a/1.jpg"), image("a/new.jpg"), image("b/2.jpg")]
    assert find_suffix(tmp_path, images, "_preferred") == suffix
    assert Cache(tmp_path, suffix, 1).path(images[0]).read_text()


def test_a_new_folder_gets_the_preferred_naming(tmp_path):
    assert find_suffix(tmp_path / "new", [image("a/1.jpg")], "_mine") == "_mine"
    assert find_suffix(tmp_path, [], "_mine") == "_mine"


def test_the_preferred_naming_wins_where_it_is_present(tmp_path):
    write(tmp_path, *(f"a/1.jpg{suffix}.txt" for suffix in NAMINGS))
    assert find_suffix(tmp_path, [image("a/1.jpg")], "_inception_v3") == "_inception_v3"


def test_several_namings_are_listed(tmp_path):
    write(tmp_path, "a/1.jpg_x.txt", "a/1.jpg_y.txt")
    with pytest.raises(InputError) as error:
        find_suffix(tmp_path, [image("a/1.jpg")], "")
    assert str(error.value) == (
        f"{tmp_path} holds bottlenecks of several namings: ['_x', '_y']. "
        "Choose one with bottleneck_suffix."
    )


def test_an_image_whose_name_starts_like_another_s_is_no_naming(tmp_path):
    write(tmp_path, "a/1.jpg_m.txt", "a/1.jpg.png_m.txt", "a/1.jpg copy.jpg_m.txt")
    images = [image("a/1.jpg"), image("a/1.jpg copy.jpg"), image("a/1.jpg.png")]
    assert find_suffix(tmp_path, images, "") == "_m"


def test_other_files_are_no_naming(tmp_path):
    write(tmp_path, "a/1.jpg_m.txt", "a/.x.tmp", "a/1.jpg", "a/notes.txt", "a/1.jpg_m.txt.bak")
    assert find_suffix(tmp_path, [image("a/1.jpg")], "") == "_m"


def test_a_naming_is_found_in_the_last_class_too(tmp_path):
    images = [image(f"a/{n:04}.jpg") for n in range(2000)]
    images += [image(f"z/{n:04}.jpg") for n in range(2000)]
    write(tmp_path, *(f"z/{n:04}.jpg_m.txt" for n in range(2000)))
    assert find_suffix(tmp_path, images, "") == "_m"
