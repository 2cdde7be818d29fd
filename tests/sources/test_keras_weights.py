"""Weights of every generation of Keras put into a network: the values, and what cannot be."""

from __future__ import annotations

import functools
import io
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers as kl

from retrain_tools.sources.readers.keras_weights import load_weights, read_weights

from .weight_files import (
    FOLDER,
    IMAGE,
    Layers,
    built,
    named_file,
    numbered_file,
    recorded_file,
    shapes_of,
)

Array = npt.NDArray[Any]


def network(version: str) -> Any:
    """What tools/record_theano_files.py recorded under a version of Keras, with channels last."""
    end = [kl.Dense(4, "relu"), kl.Dense(3)]
    if version == "0.3.3":
        start = [kl.ZeroPadding2D(1), kl.Conv2D(4, (3, 2), activation="relu")]
        middle = [kl.BatchNormalization(), kl.MaxPooling2D(), kl.Conv2D(5, (2, 3)), kl.Flatten()]
        return built(*start, *middle, end[0], kl.Dropout(0.5), end[1])
    start = [kl.Conv2D(4, (3, 2), activation="relu"), kl.BatchNormalization()]
    if version == "1.2.2":
        same = kl.Conv2D(4, 3, padding="same")
        return built(*start, same, kl.Conv2D(5, (2, 3), use_bias=False), kl.Flatten(), *end)
    separable = kl.SeparableConv2D(5, (2, 3), depth_multiplier=2, use_bias=False)
    depthwise = kl.DepthwiseConv2D((3, 2), depth_multiplier=2)
    transposed = kl.Conv2DTranspose(2, (2, 3), strides=(2, 1))
    flat = [kl.Flatten(), kl.BatchNormalization()]
    return built(*start, separable, depthwise, transposed, *flat, *end)


@functools.cache
def recorded(version: str) -> Mapping[str, Array]:
    with zipfile.ZipFile(FOLDER / f"theano-{version}.zip") as archive:
        return dict(np.load(io.BytesIO(archive.read("numbers.npz"))))


# What Theano computed


@pytest.mark.parametrize(
    ("version", "stored", "named"),
    [
        ("0.3.3", "first_weights.h5", "w.h5"),
        ("1.2.2", "first_weights.h5", "w.h5"),
        ("1.2.2", "first_model.h5", "m.h5"),
        ("1.2.2", "last_weights.h5", "w_tf_dim_ordering_th_kernels.h5"),
        ("2.2.5", "first_weights.h5", "w_th_dim_ordering_tf_kernels.h5"),
        ("2.2.5", "first_model.h5", "m_th_dim_ordering.h5"),
        ("2.2.5", "last_weights.h5", "w.h5"),
        ("2.2.5", "last_model.h5", "m.h5"),
    ],
)
def test_a_network_of_theano_gives_what_it_gave_there(
    version: str, stored: str, named: str, tmp_path: Path
) -> None:
    path = recorded_file(version, stored, tmp_path / named)
    model, numbers, channels = network(version), recorded(version), stored.partition("_")[0]
    held = load_weights(model, path)
    assert held.ordering == "th"
    images = numbers[f"{channels}/input"]
    images = np.moveaxis(images, 1, 3) if channels == "first" else images
    given = model(images).numpy()
    np.testing.assert_allclose(given, numbers[f"{channels}/output"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("channels", ["first", "last"])
def test_the_arrays_are_those_of_keras_2s_own_conversion(channels: str, tmp_path: Path) -> None:
    path = tmp_path / ("th_dim_ordering.h5" if channels == "first" else "w.h5")
    recorded_file("2.2.5", f"{channels}_weights.h5", path)
    model = network("2.2.5")
    load_weights(model, path)
    for number, array in enumerate(model.get_weights()):
        np.testing.assert_array_equal(array, recorded("2.2.5")[f"{channels}/converted/{number}"])


def theano_convolution(images: Array, kernel: Array, bias: Array) -> Array:
    """True convolution of [N, in, h, w] with [out, in, kh, kw], by its definition."""
    count, _, height, width = images.shape
    out, _, tall, wide = kernel.shape
    made = np.zeros((count, out, height - tall + 1, width - wide + 1))
    for y in range(made.shape[2]):
        for x in range(made.shape[3]):
            for i in range(tall):
                for j in range(wide):
                    pixel = images[:, :, y + tall - 1 - i, x + wide - 1 - j]
                    made[:, :, y, x] += pixel @ kernel[:, :, i, j].T
    return made + bias[:, None, None]


@pytest.mark.parametrize("write", [named_file, numbered_file])
def test_a_network_of_theano_by_the_definition_of_convolution(write: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    kernel, second = random.normal(size=(5, 3, 3, 2)), random.normal(size=(4, 5, 2, 4))
    dense, last = random.normal(size=(4 * 4 * 4, 6)), random.normal(size=(6, 2))
    biases = [random.normal(size=n) for n in (5, 4, 6, 2)]
    images = random.normal(size=(2, 3, 7, 8))
    hidden = np.maximum(theano_convolution(images, kernel, biases[0]), 0)
    hidden = np.maximum(theano_convolution(hidden, second, biases[1]), 0)
    hidden = np.maximum(hidden.reshape(2, -1) @ dense + biases[2], 0)
    expected = hidden @ last + biases[3]
    kernels: Layers = [
        (f"layer_{number}", arrays)
        for number, arrays in enumerate(
            [[kernel, biases[0]], [second, biases[1]], [], [dense, biases[2]], [last, biases[3]]]
        )
    ]
    model = built(
        kl.Conv2D(5, (3, 2), activation="relu"),
        kl.Conv2D(4, (2, 4), activation="relu"),
        kl.Flatten(),
        kl.Dense(6, "relu"),
        kl.Dense(2),
    )
    load_weights(model, write(tmp_path / "it.h5", kernels))
    given = model(np.moveaxis(images, 1, 3).astype("float32")).numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)


def test_kernels_of_tensorflow_with_channels_first_are_not_turned(tmp_path: Path) -> None:
    kernel = np.arange(4 * 3 * 3 * 2, dtype="float32").reshape(4, 3, 3, 2)
    layers: Layers = [("c", [kernel, np.zeros(4)])]
    model = built(kl.Conv2D(4, (3, 2)))
    for name, more in (("a.h5", {"backend": "tensorflow"}), ("a_tf_kernels.h5", {})):
        held = load_weights(model, named_file(tmp_path / name, layers, **more))
        assert (held.ordering, held.has_turned_kernels) == ("th", False)
        np.testing.assert_array_equal(model.get_weights()[0], np.transpose(kernel, (2, 3, 1, 0)))


@pytest.mark.parametrize(
    ("shape", "biases", "first"),
    [
        ((64, 3, 3, 3), 64, True),
        ((3, 3, 3, 64), 64, False),
        ((2, 2, 2, 2), 2, False),
        ((3, 3, 64, 2), 2, False),
        ((2, 64, 3, 3), 2, True),
        ((256, 64, 1, 1), None, True),
        ((1, 1, 64, 256), None, False),
    ],
)
def test_the_order_of_kernels_by_their_shapes(
    shape: tuple[int, ...], biases: int | None, first: bool, tmp_path: Path
) -> None:
    arrays = [shape] if biases is None else [shape, (biases,)]
    path = named_file(tmp_path / "w.h5", [("c", arrays)])
    assert read_weights(path).has_channels_first_kernels is first


# Every format


@pytest.fixture(scope="module")
def mobile_net() -> Any:
    return small_mobile_net(include_top=True)


def small_mobile_net(**arguments: Any) -> Any:
    model = keras.applications.MobileNet(
        weights=None, alpha=0.25, input_shape=(32, 32, 3), **arguments
    )
    random = np.random.default_rng(len(model.weights))
    model.set_weights([random.uniform(0.1, 1, v.shape) for v in model.weights])
    return model


@pytest.mark.parametrize("name", ["w.weights.h5", "m.keras", "m.h5"])
@pytest.mark.parametrize("include_top", [True, False])
def test_what_this_keras_writes(
    name: str, include_top: bool, mobile_net: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    (mobile_net.save_weights if "weights" in name else mobile_net.save)(path)
    model = small_mobile_net(include_top=include_top)
    with caplog.at_level(logging.INFO):
        held = load_weights(model, path)
    assert (held.has_top, str(held.fits[0])) == (True, "MobileNet alpha=0.25")
    for mine, theirs in zip(model.get_weights(), mobile_net.get_weights(), strict=False):
        np.testing.assert_array_equal(mine, theirs)
    left_out = f"{path}: the layers of its top are left out: conv_preds"
    told = [text for text in caplog.messages if text.startswith(str(path))]
    assert told == ([] if include_top else [left_out])


def test_weights_of_keras_2(mobile_net: Any, tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    theirs = tf_keras.applications.MobileNet(
        weights=None, alpha=0.25, input_shape=(32, 32, 3), include_top=False
    )
    for name in ("w.h5", "w.weights.h5"):
        theirs.save_weights(tmp_path / name)
        model = small_mobile_net(include_top=False)
        load_weights(model, tmp_path / name)
        for mine, other in zip(model.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_a_normalization_is_finished(tmp_path: Path) -> None:
    model = built(kl.Normalization(), kl.Dense(2))
    model.layers[0].adapt(np.random.default_rng(1).uniform(size=(20, *IMAGE)))
    model.save(tmp_path / "m.h5")
    other = built(kl.Normalization(), kl.Dense(2))
    load_weights(other, tmp_path / "m.h5")
    images = np.ones((1, *IMAGE), "float32")
    np.testing.assert_array_equal(other(images), model(images))


def test_names_that_are_cut_into_pieces(tmp_path: Path) -> None:
    layers: Layers = [(f"d{n}", [np.full((3, 3), n), np.zeros(3)]) for n in range(3)]
    path = named_file(tmp_path / "w.h5", layers)
    with h5py.File(path, "r+") as file:
        names = file.attrs.pop("layer_names")
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
        names = file["d1"].attrs.pop("weight_names")
        file["d1"].attrs["weight_names0"], file["d1"].attrs["weight_names1"] = names[:1], names[1:]
    assert read_weights(path).layer_names == ("d0", "d1", "d2")
    model = built(*[kl.Dense(3) for _ in range(3)], shape=(3,))
    load_weights(model, path)
    assert [float(array[0, 0]) for array in model.get_weights()[::2]] == [0, 1, 2]


def test_layers_go_by_their_names_where_both_have_the_same(tmp_path: Path) -> None:
    layers: Layers = [(n, [np.full((3, 3), v), np.zeros(3)]) for n, v in (("b", 2), ("a", 1))]
    model = built(kl.Dense(3, name="a"), kl.Dense(3, name="b"), shape=(3,))
    load_weights(model, named_file(tmp_path / "w.h5", layers))
    assert [float(array[0, 0]) for array in model.get_weights()[::2]] == [1, 2]


def test_resnet50_as_older_keras_named_it(tmp_path: Path) -> None:
    """Its shortcut came after the third convolution, of the same shape; today it comes before."""
    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    branches = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}
    layers: list[tuple[str, Any]] = []
    for name, arrays in shapes_of(model):
        parts = name.split("_")
        if len(parts) == 2:
            old = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}[name]
        else:
            block = chr(ord("a") + int(parts[1].removeprefix("block")) - 1)
            kind = "res" if parts[3] == "conv" else "bn"
            old = f"{kind}{parts[0][4]}{block}_branch{branches[parts[2]]}"
        layers.append((old, arrays))
    layers.sort(key=lambda layer: "branch1" in layer[0])  # the shortcuts at the end
    values = {"res2a_branch1": 1.0, "res2a_branch2c": 3.0, "res4f_branch2b": 46.0}
    layers = [
        (name, [np.full(s, values[name]) for s in arrays] if name in values else arrays)
        for name, arrays in layers
    ]
    held = load_weights(model, named_file(tmp_path / "w.h5", layers))
    assert [str(fit) for fit in held.fits] == ["ResNet50 without its top"]
    for name, value in (
        ("conv2_block1_0_conv", 1.0),
        ("conv2_block1_3_conv", 3.0),
        ("conv4_block6_2_conv", 46.0),
        ("conv4_block6_1_conv", 0.0),
    ):
        assert np.unique(model.get_layer(name).get_weights()[0]).tolist() == [value], name


def test_a_top_of_another_kind_is_left_out(
    mobile_net: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = small_mobile_net(include_top=False)
    layers: list[tuple[str, Any]] = [
        (f"l{number}", layer.get_weights())
        for number, layer in enumerate(model.layers)
        if layer.weights
    ]
    path = named_file(tmp_path / "w.h5", [*layers, ("mine", [(256, 5), (5,)])])
    before = model.get_weights()
    model.set_weights([0 * array for array in before])
    with caplog.at_level(logging.INFO):
        held = load_weights(model, path)
    assert (str(held.fits[0]), held.has_top) == (
        "MobileNet alpha=0.25 with a top of its own",
        False,
    )
    assert caplog.messages == [f"{path}: the layers of its top are left out: mine"]
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
