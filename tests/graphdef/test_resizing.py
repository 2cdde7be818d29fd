"""Ways to resize images, as ops: against Pillow, and against TensorFlow's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from retrain_tools.engine.importing import import_light
from retrain_tools.graphdef.image_side import make_image_side
from retrain_tools.graphdef.spec import GraphSpec
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import jpeg, run

# Taller than wide and wider than tall, smaller and larger: Pillow goes along rows or columns first.
SHAPES = [(262, 193), (168, 299), (60, 46), (33, 250), (20, 31), (15, 17)]
SIZES = [(150, 150), (15, 13), (32, 17)]


def resized(method: str, size: tuple[int, int], images: list[Any]) -> list[Any]:
    spec = GraphSpec(None, None, None, "input:0", size, 0.0, 1.0, "pool:0", None, resize=method)
    side = make_image_side(spec, [])
    graph = tf.Graph()
    with graph.as_default():
        [resized, decoded] = import_light(side.graph_def, {}, [str(side.resized), side.decoded])
    with tf.compat.v1.Session(graph=graph) as session:
        return [session.run(resized, {decoded: image})[0] for image in images]


def images() -> list[Any]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in SHAPES]


def by_pillow(image: Any, method: str, size: tuple[int, int]) -> Any:
    filtered = Image.fromarray(image).resize(size[::-1], Image.Resampling[method.upper()])
    return np.asarray(filtered, np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_nearest_has_pillows_bits(size: tuple[int, int]) -> None:
    for image, found in zip(images(), resized("nearest", size, images()), strict=True):
        np.testing.assert_array_equal(found, by_pillow(image, "nearest", size))


def test_nearest_has_pillows_bits_for_every_length() -> None:
    """Where a step is no binary fraction, multiplying and adding up round otherwise."""
    lengths = [*range(1, 40), *range(46, 700, 46), 1000, 3001]
    rows = [np.arange(3 * length).astype(np.uint8).reshape(1, length, 3) for length in lengths]
    for side in (139, 150, 299):
        for row, found in zip(rows, resized("nearest", (1, side), rows), strict=True):
            np.testing.assert_array_equal(found, by_pillow(row, "nearest", (1, side)))


@pytest.mark.parametrize("size", SIZES)
def test_tf_bilinear_has_the_bits_of_tf_image_resize(size: tuple[int, int]) -> None:
    for image, found in zip(images(), resized("tf_bilinear", size, images()), strict=True):
        np.testing.assert_array_equal(found, tf.image.resize(image, size).numpy())


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
def test_the_other_filters_are_near_pillows(method: str) -> None:
    """On noise, the worst there is: a rounding may go the other way, and once more after it."""
    differing = total = 0
    for size in SIZES:
        for image, found in zip(images(), resized(method, size, images()), strict=True):
            wanted = by_pillow(image, method, size)
            assert np.abs(found - wanted).max() <= 2
            differing, total = differing + np.sum(found != wanted), total + wanted.size
    assert differing < 0.1 * total


def test_decoding_is_pillows_before_its_filters_and_tensorflows_else() -> None:
    data = jpeg(1)
    for method, kind in (("nearest", "INTEGER_ACCURATE"), ("tf_bilinear", "")):
        spec = GraphSpec(None, None, None, "in:0", (7, 9), 0.0, 1.0, "pool:0", None, resize=method)
        side = make_image_side(spec, [])
        [decoder] = [node for node in side.graph_def.node if node.op == "DecodeJpeg"]
        assert decoder.attr["dct_method"].s.decode() == kind
        decoded = run(side.graph_def, side.decoded, {side.encoded: data})
        wanted = tf.io.decode_jpeg(data, 3, dct_method=kind).numpy()
        np.testing.assert_array_equal(decoded, wanted)
