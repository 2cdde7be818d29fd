"""Images of every format and form, through the image side of an extractor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from retrain_tools.engine.settings import RunSettings
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.images.decode import ImageError
from retrain_tools.quiet_tensorflow import tf

from . import tiny
from .extracting import EXACT, open_2015, results_of

# --- every format ---

COLOUR = tiny.photo(23, 17)
ALPHA = Image.fromarray(np.random.default_rng(5).integers(0, 256, (23, 17), np.uint8))
WITH_ALPHA = Image.merge("RGBA", (*COLOUR.split(), ALPHA))
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation: turn by 90 degrees
FRAMES = {"save_all": True, "append_images": [tiny.photo(23, 17, seed=9)], "loop": 0}


def see_through_gif():
    indexed = COLOUR.quantize(32)
    return tiny.encoded(indexed, "GIF", transparency=indexed.getpixel((3, 3)))


def png_of_16_bits():
    rng = np.random.default_rng(2)
    return tf.io.encode_png(rng.integers(0, 65536, (23, 17, 3), np.uint16)).numpy()


def interlaced_png():
    """Pillow writes none: Adam7 by hand, on an image of one pixel, where it is one pass."""
    data = bytearray(tiny.encoded(COLOUR.crop((0, 0, 1, 1)), "PNG"))
    import struct
    import zlib

    data[28] = 1  # the header's interlace method
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


# name: (data, the pixels that Pillow sees, None where decoders may differ)
AS_PILLOW = {
    "PNG colour": (tiny.encoded(COLOUR, "PNG"), COLOUR),
    "PNG grey": (tiny.encoded(COLOUR.convert("L"), "PNG"), COLOUR.convert("L")),
    "PNG palette": (tiny.encoded(COLOUR.quantize(16), "PNG"), COLOUR.quantize(16)),
    "PNG alpha dropped": (tiny.encoded(WITH_ALPHA, "PNG"), COLOUR),
    "PNG grey and alpha": (
        tiny.encoded(Image.merge("LA", (COLOUR.convert("L"), ALPHA)), "PNG"),
        COLOUR.convert("L"),
    ),
    "PNG 1 bit": (tiny.encoded(COLOUR.convert("1"), "PNG"), COLOUR.convert("1")),
    "PNG interlaced": (interlaced_png(), COLOUR.crop((0, 0, 1, 1))),
    "GIF": (tiny.encoded(COLOUR.quantize(32), "GIF"), COLOUR.quantize(32)),
    "GIF animated": (tiny.encoded(COLOUR.quantize(32), "GIF", **FRAMES), COLOUR.quantize(32)),
    "BMP": (tiny.encoded(COLOUR, "BMP"), COLOUR),
    "WebP": (tiny.encoded(COLOUR, "WEBP", lossless=True), COLOUR),
}
AS_TENSORFLOW = {
    "JPEG": tiny.encoded(COLOUR, "JPEG"),
    "JPEG grey": tiny.encoded(COLOUR.convert("L"), "JPEG"),
    "JPEG CMYK": tiny.encoded(COLOUR.convert("CMYK"), "JPEG"),
    "JPEG progressive": tiny.encoded(COLOUR, "JPEG", progressive=True),
    "JPEG with an orientation": tiny.encoded(COLOUR, "JPEG", exif=TURNED),
    "PNG 16 bits": png_of_16_bits(),
    "PNG palette with transparency": tiny.encoded(COLOUR.quantize(16), "PNG", transparency=3),
    "GIF transparent": see_through_gif(),
    "WebP lossy": tiny.encoded(COLOUR, "WEBP", quality=60),
}


@pytest.mark.parametrize("kind", AS_PILLOW)
def test_lossless_formats_decode_to_their_pixels(pixel_extractor, tmp_path, kind):
    data, image = AS_PILLOW[kind]
    (tmp_path / "image.jpg").write_bytes(data)
    decoded = pixel_extractor.image_side.decode(str(tmp_path / "image.jpg"))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", AS_TENSORFLOW)
def test_other_formats_decode_as_tensorflow_decodes(pixel_extractor, tmp_path, kind):
    if "WebP" in kind and not hasattr(tf.raw_ops, "DecodeWebP"):
        pytest.skip("this TensorFlow decodes no WebP to compare with")
    (tmp_path / "image.png").write_bytes(AS_TENSORFLOW[kind])
    decoded = pixel_extractor.image_side.decode(str(tmp_path / "image.png"))
    expected = tf.io.decode_image(AS_TENSORFLOW[kind], channels=3, expand_animations=False)
    np.testing.assert_array_equal(decoded, expected)


def test_an_orientation_is_not_applied(pixel_extractor, tmp_path):
    """TensorFlow never applied it, so neither the networks nor the caches know turned photos."""
    (tmp_path / "turned.jpg").write_bytes(AS_TENSORFLOW["JPEG with an orientation"])
    assert pixel_extractor.image_side.decode(str(tmp_path / "turned.jpg")).shape == (23, 17, 3)


@pytest.mark.parametrize("kind", ["PNG colour", "GIF", "BMP", "WebP"])
def test_other_formats_enter_behind_the_jpeg_decoder(graph_2015, tmp_path, kind):
    data, image = AS_PILLOW[kind]
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    with open_2015(graph_2015) as extractor:
        [value] = results_of(extractor, [path])[str(path)]
    pixels = np.asarray(image.convert("RGB"))
    [expected] = tiny.run_untouched(graph_2015, tiny.BOTTLENECK_2015, {"DecodeJpeg:0": pixels})
    np.testing.assert_allclose(value, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"^is empty$"),
        (b"text", r"^is not a JPEG, PNG, GIF, BMP or WebP image$"),
        (
            tiny.encoded(tiny.photo(99, 99), "JPEG")[:-300],
            r"^cannot be decoded: its data are damaged or cut off$",
        ),
        (
            AS_TENSORFLOW["PNG 16 bits"][:-200],
            r"^cannot be decoded: its data are damaged or cut off$",
        ),
        (AS_PILLOW["BMP"][0][:-200], r"^cannot be decoded: image file is truncated"),
    ],
)
def test_why_an_image_cannot_be_used(pixel_extractor, tmp_path, data, reason):
    (tmp_path / "image.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=reason) as error:
        pixel_extractor.image_side.prepare(str(tmp_path / "image.jpg"))
    assert "{{" not in str(error.value)
    assert "\n" not in str(error.value)


def test_too_large_an_image(pixel_graph, tmp_path):
    (tmp_path / "1.png").write_bytes(AS_PILLOW["PNG colour"][0])
    frozen = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    with (
        Extractor(
            frozen, [tiny.BOTTLENECK_PIXELS], running=RunSettings(max_image_pixels=100)
        ) as extractor,
        pytest.raises(ImageError, match="is 17 × 23, more than the limit of 100 pixels"),
    ):
        extractor.image_side.decode(str(tmp_path / "1.png"))


def test_a_decoder_of_another_number_of_channels_fails_only_its_images(tmp_path, graph_2015):
    """`channels=0` decodes a grey JPEG to one channel, which no RGB network takes."""
    graph_def = tf.compat.v1.GraphDef.FromString(graph_2015.read_bytes())
    next(n for n in graph_def.node if n.op == "DecodeJpeg").attr["channels"].i = 0
    path = tmp_path / "any_channels.pb"
    path.write_bytes(graph_def.SerializeToString())
    (tmp_path / "grey.jpg").write_bytes(AS_TENSORFLOW["JPEG grey"])
    (tmp_path / "colour.jpg").write_bytes(AS_TENSORFLOW["JPEG"])
    with open_2015(path) as extractor:
        results = results_of(extractor, [tmp_path / "grey.jpg", tmp_path / "colour.jpg"])
    grey, colour = results.values()
    assert str(grey) == (
        "comes out of the graph's image side as [1, 16, 16, 1] instead of [1, 16, 16, 3]"
    )
    assert len(colour) == 1


def test_raw_pixels_are_resized_by_pillow_and_not_scaled(graph_2015, pixel_graph, tmp_path):
    (tmp_path / "1.jpg").write_bytes(AS_TENSORFLOW["JPEG CMYK"])
    with Image.open(tmp_path / "1.jpg") as image:
        rgb = image.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
    expected = np.asarray(rgb, np.float32)
    for graph, fetch in ((graph_2015, tiny.BOTTLENECK_2015), (pixel_graph, "maps:0")):
        frozen = tiny.opened(graph, fetch)
        with Extractor(tiny.fed_raw(frozen), [fetch], None) as extractor:
            pixels = extractor.image_side.prepare(str(tmp_path / "1.jpg"))
            assert pixels.dtype == np.float32
            np.testing.assert_array_equal(pixels, expected)
            [value] = results_of(extractor, [tmp_path / "1.jpg"])[str(tmp_path / "1.jpg")]
        feed = {frozen.spec.pixel_input: expected[np.newaxis]}
        [wanted] = tiny.run_untouched(graph, fetch, feed)
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=EXACT)


@pytest.mark.parametrize("resize", ["nearest", "bicubic", "lanczos", "tf_bilinear"])
def test_a_resize_of_choice_comes_before_the_scaling(pixel_graph, tmp_path, resize):
    (tmp_path / "1.jpg").write_bytes(AS_TENSORFLOW["JPEG"])
    frozen = tiny.opened(pixel_graph, "maps:0")
    spec = dataclasses.replace(frozen.spec, resize=resize, mean=(10.0, 20.0, 30.0), std=64.0)
    with ImagePreparation(dataclasses.replace(frozen, spec=spec)) as side:
        pixels = side.prepare(str(tmp_path / "1.jpg"))
    if resize == "tf_bilinear":
        decoded = tf.io.decode_image(AS_TENSORFLOW["JPEG"], 3)
        resized = tf.image.resize(decoded, (16, 16)).numpy()
    else:
        with Image.open(tmp_path / "1.jpg") as image:
            filtered = image.convert("RGB").resize((16, 16), Image.Resampling[resize.upper()])
        resized = np.asarray(filtered, np.float32)
    expected = (resized - np.array([10, 20, 30], np.float32)) / 64
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=1e-6)


# --- distorted images ---


def test_scale_takes_resized_images(graph_2015, pixel_extractor):
    resized = np.random.default_rng(3).uniform(0, 255, (16, 16, 3)).astype(np.float32)
    with open_2015(graph_2015) as extractor:
        np.testing.assert_allclose(
            extractor.image_side.scale(resized), (resized - 128) / 128, atol=1e-6
        )
    expected = (resized - 127.5) / 127.5
    np.testing.assert_allclose(pixel_extractor.image_side.scale(resized), expected, atol=1e-6)


# --- what is no file ---


def as_anything(path):
    """One image in every form that is taken."""
    with Image.open(path) as image:
        lazy, pixels = Image.open(path), np.asarray(image.convert("RGB"))
    return [str(path), path, path.read_bytes(), lazy, pixels, pixels[:, ::-1][:, ::-1]]


def test_images_in_any_form_have_the_same_values(pixel_extractor, graph_2015, tmp_path):
    path = tmp_path / "image.png"
    COLOUR.save(path)
    with open_2015(graph_2015) as old:
        for extractor in (pixel_extractor, old):
            results = [result for _, result in extractor.extract(as_anything(path))]
            for (vector,) in results:
                np.testing.assert_array_equal(vector, results[0][0])


def test_the_same_pillow_image_may_be_there_twice(pixel_extractor, photos):
    """A Pillow image reads its file when it is first used: not in two threads at once."""
    for path in sorted(photos.rglob("*.jpg")):
        results = [result for _, result in pixel_extractor.extract([Image.open(path)] * 12)]
        for (vector,) in results:
            np.testing.assert_array_equal(vector, results[0][0])


def test_raw_pixels_in_any_form(pixel_graph, tmp_path):
    path = tmp_path / "image.png"
    COLOUR.save(path)
    expected = np.asarray(COLOUR.resize((16, 16), Image.Resampling.BILINEAR), np.float32)
    frozen = tiny.opened(pixel_graph, "maps:0")
    with ImagePreparation(tiny.fed_raw(frozen)) as side:
        for image in as_anything(path):
            np.testing.assert_array_equal(side.prepare(image), expected)
