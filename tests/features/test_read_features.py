"""Features are read from every kind of file, ours and strangers', and damage is one clear line."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.cache import Identity, format_bottleneck
from retrain_tools.features.parts import layout, manifest, tables
from retrain_tools.features.read_features import read_features
from retrain_tools.features.stores import Column, Table, store_format

h5py = pytest.importorskip("h5py")
arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(4, 5)).astype(np.float32)
MAPS = RNG.normal(size=(4, 2, 3, 5)).astype(np.float32)
IMAGES = ["photos/b/2.jpg", "photos/a/ü, 1.jpg", "photos/a/3.jpg", "x.PNG"]
LABELS = ["b", "a", "a", ""]
ENDINGS = (".npz", ".npy", ".parquet", ".h5", ".hdf5", ".pkl")


def write_ours(path: Path, columns: dict[str, np.ndarray], labels=tuple(LABELS)) -> Path:
    """As fetch_tensors writes it, with as much of its record as is read."""
    arrays = list(columns.values())
    table = Table(
        IMAGES,
        [Column(name, array.shape[1:]) for name, array in columns.items()],
        lambda index, start, stop: arrays[index][start:stop],
        list(labels) or None,
    )
    store_format(path).write(path, table)
    Path(f"{path}.json").write_text(json.dumps({"tensors": {name: {} for name in columns}}))
    return path


def refusal(*arguments, **named) -> str:
    with pytest.raises(InputError) as error:
        read_features(*arguments, **named)
    return str(error.value)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "columns",
    [{"pool_3/_reshape:0": VECTORS}, {"pool_3/_reshape:0": VECTORS, "mixed/join:0": MAPS}],
)
def test_all_that_fetch_tensors_writes(ending, columns, tmp_path):
    found = read_features(write_ours(tmp_path / f"f{ending}", columns))
    assert found.values.keys() == columns.keys()
    for name, array in columns.items():
        np.testing.assert_array_equal(found.values[name], array)
        assert found.values[name].dtype == np.float32
    assert (found.images, found.labels) == (IMAGES, LABELS)
    assert found.path == tmp_path / f"f{ending}"


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_labels_there_are_none(ending, tmp_path):
    path = write_ours(tmp_path / f"f{ending}", {"t:0": VECTORS}, labels=())
    assert read_features(path).labels == []
    assert read_features(path).images == IMAGES


def test_one_npy_of_several_finds_the_images_beside_it(tmp_path):
    write_ours(tmp_path / "f.x.npy", {"a.b/c:0": VECTORS, "d": MAPS})
    found = read_features(tmp_path / "f.x.a.b_c_0.npy")
    assert found.images == IMAGES
    np.testing.assert_array_equal(found.values["features"], VECTORS)


def test_a_folder_of_bottlenecks_is_one_column(tmp_path):
    for image, vector in zip(("b/2.jpg", "a/1.jpg"), VECTORS, strict=False):
        place = tmp_path / f"{image}_inception_v3.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text(format_bottleneck(vector))
    found = read_features(tmp_path)
    assert (found.images, found.labels) == (["a/1.jpg", "b/2.jpg"], ["a", "b"])
    np.testing.assert_array_equal(found.values["bottleneck"], VECTORS[[1, 0]])


@pytest.mark.parametrize("array", [VECTORS, MAPS, VECTORS.astype(np.float64), VECTORS[:, 0]])
def test_a_bare_npy_of_predict(array, tmp_path):
    np.save(tmp_path / "f.npy", array)
    found = read_features(tmp_path / "f.npy")
    assert (found.images, found.labels) == ([], [])
    np.testing.assert_array_equal(found.values["features"], array.astype(np.float32))


def test_a_fortran_ordered_npy_and_integers(tmp_path):
    np.save(tmp_path / "f.npy", np.asfortranarray(MAPS))
    np.testing.assert_array_equal(read_features(tmp_path / "f.npy").values["features"], MAPS)
    np.save(tmp_path / "i.npy", np.arange(6, dtype=np.uint8).reshape(3, 2))
    found = read_features(tmp_path / "i.npy").values["features"]
    np.testing.assert_array_equal(found, np.arange(6, dtype=np.float32).reshape(3, 2))


@pytest.mark.parametrize("name", ["images", "filenames", "Paths", "image_names", "what_ever"])
@pytest.mark.parametrize("labels", ["labels", "y", "Classes"])
def test_an_npz_of_a_stranger(name, labels, tmp_path):
    numbers = np.array([1, 0, 0, 2])
    np.savez_compressed(tmp_path / "f.npz", feats=MAPS, **{name: IMAGES, labels: numbers})
    found = read_features(tmp_path / "f.npz")
    assert list(found.values) == ["feats"]
    np.testing.assert_array_equal(found.values["feats"], MAPS)
    assert (found.images, found.labels) == (IMAGES, ["1", "0", "0", "2"])


def test_an_npz_without_names(tmp_path):
    np.savez(tmp_path / "f.npz", VECTORS, MAPS)
    found = read_features(tmp_path / "f.npz")
    assert list(found.values) == ["arr_0", "arr_1"]
    assert found.images == []


def test_columns_are_chosen_by_name(tmp_path):
    np.savez(tmp_path / "f.npz", train=VECTORS, valid=VECTORS[:2], names=np.array(IMAGES))
    path = tmp_path / "f.npz"
    assert refusal(path) == (
        f"{path} holds arrays of several numbers of rows: 'train' 4, 'valid' 2, and 4 names of "
        "images. Name those that belong together with tensors."
    )
    assert list(read_features(path, "train").values) == ["train"]
    assert refusal(path, ["train", "valit"]) == (
        f"No column 'valit' in {path}. Did you mean 'valid'?"
    )
    assert refusal(path, "x") == f"No column 'x' in {path}. It has train, valid."


PICKLES = {
    "by image": dict(zip(IMAGES, VECTORS, strict=True)),
    "by image, lists": dict(zip(IMAGES, VECTORS.tolist(), strict=True)),
    "names and array": (IMAGES, VECTORS),
    "array and names": [VECTORS, np.array(IMAGES)],
    "dict of arrays": {"features": VECTORS, "filenames": IMAGES, "labels": np.array(LABELS)},
    "dict of arrays, bytes": {b"features": VECTORS, b"paths": [n.encode() for n in IMAGES]},
}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("form", PICKLES)
def test_pickles_of_strangers(form, protocol, tmp_path):
    path = tmp_path / "f.pickle"
    path.write_bytes(pickle.dumps(PICKLES[form], protocol))
    found = read_features(path)
    assert list(found.values) == ["features"]
    np.testing.assert_array_equal(found.values["features"], VECTORS)
    assert found.images == IMAGES
    assert found.labels == (LABELS if form == "dict of arrays" else [])


def test_pickles_without_names_of_files(tmp_path):
    path = tmp_path / "f.pkl"
    path.write_bytes(pickle.dumps(MAPS))
    np.testing.assert_array_equal(read_features(path).values["features"], MAPS)
    path.write_bytes(pickle.dumps({"cat": VECTORS[0], "dog": VECTORS[1]}))
    assert read_features(path).images == ["cat", "dog"]
    path.write_bytes(pickle.dumps({"block4": VECTORS, "block5": MAPS}))
    assert list(read_features(path).values) == ["block4", "block5"]
    path.write_bytes(pickle.dumps({"block4": VECTORS}))
    assert list(read_features(path).values) == ["block4"]
    path.write_bytes(pickle.dumps({"1": {"a": VECTORS[0], "b": MAPS[0]},
                                   "2": {"b": MAPS[1], "a": VECTORS[1]}}))  # fmt: skip
    found = read_features(path)
    np.testing.assert_array_equal(found.values["a"], VECTORS[:2])
    np.testing.assert_array_equal(found.values["b"], MAPS[:2])


def test_hdf5_of_a_stranger(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["deep/feats"] = MAPS
        file["deep/filenames"] = np.array(IMAGES[2:] * 2, "S20")
        file["labels"] = np.array([0, 1, 1, 0])
        file["scalar"] = 3.0
    found = read_features(tmp_path / "f.h5")
    assert list(found.values) == ["deep/feats"]
    assert (found.images, found.labels) == (IMAGES[2:] * 2, ["0", "1", "1", "0"])


def test_hdf5_leads_to_no_other_file(tmp_path):
    (tmp_path / "secret").write_bytes(VECTORS.tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = VECTORS
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["own"] = VECTORS
        file["link"] = h5py.ExternalLink("other.h5", "values")
    assert list(read_features(tmp_path / "f.h5").values) == ["own"]
    layout = h5py.VirtualLayout((4, 5), np.float32)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "values", (4, 5))
    secret = [(str(tmp_path / "secret"), 0, VECTORS.nbytes)]
    for name, add in (
        ("raw", lambda file: file.create_dataset("raw", (4, 5), np.float32, external=secret)),
        ("virtual", lambda file: file.create_virtual_dataset("virtual", layout)),
    ):
        with h5py.File(tmp_path / "g.h5", "w") as file:
            add(file)
        assert refusal(tmp_path / "g.h5") == (
            f"{tmp_path}/g.h5 cannot be read as features: {name!r} keeps its values in other files."
        )


def test_parquet_of_a_stranger(tmp_path):
    path = tmp_path / "f.parquet"
    names = arrow.array(IMAGES).dictionary_encode()
    table = arrow.table({"vec": VECTORS.tolist(), "file": names, "y": [1, 2, 2, 1]})
    parquet.write_table(table, path)
    found = read_features(path)
    np.testing.assert_array_equal(found.values["vec"], VECTORS)
    assert (found.images, found.labels) == (IMAGES, ["1", "2", "2", "1"])
    wide = {str(number): column for number, column in enumerate(VECTORS.T)}
    parquet.write_table(arrow.table({**wide, "__index_level_0__": IMAGES}), path)
    found = read_features(path)
    np.testing.assert_array_equal(found.values["features"], VECTORS)
    assert found.images == IMAGES
    for broken, reason in (
        ({"v": [[1.0], [1.0, 2.0]]}, "'v' has lists of 1 to 2 numbers"),
        ({"v": [[1.0], None]}, "'v' has rows without a value"),
        ({"v": [[1.0], [None]]}, "'v' has lists with no number in some places"),
        ({"v": [["a"], ["b"]]}, "'v' holds lists of string, not of numbers"),
    ):
        parquet.write_table(arrow.table(broken), path)
        assert refusal(path) == f"{path} cannot be read as features: {reason}."


def test_names_of_any_bytes_come_back(tmp_path):
    strange = os.fsdecode(b"\xff.jpg")
    np.savez(tmp_path / "f.npz", a=VECTORS[:1], images=np.array([strange]))
    assert read_features(tmp_path / "f.npz").images == [strange]


def test_what_is_no_features_is_told(tmp_path):
    path = tmp_path / "f.npz"
    assert refusal(tmp_path / "gone.npz") == f"No such file: {tmp_path}/gone.npz"
    assert refusal(tmp_path / "f.csv") == (
        f"{tmp_path}/f.csv is no file of features: its name ends in none of .npz, .npy, .parquet, "
        ".h5, .hdf5, .pkl."
    )
    np.savez(path, names=np.array(IMAGES))
    assert refusal(path) == f"{path} holds no features: no array of numbers with a row per image."
    np.savez(path, a=VECTORS[:0])
    assert refusal(path) == f"{path} has no rows."
    np.savez(path, a=VECTORS, b=np.array([{}], object))
    assert refusal(path) == (
        f"{path} cannot be read as features: 'b' holds Python objects, which only a pickle could "
        "store."
    )
    np.save(tmp_path / "o.npy", np.array([{}], object))
    assert refusal(tmp_path / "o.npy") == (
        f"{tmp_path}/o.npy cannot be read as features: holds Python objects, which only a pickle "
        "could store."
    )
    pickled = tmp_path / "f.pkl"
    pickled.write_bytes(b"cos\nsystem\n(S'id'\ntR.")
    assert refusal(pickled) == (
        f"{pickled} is not read: it names 'os.system', which is no part of features. Of a pickle "
        "only dicts, lists, texts, numbers and NumPy arrays are taken, and nothing in it is run."
    )
    for value, reason in (
        ({"1.jpg": VECTORS[0], "2.jpg": VECTORS[1, :3]}, "rows of several shapes, as [3] and [5]"),
        ({"1.jpg": "text"}, "rows that are not of numbers"),
        ({"1.jpg": {"a": VECTORS[0]}, "2.jpg": {}}, "not every image has the same tensors"),
        (7, "no array, and nothing that could be one"),
    ):
        pickled.write_bytes(pickle.dumps(value))
        assert refusal(pickled) == f"{pickled} cannot be read as features: {reason}."


@pytest.mark.parametrize("ending", ENDINGS)
def test_damage_is_one_line_for_every_kind(ending, tmp_path):
    whole = write_ours(tmp_path / f"f{ending}", {"t:0": MAPS}, labels=()).read_bytes()
    path = tmp_path / f"g{ending}"
    for data in (b"", b"\0" * 100, whole[: len(whole) // 2], whole[:40], whole[40:]):
        path.write_bytes(data)
        assert refusal(path).startswith(f"{path} cannot be read as features: ")


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "f.npz"
    header = {"descr": "<f4", "fortran_order": False, "shape": (100_000_000,)}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(100):
            member.write(bytes(4_000_000))
    size = path.stat().st_size
    assert refusal(path) == (
        f"{path} cannot be read as features: its {size:,} bytes claim to hold 400,000,128 bytes of "
        "values."
    )
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("a", (1 << 40,), np.float32, chunks=True)
    assert "bytes claim to hold 4,398,046,511,104 bytes of values" in refusal(tmp_path / "f.h5")
    np.save(tmp_path / "f.npy", VECTORS)
    whole = (tmp_path / "f.npy").read_bytes()
    (tmp_path / "f.npy").write_bytes(whole.replace(b"(4, 5), ", b"(4, 500000000), ")[:-9])
    assert ": cut off: " in refusal(tmp_path / "f.npy")


def test_the_parts_of_fetch_many_are_one_table(tmp_path):
    identity = Identity("print", "pool:0", "none", {}, "float32")
    manifest.write_manifest(str(tmp_path), manifest.PartsManifest("g.pb", {"pool": identity}, 2))
    rows = np.arange(15, dtype=np.float32).reshape(3, 5)
    for number, start in enumerate((0, 2)):
        some = rows[start : start + 2]
        images = [f"{start + at}.jpg" for at in range(len(some))]
        table = tables.PartTable(images, ["cat"] * len(some), [Column("pool", (5,))], [some])
        data = tables.part_bytes(table)
        (tmp_path / layout.part_name(number)).write_bytes(data)
        digests = (layout.sha256(data), table.digest())
        record = layout.PartRecord("", "", len(some), {}, *digests, len(data), 1.0, "here", 9)
        layout.write_record(str(tmp_path), number, record)
    found = read_features(tmp_path)
    np.testing.assert_array_equal(found.values["pool"], rows)
    assert (found.images, found.labels) == (["0.jpg", "1.jpg", "2.jpg"], ["cat"] * 3)
    with pytest.raises(InputError, match=f"No column 'pol' in {tmp_path}. Did you mean 'pool'"):
        read_features(tmp_path, "pol")
