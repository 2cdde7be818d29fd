"""Fetching into arrays: the values, their order, and images that cannot be used."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from PIL import Image

from retrain_tools.errors import InputError
from retrain_tools.features.in_memory import Features, fetch_in_memory
from retrain_tools.quiet_tensorflow import tf
from tests.opening import load_graph

from . import tiny
from .fetching import EXACT, FETCHES, alone, jpegs


@pytest.fixture
def frozen(graph_2015):
    return load_graph(str(graph_2015))


def test_rows_stand_in_the_order_of_the_images(graph_2015, frozen, photos):
    paths = jpegs(photos)[::-1]
    images, values, failed = fetch_in_memory(frozen, FETCHES, paths)
    assert (images, failed) == (paths, {})
    assert list(values) == FETCHES
    for name in FETCHES:
        assert values[name].dtype == np.float32
        for path, row in zip(images, values[name], strict=True):
            expected = alone(graph_2015, name, path)
            assert row.shape == expected.shape
            np.testing.assert_allclose(row, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten", None])
def test_pooling(graph_2015, frozen, photos, pooling):
    paths = jpegs(photos)[:3]
    _, values, _ = fetch_in_memory(frozen, ["conv/relu:0", "pool/_reshape"], paths, pooling)
    maps = np.stack([alone(graph_2015, "conv/relu:0", path) for path in paths])
    expected = {
        "avg": maps.mean((1, 2)),
        "max": maps.max((1, 2)),
        "flatten": maps.reshape(3, -1),
        None: maps,
    }[pooling]
    np.testing.assert_allclose(values["conv/relu:0"], expected, rtol=0, atol=EXACT)
    assert values["pool/_reshape"].shape == (3, 256)  # vectors stay what they are


def test_each_image_and_each_name_counts_once(frozen, photos):
    first, second, *_ = jpegs(photos)
    images, values, _ = fetch_in_memory(
        frozen, ["softmax", "softmax:0", "softmax"], [second, first, second]
    )
    assert images == [second, first]
    assert list(values) == ["softmax", "softmax:0"]
    assert np.array_equal(values["softmax"], values["softmax:0"])


def test_names_of_end_points(graph_2015, frozen, photos):
    spec = dataclasses.replace(frozen.spec, end_points={"Early": "conv/relu:0"})
    with_end_points = dataclasses.replace(frozen, spec=spec)
    _, values, _ = fetch_in_memory(with_end_points, ["Early", "conv/relu"], jpegs(photos)[:2])
    assert np.array_equal(values["Early"], values["conv/relu"])
    with pytest.raises(InputError) as error:
        fetch_in_memory(with_end_points, ["Erly"], jpegs(photos)[:1])
    assert str(error.value) == (
        f"No tensor or end point 'Erly' in {graph_2015}. Did you mean 'Early'?"
    )


def test_a_bad_image_has_no_row(frozen, photos):
    good = jpegs(photos)[:5]
    broken, missing = photos / "broken.jpg", photos / "missing.jpg"
    broken.write_bytes(Path(good[0]).read_bytes()[:100])
    images, values, failed = fetch_in_memory(
        frozen, ["softmax"], [good[0], str(broken), *good[1:], str(missing)]
    )
    assert images == good
    assert len(values["softmax"]) == 5
    assert set(failed) == {str(broken), str(missing)}
    assert failed[str(missing)] == "cannot be read: No such file or directory"
    assert failed[str(broken)].startswith("has a damaged header: ")


def test_no_image_can_be_used(frozen, tmp_path):
    paths = [str(tmp_path / f"{number}.jpg") for number in range(7)]
    reasons = "; ".join(f"{path} cannot be read: No such file or directory" for path in paths[:5])
    with pytest.raises(InputError) as error:
        fetch_in_memory(frozen, ["softmax"], paths)
    assert str(error.value) == f"None of the 7 images can be used: {reasons}; and 2 more."
    with pytest.raises(InputError) as error:
        fetch_in_memory(frozen, ["softmax"], paths[:1])
    assert str(error.value) == (
        f"None of the 1 images can be used: {paths[0]} cannot be read: No such file or directory."
    )


def test_nothing_is_asked_for(frozen, photos):
    with pytest.raises(InputError) as error:
        fetch_in_memory(frozen, [], jpegs(photos))
    assert str(error.value) == "No tensor is named that should be fetched."
    with pytest.raises(InputError) as error:
        fetch_in_memory(frozen, ["softmax"], [])
    assert str(error.value) == "No image is named to fetch tensors for."


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sofmax", "No tensor 'sofmax:0' in {graph}"),
        (
            "softmax:7",
            "No tensor 'softmax:7' in {graph}: the node 'softmax' (Softmax) has 1 output",
        ),
        (
            "conv/batchnorm/beta",
            "'conv/batchnorm/beta:0' is not computed from 'Mul:0', where images enter the "
            "network, so it is not a feature of an image; choose a tensor further on.",
        ),
    ],
)
def test_what_cannot_be_fetched(graph_2015, frozen, photos, name, message):
    with pytest.raises(InputError) as error:
        fetch_in_memory(frozen, [name], jpegs(photos)[:1])
    assert str(error.value).startswith(message.format(graph=graph_2015))


def test_shapes_that_depend_on_the_image(tmp_path):
    def bright(_, pixels):
        return tf.where(pixels[0, :, :, 0] > 0)

    frozen = load_graph(str(tiny.write_pixel_graph(tmp_path / "graph.pb", bright)))
    paths = []
    for number in range(2):
        paths.append(str(tmp_path / f"{number}.png"))
        tiny.photo(tiny.SIZE, tiny.SIZE, seed=number).save(paths[-1])
    one = [fetch_in_memory(frozen, ["features"], [path])[1]["features"] for path in paths]
    for values, path in zip(one, paths, strict=True):
        pixels = tiny.prepared_by_hand(Path(path).read_bytes())
        assert np.array_equal(values[0], np.argwhere(pixels[0, :, :, 0] > 0))
    with pytest.raises(InputError) as error:
        fetch_in_memory(frozen, ["features"], paths)
    shapes = ", ".join(str(list(values.shape[1:])) for values in one)
    assert str(error.value) == (
        f"'features' has not the same shape for every image: {shapes}; fetch it for one at a "
        "time, or with pooling."
    )


def test_images_without_a_path(frozen, photos):
    path = photos / "a/0.jpg"
    lazy = Image.open(path)
    wrong = np.zeros((3, 3), np.uint8)
    given = [path, path.read_bytes(), wrong, lazy, str(path), b""]
    images, values, failed = fetch_in_memory(frozen, ["softmax", "conv/relu"], given)
    assert images == [str(path), given[1], lazy]
    assert failed == {
        "images[2]": "is an array of uint8 [3, 3]; it takes uint8 [H, W, 3]",
        "images[5]": "is empty",
    }
    assert np.array_equal(values["softmax"][0], values["softmax"][1])
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        decoded = session.run(tf.io.decode_jpeg(given[1], channels=3))
    [from_pixels] = fetch_in_memory(frozen, ["softmax"], [decoded]).values["softmax"]
    assert np.array_equal(from_pixels, values["softmax"][0])


def test_features_tell_what_they_are(frozen, photos):
    features = fetch_in_memory(frozen, ["softmax"], jpegs(photos)[:2])
    assert isinstance(features, Features)
    assert (len(features.images), features.failed) == (2, {})
    assert get_type_hints(Features)["failed"] == dict[str, str]
