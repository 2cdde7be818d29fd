"""Files of features, read back with the programs that people read them with."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.features.stores import (
    DAMAGE,
    Column,
    Table,
    check_contents,
    store_format,
)

COLUMNS = [Column("pool_3/_reshape:0", (5,)), Column("mixed/join", (2, 3, 4)), Column("sum:0", ())]
IMAGES = ["a/1.jpg", "blüten/日本 2.jpg", "a b/,\t3.jpg", os.fsdecode(b"\xff.jpg"), "z"]
SUFFIXES = [".npz", ".npy", ".parquet", ".h5", ".hdf5", ".pkl"]
READ_AGAIN = SUFFIXES[:-1]


def values_of(columns, count: int) -> list[np.ndarray]:
    return [
        np.random.default_rng(index).normal(size=(count, *shape)).astype(np.float32)
        for index, (_, shape) in enumerate(columns)
    ]


def write(path: Path, columns=COLUMNS, images=IMAGES) -> list[np.ndarray]:
    values = values_of(columns, len(images))
    table = Table(images, columns, lambda column, start, stop: values[column][start:stop])
    store_format(str(path)).write(path, table)
    return values


def loaded(path: Path, columns) -> tuple[list[str], list[np.ndarray]]:
    """Read as a user would, with no help from the package."""
    names = [name for name, _ in columns]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as store:
            assert store.files == ["images", *names]
            return store["images"].tolist(), [store[name] for name in names]
    if path.suffix == ".npy":
        files = [path]
        if len(names) > 1:
            ends = ("pool_3__reshape_0", "mixed_join", "sum_0")
            files = [path.with_name(f"{path.stem}.{end}.npy") for end in ends]
        listing = path.with_name(f"{path.stem}.images.txt").read_bytes()
        images = [os.fsdecode(line) for line in listing.split(b"\n")[:-1]]
        return images, [np.load(file, allow_pickle=False) for file in files]
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["images", *names]
        arrays = []
        for name in names:
            shape = table.schema.field(name).metadata[b"shape"].decode()
            shape = tuple(int(size) for size in shape.split(",") if size)
            arrays.append(np.array(table[name].to_pylist(), np.float32).reshape(-1, *shape))
        return table["images"].to_pylist(), arrays
    if path.suffix in (".h5", ".hdf5"):
        with h5py.File(path) as store:
            return store["images"].asstr()[:].tolist(), [store[name][:] for name in names]
    with path.open("rb") as file:
        features = pickle.load(file)
    assert type(features) is dict
    rows = list(features.values())
    if len(names) == 1:
        rows = [{names[0]: row} for row in rows]
    assert all(list(row) == names for row in rows)
    assert all(type(row[name]) is np.ndarray for row in rows for name in names)
    return list(features), [np.array([row[name] for row in rows]) for name in names]


@pytest.mark.parametrize("columns", [COLUMNS, *([column] for column in COLUMNS)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_by_the_format_s_own_programs(tmp_path, suffix, columns):
    path = tmp_path / f"a folder/features.v1{suffix}"
    expected = write(path, columns)
    images, values = loaded(path, columns)
    spelt = [image.replace("\udcff", r"\xff") for image in IMAGES]  # Arrow and HDF5 take UTF-8
    assert images == (IMAGES if suffix in (".npz", ".npy", ".pkl") else spelt)
    for value, wanted, (_, shape) in zip(values, expected, columns, strict=True):
        assert value.dtype == np.float32
        assert value.shape == (len(IMAGES), *shape)
        np.testing.assert_array_equal(value, wanted)
    made = [file for file in store_format(path).files(path, columns) if "labels" not in file.name]
    assert sorted(path.parent.iterdir()) == sorted(made)


@pytest.mark.parametrize("columns", [COLUMNS, *([column] for column in COLUMNS)])
@pytest.mark.parametrize("suffix", READ_AGAIN)
def test_what_is_written_is_taken_over_by_a_second_run(tmp_path, suffix, columns, monkeypatch):
    monkeypatch.setattr("retrain_tools.features.stores.table.PIECE_BYTES", 250)  # two images
    path = tmp_path / f"features{suffix}"
    expected = write(path, columns)
    pieces = list(store_format(str(path)).read(path, columns, len(IMAGES)))
    if len(columns) == 3:
        assert len(pieces) == 3
    for index, wanted in enumerate(expected):
        np.testing.assert_array_equal(np.concatenate([p[index] for p in pieces]), wanted)


def test_a_pickle_is_never_read():
    assert store_format("features.pkl").read is None


@pytest.mark.parametrize("suffix", READ_AGAIN)
@pytest.mark.parametrize("damage", ["cut", "empty", "other", "other shape", "fewer rows"])
def test_a_damaged_file_is_refused_with_what_the_caller_expects(tmp_path, suffix, damage):
    """`fetch` catches these, warns, and computes again."""
    path = tmp_path / f"features{suffix}"
    columns = COLUMNS[:1]
    write(path, columns)
    data = path.read_bytes()
    if damage == "other shape":
        write(path, [COLUMNS[0]._replace(shape=(6,))])
    elif damage == "fewer rows":
        write(path, columns, IMAGES[:-1])
    else:
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "other": b"x" * 99}[damage])
    store = store_format(str(path))
    with pytest.raises(DAMAGE):
        for (piece,) in store.read(path, columns, len(IMAGES)):
            assert piece.shape[1:] == (5,)


node = st.text(st.sampled_from("ab_.-"), max_size=3).map("a{}".format)
names = st.builds(
    lambda nodes, output: "/".join(nodes) + output,
    st.lists(node, min_size=1, max_size=3),
    st.sampled_from(["", ":0", ":1"]),
)
shape = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@given(
    columns=st.lists(
        st.builds(Column, names, shape),
        min_size=1,
        max_size=3,
        unique_by=lambda column: column.name,
    ),
    images=st.lists(
        st.binary(min_size=1, max_size=20).filter(lambda b: not {0, 10, 13} & set(b)),
        min_size=1,
        unique=True,
    ),
    suffix=st.sampled_from(SUFFIXES),
)
@settings(max_examples=100, deadline=None)
def test_tensors_are_refused_or_written_and_read(tmp_path_factory, columns, images, suffix):
    path = tmp_path_factory.mktemp("any") / f"f{suffix}"
    images = [os.fsdecode(image) for image in images]
    tensors = [column.name for column in columns]
    try:
        check_contents(path, tensors, ())
    except InputError as error:
        assert len(tensors) > 1
        assert any(repr(name) in str(error) for name in tensors)
        return
    check_contents(path, (), images)
    values = write(path, columns, images)
    made = store_format(path).files(path, columns)
    assert all(file.exists() for file in made if "labels" not in file.name)
    store = store_format(str(path))
    if store.read:
        pieces = list(store.read(path, columns, len(images)))
        for index, wanted in enumerate(values):
            np.testing.assert_array_equal(np.concatenate([p[index] for p in pieces]), wanted)
    if suffix == ".npz":
        with np.load(path) as arrays:
            assert arrays["images"].tolist() == images
            for name, wanted in zip(tensors, values, strict=True):
                np.testing.assert_array_equal(arrays[name], wanted)


# --- pickles ---


@pytest.mark.parametrize("columns", [COLUMNS, *([column] for column in COLUMNS)])
def test_a_pickle_names_only_modules_that_every_numpy_and_python_3_has(tmp_path, columns):
    write(tmp_path / "features.pkl", columns)
    data = (tmp_path / "features.pkl").read_bytes()
    operations = list(pickletools.genops(data))
    strings = {argument for _, argument, _ in operations if isinstance(argument, str)}
    modules = {text for text in strings if text.split(".")[0] in ("numpy", "builtins", "copyreg")}
    assert modules == {"numpy", "builtins"}
    assert not [text for text in strings if "numpy." in text or "_core" in text]
    assert {argument for code, argument, _ in operations if code.name == "PROTO"} == {4}


def test_a_feature_of_a_pickle_can_be_written_to(tmp_path):
    write(tmp_path / "features.pkl", COLUMNS[:1])
    with (tmp_path / "features.pkl").open("rb") as file:
        features = pickle.load(file)
    features["a/1.jpg"] += 1
    features["z"][0] = 7
    assert features["z"].flags.c_contiguous


# --- memory ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_stays_flat_while_a_file_is_written_and_read(tmp_path, suffix):
    images = [f"{number}.jpg" for number in range(3000)]
    columns = [Column("a", (100, 100)), Column("b", (1000,))]  # 132 MB

    def rows(column: int, start: int, stop: int) -> np.ndarray:
        shape = (stop - start, *columns[column].shape)
        return np.full(shape, column + 1.0, np.float32)

    path = tmp_path / f"features{suffix}"
    store = store_format(str(path))
    before = pyarrow.total_allocated_bytes()
    peak = 0

    def watched(column: int, start: int, stop: int) -> np.ndarray:
        nonlocal peak
        peak = max(peak, pyarrow.total_allocated_bytes() - before)
        return rows(column, start, stop)

    tracemalloc.start()
    try:
        store.write(path, Table(images, columns, watched))
        count = 0
        for piece in store.read(path, columns, len(images)) if store.read else ():
            assert (piece[0][0, 0, 0], piece[1][0, 0]) == (1, 2)
            count += len(piece[0])
            peak = max(peak, pyarrow.total_allocated_bytes() - before)
        assert count == (3000 if store.read else 0)
        peak += tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 90 << 20
    for file in store_format(path).files(path, columns):
        file.unlink(missing_ok=True)


# --- what is refused ---


@pytest.mark.parametrize("name", ["features", "features.txt", "features.npz.zip", ".npz", "a.b/c"])
def test_an_unknown_end_of_the_name_lists_the_known_ones(name):
    with pytest.raises(InputError) as error:
        store_format(name)
    assert str(error.value) == (
        f"output={name}: the end of the name chooses the kind of file: "
        ".npz, .npy, .parquet, .h5, .hdf5, .pkl."
    )


def test_the_end_of_the_name_in_capitals_is_known():
    assert store_format("FEATURES.NPZ") == store_format("features.npz")
    with pytest.raises(InputError, match=r"'a_b' would have the same name in F\.NPY as 'a/b'"):
        check_contents(Path("F.NPY"), ["a/b", "a_b"], ())


def refused(name: str, tensors: list[str]) -> str:
    with pytest.raises(InputError) as error:
        check_contents(Path(name), tensors, ())
    return str(error.value)


def test_tensors_that_would_meet_in_the_file():
    for name in ("f.npz", "f.parquet", "f.h5"):
        assert refused(name, ["a:0", "images"]) == (
            f"'images' would have the same name in {name} as the list of the images."
        )
    assert refused("f.npy", ["a/b:0", "a_b:0"]) == (
        "'a_b:0' would have the same name in f.npy as 'a/b:0'."
    )
    for names in (["a/b", "a"], ["a", "a/b"], ["x", "a", "a/b/c:0"]):
        assert refused("f.h5", names) == (
            f"'a' cannot be beside {max(names, key=len)!r} in f.h5, where it would be a group; "
            "add :0, or choose another kind of file."
        )
    assert refused("f.hdf5", ["images/crop:0"]) == (
        "'images/crop:0' cannot be in f.hdf5, where the list of the images is called 'images'; "
        "choose another kind of file."
    )


def test_tensors_that_only_look_as_if_they_met():
    check_contents(Path("f.npz"), ["a/b", "a_b", "a", "images:0", "images/a"], ())
    check_contents(Path("f.npy"), ["a/b", "a", "images:0", "images/a"], ())
    check_contents(Path("f.h5"), ["a:0", "a/b:0", "ab", "images:0"], ())
    check_contents(Path("f.pkl"), ["images"], ())
    check_contents(Path("f.npy"), ["images", "a"], ())


@pytest.mark.parametrize("path", ["a\nb.jpg", "a\r.jpg"])
def test_a_path_with_a_line_break_is_refused_where_paths_are_lines(path):
    with pytest.raises(InputError) as error:
        check_contents(Path("f.npy"), (), ["1.jpg", path])
    assert str(error.value) == (
        f"{path!r} has a line break in it, and f.images.txt is a path a line; "
        "choose another kind of file for output."
    )
    for suffix in (".npz", ".parquet", ".h5", ".pkl"):
        check_contents(Path(f"f{suffix}"), (), ["1.jpg", path])


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - {".npy"}))
def test_other_formats_take_a_path_with_a_line_break(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    write(path, COLUMNS[:1], ["a\nb.jpg", "c"])
    assert loaded(path, COLUMNS[:1])[0] == ["a\nb.jpg", "c"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_fails_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    write(path, COLUMNS[:1])
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def failing(column: int, start: int, stop: int) -> np.ndarray:
        raise OSError("the disk has gone")

    with pytest.raises(OSError, match="the disk has gone"):
        store_format(str(path)).write(path, Table(IMAGES, COLUMNS[:1], failing))
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_many_images_with_long_paths_go_into_hdf5(tmp_path):
    images = [f"{'folder/' * 20}{number}.jpg" for number in range(20_000)]
    path = tmp_path / "f.h5"
    write(path, [Column(f"t{n}:0", (1,)) for n in range(30)], images)
    with h5py.File(path) as store:
        assert store["images"].asstr()[[0, -1]].tolist() == [images[0], images[-1]]
    assert io.BytesIO(path.read_bytes()).read(4) == b"\x89HDF"
