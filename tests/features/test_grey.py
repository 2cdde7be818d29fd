"""Networks of one channel: images as TensorFlow decodes them in grey, and what they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import retrain_tools as rt
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.images.decode import ImageError, decode_with_pillow
from retrain_tools.quiet_tensorflow import tf
from tests.images.drawn import COLOUR, RGBA, WITH_ALPHA, encoded
from tests.opening import load_graph

SIZE = 8
SCALED = {"input_mean": 0.0, "input_std": 255.0}


def write(path: Path, make: Any) -> Path:
    with tf.Graph().as_default() as graph:
        make()
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def body(pixels: Any) -> None:
    rng = np.random.default_rng(2)
    kernel = tf.constant(rng.normal(0, 0.5, (3, 3, 1, 6)), tf.float32)
    x = tf.nn.relu(tf.nn.conv2d(pixels, kernel, 2, "SAME", name="conv"))
    x = tf.reduce_mean(x, [1, 2], name="features")
    weights = tf.constant(rng.normal(0, 0.5, (6, 4)), tf.float32)
    tf.nn.softmax(tf.matmul(x, weights, name="logits"), name="scores")


@pytest.fixture(scope="module")
def pixel_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of one channel that takes pixels."""

    def make() -> None:
        body(tf.compat.v1.placeholder(tf.float32, [None, SIZE, SIZE, 1], "pixels"))

    return write(tmp_path_factory.mktemp("grey") / "pixels.pb", make)


def decoding_graph(path: Path, channels: int) -> Path:
    def make() -> None:
        contents = tf.compat.v1.placeholder(tf.string, [], "contents")
        image = tf.cast(tf.raw_ops.DecodeJpeg(contents=contents, channels=channels), tf.float32)
        size = [SIZE, SIZE]
        body(tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=size) / 255.0)

    return write(path, make)


def resized(grey: Any) -> Any:
    images = tf.cast(grey, tf.float32)[tf.newaxis]
    return tf.raw_ops.ResizeBilinear(images=images, size=[SIZE, SIZE]).numpy()


def wanted(graph: Path, pixels: Any, fetch: str = "scores:0") -> Any:
    """What TensorFlow itself gives for prepared pixels."""
    graph_def = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    with tf.Graph().as_default() as opened:
        tf.compat.v1.import_graph_def(graph_def, name="")
    with tf.compat.v1.Session(graph=opened) as session:
        return session.run(fetch, {"pixels:0": pixels})


GREY_ALPHA = WITH_ALPHA.convert("LA")
FILES = {
    "jpeg": encoded(COLOUR, "JPEG"),
    "fine jpeg": encoded(COLOUR, "JPEG", quality=100, subsampling=0),
    "grey jpeg": encoded(COLOUR.convert("L"), "JPEG"),
    "png": encoded(COLOUR, "PNG"),
    "grey png": encoded(COLOUR.convert("L"), "PNG"),
    "png with alpha": encoded(WITH_ALPHA, "PNG"),
    "grey png with alpha": encoded(GREY_ALPHA, "PNG"),
    "png with palette": encoded(COLOUR.quantize(16), "PNG"),
    "png of one bit": encoded(COLOUR.convert("1"), "PNG"),
    "png of 16 bits": encoded(
        Image.fromarray(RGBA[:, :, 0].astype(np.uint16) * 257 + np.uint16(5)), "PNG"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_decoded_as_tensorflow_does_with_one_channel(
    pixel_graph: Path, name: str
) -> None:
    data = FILES[name]
    exact = tf.image.decode_image(data, channels=1, expand_animations=False).numpy()
    frozen = load_graph(pixel_graph, overrides=SpecOverrides(**SCALED))
    assert frozen.spec.channels == 1
    with ImagePreparation(frozen) as side:
        np.testing.assert_array_equal(side.decode(data), exact)
        prepared = side.prepare(data)
    assert prepared.shape == (SIZE, SIZE, 1)
    np.testing.assert_allclose(prepared, resized(exact)[0] / 255.0, atol=1e-6)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP"])
def test_formats_without_a_grey_decoder_become_grey_from_their_colours(
    pixel_graph: Path, form: str
) -> None:
    data = encoded(COLOUR, form, **({"lossless": True} if form == "WEBP" else {}))
    rgb = decode_with_pillow(data).astype(np.float64)
    luma = rgb @ [0.299, 0.587, 0.114]
    with ImagePreparation(load_graph(pixel_graph)) as side:
        found = side.decode(data)
    assert found.shape == (*rgb.shape[:2], 1)
    assert np.abs(found[..., 0] - luma).max() <= 0.51  # rounded to whole levels


def test_arrays_and_pillow_images_are_taken_in_grey_and_in_colour(pixel_graph: Path) -> None:
    colour = RGBA[:, :, :3]
    grey = np.asarray(COLOUR.convert("L"))
    images = [grey, grey[:, :, np.newaxis], colour, COLOUR, COLOUR.convert("L"), WITH_ALPHA]
    model = rt.load(pixel_graph, **SCALED)
    found = rt.fetch(model, "scores:0", images).values["scores:0"]
    exact = wanted(pixel_graph, resized(grey[:, :, np.newaxis]) / 255.0)
    np.testing.assert_allclose(found, np.repeat(exact, len(images), 0), atol=1e-5)


def test_an_array_of_another_shape_is_refused_by_both_shapes(pixel_graph: Path) -> None:
    model = rt.load(pixel_graph, **SCALED)
    with pytest.raises(rt.InputError) as error:
        rt.fetch(model, "scores:0", np.zeros((5, 6, 4), np.uint8))
    assert str(error.value) == (
        "None of the 1 images can be used: images[0] is an array of uint8 [5, 6, 4]; it takes "
        "uint8 [H, W] or [H, W, 1] or [H, W, 3]."
    )


def test_a_graph_made_for_a_batch_of_four_says_so(tmp_path: Path) -> None:
    def make() -> None:
        pixels = tf.compat.v1.placeholder(tf.float32, [4, SIZE, SIZE, 3], "pixels")
        x = tf.nn.conv2d(pixels, tf.ones((3, 3, 3, 2)), 2, "SAME")
        tf.reshape(x, [4, 32], name="scores")

    graph = write(tmp_path / "g.pb", make)
    with pytest.raises(rt.InputError) as error:
        rt.fetch(rt.load(graph, **SCALED), "scores", RGBA[:, :, :3])
    assert str(error.value) == (
        "The graph cannot be run: Input to reshape is a tensor with 32 values, but the requested "
        "shape has 128. 'pixels:0' takes [4, 8, 8, 3], and images are fed as [1, 8, 8, 3]."
    )


@pytest.mark.parametrize("size", [{"input_height": 9}, {"input_width": 16}])
def test_a_size_that_the_placeholder_forbids_is_refused(
    pixel_graph: Path, size: dict[str, int]
) -> None:
    with pytest.raises(rt.InputError) as error:
        rt.load(pixel_graph, **size).frozen()
    height, width = size.get("input_height", SIZE), size.get("input_width", SIZE)
    assert str(error.value) == (
        f"'pixels:0' of {pixel_graph} takes [?, 8, 8, 1], not [?, {height}, {width}, 1]; leave "
        "input_height and input_width out."
    )


def test_rows_of_pixels_are_fed_as_the_images_that_they_are(tmp_path: Path) -> None:
    def make() -> None:
        rows = tf.compat.v1.placeholder(tf.float32, [None, SIZE * SIZE], "rows")
        body(tf.reshape(rows, [-1, SIZE, SIZE, 1]))

    graph = write(tmp_path / "g.pb", make)
    grey = RGBA[:SIZE, :SIZE, 0]
    found = rt.fetch(rt.load(graph, **SCALED), "scores", grey).values["scores"]
    exact = rt.run(rt.load(graph), "scores", {"rows": grey.reshape(1, -1) / 255.0})["scores"]
    np.testing.assert_allclose(found, exact, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 0])
def test_a_graph_with_a_grey_decoder_of_its_own(tmp_path: Path, channels: int) -> None:
    graph = decoding_graph(tmp_path / "g.pb", channels)
    for name in ("grey jpeg", "png", "png with alpha"):
        data = FILES[name]
        exact = tf.image.decode_image(data, channels=1).numpy()
        found = rt.fetch(rt.load(graph), "scores:0", data).values["scores:0"]
        pixels = resized(exact) / 255.0
        np.testing.assert_allclose(found, by_pixels(graph, pixels), atol=1e-5)


def by_pixels(graph: Path, pixels: Any) -> Any:
    return rt.run(rt.load(graph), "scores:0", {"truediv:0": pixels})["scores:0"]


def test_a_colour_jpeg_in_a_graph_that_decodes_what_is_in_the_file(tmp_path: Path) -> None:
    grey = decoding_graph(tmp_path / "grey.pb", 1)
    exact = tf.image.decode_jpeg(FILES["jpeg"], 1).numpy()
    found = rt.fetch(rt.load(grey), "scores:0", FILES["jpeg"]).values["scores:0"]
    np.testing.assert_allclose(found, by_pixels(grey, resized(exact) / 255.0), atol=1e-5)
    own = load_graph(decoding_graph(tmp_path / "own.pb", 0))
    reason = r"comes out of the graph's image side as \[1, 8, 8, 3\] instead of \[1, 8, 8, 1\]"
    with ImagePreparation(own) as side, pytest.raises(ImageError, match=reason):
        side.prepare(FILES["jpeg"])


def test_a_graph_that_makes_colours_grey_itself(tmp_path: Path) -> None:
    def make() -> None:
        contents = tf.compat.v1.placeholder(tf.string, [], "contents")
        image = tf.io.decode_jpeg(contents, 3)
        grey = tf.image.rgb_to_grayscale(tf.cast(image, tf.float32))
        size = [SIZE, SIZE]
        x = tf.raw_ops.ResizeBilinear(images=grey[tf.newaxis], size=size, name="resized")
        body(tf.divide(x, 255.0, name="truediv"))

    graph = write(tmp_path / "g.pb", make)
    rgb = tf.image.decode_image(FILES["png"], channels=3)
    exact = resized(tf.image.rgb_to_grayscale(tf.cast(rgb, tf.float32))) / 255.0
    found = rt.fetch(rt.load(graph), "scores:0", FILES["png"]).values["scores:0"]
    np.testing.assert_allclose(found, by_pixels(graph, exact), atol=1e-5)


def test_raw_pixels_are_grey_as_pillow_makes_them(pixel_graph: Path) -> None:
    model = rt.load(pixel_graph, preprocess="none")
    found = rt.fetch(model, "scores:0", FILES["png"]).values["scores:0"]
    small = COLOUR.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, np.float32)[np.newaxis, :, :, np.newaxis]
    np.testing.assert_allclose(found, wanted(pixel_graph, pixels), atol=1e-5)
