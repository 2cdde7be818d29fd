from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.image_side import image_side, make_image_side
from retrain_tools.graphdef.make_spec import make_spec
from retrain_tools.graphdef.spec import GraphSpec, SpecOverrides
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import inception_like, jpeg, pixels_graph, run

IMAGES = [jpeg(seed) for seed in range(3)]


def spec_of(graph_def: Any) -> GraphSpec:
    return make_spec(graph_def, "g.pb", None, SpecOverrides())[0]


def resize_as_tensorflow_1(image: Any, height: int, width: int) -> Any:
    """Bilinear with TensorFlow 1's defaults: no half-pixel centres, corners not aligned."""
    ys = np.arange(height) * (image.shape[0] / height)
    xs = np.arange(width) * (image.shape[1] / width)
    top, left = np.floor(ys).astype(int), np.floor(xs).astype(int)
    bottom = np.minimum(top + 1, image.shape[0] - 1)
    right = np.minimum(left + 1, image.shape[1] - 1)
    dy, dx = (ys - top)[:, None, None], (xs - left)[None, :, None]
    image = image.astype(np.float64)
    upper = image[top][:, left] * (1 - dx) + image[top][:, right] * dx
    lower = image[bottom][:, left] * (1 - dx) + image[bottom][:, right] * dx
    return upper * (1 - dy) + lower * dy


@pytest.mark.parametrize(("mean", "std"), [(127.5, 127.5), (0.0, 255.0)])
def test_retrain_pys_image_side_for_graphs_that_take_pixels(mean: float, std: float) -> None:
    spec = GraphSpec(None, None, None, "input:0", (7, 9), mean, std, "pool:0", None)
    side = make_image_side(spec, [])
    image = np.random.default_rng(0).integers(0, 256, (13, 21, 3), np.uint8)
    resized, pixels = run(side.graph_def, [side.resized, side.pixels], {side.decoded: image})
    expected = resize_as_tensorflow_1(image, 7, 9)
    np.testing.assert_allclose(resized, [expected], rtol=0, atol=1e-3)
    np.testing.assert_allclose(pixels, [(expected - mean) / std], rtol=0, atol=1e-5)


def test_the_made_image_side_decodes_to_rgb_as_tensorflow_does() -> None:
    side = image_side(pixels_graph(), spec_of(pixels_graph()))
    decoded = run(side.graph_def, side.decoded, {side.encoded: IMAGES[0]})
    with tf.Graph().as_default():
        expected = tf.compat.v1.Session().run(tf.io.decode_jpeg(IMAGES[0], channels=3))
    np.testing.assert_array_equal(decoded, expected)
    assert decoded.shape == (13, 21, 3)


def test_made_names_do_not_clash_with_the_graphs() -> None:
    spec = GraphSpec(None, None, None, "input:0", (7, 9), 0.0, 1.0, "pool:0", None)
    side = make_image_side(spec, ["Mul", "Cast/x", "DecodeJpeg_1"])
    names = {node.name for node in side.graph_def.node}
    assert {"Mul_1", "Mul_1/y", "Cast_1", "DecodeJpeg", "DecodeJpeg/contents"} <= names
    assert not names & {"Mul", "Mul/y", "Cast"}
    assert side.pixels == "Mul_1:0"


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_making_an_image_side_does_not_change_the_graph(make: Any) -> None:
    graph_def = make()
    spec = spec_of(graph_def)
    before = graph_def.SerializeToString(deterministic=True)
    side = image_side(graph_def, spec)
    side.graph_def.node[0].name = "other"
    assert graph_def.SerializeToString(deterministic=True) == before
