"""Weights of Keras that cannot be put into a network, and what is said of them."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from retrain_tools.errors import InputError
from retrain_tools.sources.readers.keras_weights import load_weights, read_weights

from .weight_files import as_theano, built, named_file, numbered_file, recorded_file, shapes_of


@functools.cache
def without_values(name: str, **arguments: Any) -> Any:
    """A network whose weights have shapes only."""
    with keras.StatelessScope(initialize_variables=False):
        return getattr(keras.applications, name)(weights=None, **arguments)


def refusal(model: Any, path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_weights(model, path)
    return error.value.with_arguments_as(lambda name: f"--{name}").replace(str(path), "FILE")


WHAT = "weights of Keras are a .h5, .weights.h5 or .keras file."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file: FILE"),
        (b"", f"FILE is empty; download or copy it again: {WHAT}"),
        (
            b"\xff\xd8\xff",
            f"FILE is an image; pass it as an image and a .pb file as the graph: {WHAT}",
        ),
        (b"some text", f"FILE is no HDF5 file: {WHAT}"),
        (b"PK\x03\x04zip", f"FILE is no HDF5 file: {WHAT}"),
    ],
)
def test_files_of_another_kind(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    if content is not None:
        path.write_bytes(content)
    assert refusal(None, path) == said


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = recorded_file("1.2.2", "first_weights.h5", tmp_path / "w.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    said = refusal(None, path)
    assert said.startswith("FILE is damaged or cut off: ")
    assert said.endswith("; download or copy it again.")
    assert "\n" not in said


def test_hdf5_that_keras_did_not_write_or_not_wholly(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["something"] = np.zeros(3)
    assert refusal(None, path) == "FILE is an HDF5 file, but not one that Keras wrote."
    with h5py.File(named_file(path, [("d", [(3, 2), (2,)])]), "r+") as file:
        del file["d/d_1"]
    assert refusal(None, path) == "FILE is damaged: 'd/d_1' is not in it; download it again."


def test_links_out_of_the_file_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.zeros((2,))
    path = named_file(tmp_path / "w.h5", [("d", [(3, 2), (2,)])])
    with h5py.File(path, "r+") as file:
        del file["d/d_1"]
        file["d/d_1"] = h5py.ExternalLink("other.h5", "secret")
    assert refusal(None, path) == "FILE is damaged: 'd/d_1' is not in it; download it again."


def test_nothing_is_read_that_does_not_fit(tmp_path: Path) -> None:
    """A file of a few bytes may claim any shape."""
    path = named_file(tmp_path / "w.h5", [("d", [(3, 10**12), (10**12,)])])
    assert refusal(built(kl.Dense(2, name="one"), shape=(3,)), path) == (
        "FILE does not fit: d, for the network's layer one, has the shape [3, 1000000000000], not "
        "[3, 2]."
    )


def test_arrays_that_are_no_numbers(tmp_path: Path) -> None:
    path = named_file(tmp_path / "w.h5", [("d", [(3, 2), (2,)])])
    with h5py.File(path, "r+") as file:
        del file["d/d_1"]
        file["d/d_1"] = [b"a", b"b"]
    said = refusal(built(kl.Dense(2), shape=(3,)), path)
    assert said == "FILE does not fit: 'd/d_1' holds no numbers."
    with h5py.File(numbered_file(path, []), "r+") as file:
        for value in ("many", np.zeros(0)):
            file.attrs["nb_layers"] = value
            file.flush()
            assert refusal(None, path) == (
                "FILE is damaged: its attribute nb_layers is no number; download it again."
            )


def test_a_count_of_layers_that_no_file_has(tmp_path: Path) -> None:
    path = numbered_file(tmp_path / "w.h5", [("d", [(3, 2), (2,)])])
    with h5py.File(path, "r+") as file:
        file.attrs["nb_layers"] = 2**62
    assert [str(layer) for layer in read_weights(path).layers] == ["layer_0 [3, 2] + [2]"]


@pytest.mark.parametrize("theano", [False, True])
def test_weights_of_another_network(theano: bool, tmp_path: Path) -> None:
    shapes = shapes_of(without_values("VGG19"))
    path = named_file(tmp_path / "w.h5", as_theano(shapes) if theano else shapes)
    assert refusal(without_values("VGG16"), path) == (
        "FILE holds the weights of VGG19, not of VGG16: --graph=keras:VGG19"
    )


def test_weights_without_the_top_that_is_asked_for(tmp_path: Path) -> None:
    way_out = "leave out --include_top, or pass the weights of the whole network."
    path = named_file(tmp_path / "w.h5", shapes_of(without_values("VGG16", include_top=False)))
    assert refusal(without_values("VGG16"), path) == f"FILE holds VGG16 without its top: {way_out}"
    named_file(path, shapes_of(without_values("VGG16", classes=5)))
    assert refusal(without_values("VGG16"), path) == (
        f"FILE holds VGG16 for 5 classes, not 1000: {way_out}"
    )
    own = [*shapes_of(without_values("VGG16", include_top=False)), ("d", [(25088, 5), (5,)])]
    assert refusal(without_values("VGG16"), named_file(path, own)) == (
        f"FILE holds VGG16 with a top of its own: {way_out}"
    )


def test_layers_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    model = built(kl.Dense(4, name="one"), kl.Dense(2, name="two"), shape=(3,))
    layers: list[tuple[str, Any]] = [("a", [(3, 4), (4,)]), ("b", [(5, 2), (2,)])]
    assert refusal(model, named_file(path, layers)) == (
        "FILE does not fit: b, for the network's layer two, has the shape [5, 2], not [4, 2]."
    )
    assert refusal(model, named_file(path, [layers[0], ("b", [(4, 2)])])) == (
        "FILE does not fit: b, for the network's layer two, has 1 array, not 2."
    )
    assert refusal(model, named_file(path, layers[:1])) == (
        "FILE has weights for 1 layer, and the network has 2: none for two, by their order."
    )
    assert refusal(model, named_file(path, [*layers, ("c", [(2, 2), (2,)])])) == (
        "FILE has weights for 3 layers, and the network has only 2; left over, by their order: c."
    )
    other = built(kl.Dense(4), kl.Dense(9), shape=(3,))
    other.save_weights(tmp_path / "o.weights.h5")
    assert refusal(model, tmp_path / "o.weights.h5") == (
        "FILE does not fit: it has no other layer with arrays of [4, 2] + [2], as the network's "
        "layer two has."
    )
    more = built(kl.Dense(4), kl.Dense(2), kl.Dense(2, name="three"), shape=(3,))
    more.save_weights(tmp_path / "m.weights.h5")
    assert refusal(model, tmp_path / "m.weights.h5") == (
        "FILE has weights for 3 layers, and the network has only 2; left over, by their order: "
        "three."
    )
    shutil.copyfile(tmp_path / "o.weights.h5", path)
    load_weights(other, path)  # whatever it is called
