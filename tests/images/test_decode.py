"""Reading image files: the format by content, what Pillow decodes, and every reason to refuse."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from retrain_tools.images.decode import (
    FORMATS,
    MAX_PIXELS,
    Decoder,
    ImageError,
    decode_with_pillow,
    read_image,
    resize_with_pillow,
)
from retrain_tools.quiet_tensorflow import tf

from .drawn import COLOUR, RGBA, WITH_ALPHA, encoded

# pytest undoes the filter that the module sets when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


def png_that_claims(width, height):
    """A PNG of a few bytes whose header says that it is huge."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def read(tmp_path, data, name="image.jpg", **options):
    path = tmp_path / name
    path.write_bytes(data)
    return read_image(str(path), **options)


def reason(tmp_path, data, **options):
    with pytest.raises(ImageError) as error:
        read(tmp_path, data, **options)
    return str(error.value)


@pytest.mark.parametrize("form", FORMATS, ids=[form.name for form in FORMATS])
@pytest.mark.parametrize("name", ["right", "wrong.jpg", "wrong.png"])
def test_the_format_is_told_by_content_not_by_name(tmp_path, form, name):
    data = encoded(COLOUR, form.pillow)
    assert read(tmp_path, data, name) == (data, form)


def test_a_phone_s_multi_picture_jpeg_is_a_jpeg(tmp_path):
    data = encoded(COLOUR, "MPO", save_all=True, append_images=[COLOUR])
    assert read(tmp_path, data).form.name == "JPEG"


BMP_24 = encoded(COLOUR, "BMP")
PILLOW_IS_TENSORFLOW = {
    "BMP 24 bits": BMP_24,
    "BMP 32 bits": encoded(WITH_ALPHA, "BMP"),
    "BMP 8 bits grey": encoded(COLOUR.convert("L"), "BMP"),
    "WebP lossless": encoded(COLOUR, "WEBP", lossless=True),
    "WebP lossy": encoded(COLOUR, "WEBP", quality=70),
}


def skip_where_tensorflow_has_no(kind):
    if "WebP" in kind and not hasattr(tf.raw_ops, "DecodeWebP"):
        pytest.skip("this TensorFlow decodes no WebP to compare with")


@pytest.mark.parametrize("kind", PILLOW_IS_TENSORFLOW)
def test_pillow_decodes_what_tensorflow_decodes(kind):
    skip_where_tensorflow_has_no(kind)
    data = PILLOW_IS_TENSORFLOW[kind]
    decoded = decode_with_pillow(data)
    assert decoded.dtype == np.uint8
    expected = tf.io.decode_image(data, channels=3, expand_animations=False)
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("lossless", [True, False])
def test_alpha_of_a_webp_is_dropped_not_blended(lossless):
    """TensorFlow decodes a WebP with alpha only to four channels."""
    skip_where_tensorflow_has_no("WebP")
    data = encoded(WITH_ALPHA, "WEBP", lossless=lossless, exact=True)
    expected = tf.io.decode_image(data, channels=4, expand_animations=False)[:, :, :3]
    np.testing.assert_array_equal(decode_with_pillow(data), expected)


def test_the_first_frame_of_an_animated_webp():
    frames = {"save_all": True, "append_images": [Image.new("RGB", COLOUR.size)]}
    data = encoded(COLOUR, "WEBP", lossless=True, **frames)
    np.testing.assert_array_equal(decode_with_pillow(data), RGBA[:, :, :3])


def test_a_bmp_of_indexed_colours():
    """TensorFlow takes the indices for grey values; the image is what the palette says."""
    indexed = COLOUR.quantize(16)
    data = encoded(indexed, "BMP")
    np.testing.assert_array_equal(decode_with_pillow(data), np.asarray(indexed.convert("RGB")))


def test_a_bmp_of_one_bit():
    """TensorFlow has no decoder for it."""
    black_and_white = COLOUR.convert("1")
    expected = np.repeat(np.asarray(black_and_white, np.uint8)[:, :, None] * 255, 3, axis=2)
    np.testing.assert_array_equal(decode_with_pillow(encoded(black_and_white, "BMP")), expected)


def test_an_empty_file(tmp_path):
    assert reason(tmp_path, b"") == "is empty"


@pytest.mark.parametrize("data", [b"not an image", b"<html>404</html>", b"\0" * 1000, b"\xff\xd8"])
def test_something_that_is_no_image(tmp_path, data):
    assert reason(tmp_path, data) == "is not a JPEG, PNG, GIF, BMP or WebP image"


def test_an_image_of_another_format(tmp_path):
    data = encoded(COLOUR, "TIFF")
    assert reason(tmp_path, data) == "is not a JPEG, PNG, GIF, BMP or WebP image"


def test_a_damaged_header(tmp_path):
    data = encoded(COLOUR, "WEBP")
    assert reason(tmp_path, data[:16]).startswith("has a damaged header: ")


def test_an_image_cut_off():
    for data in (BMP_24[:-40], encoded(COLOUR, "WEBP")[:-20]):
        with pytest.raises(ImageError, match=r"^cannot be decoded: "):
            decode_with_pillow(data)


def test_a_folder_a_broken_link_and_a_missing_file(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    for path, why in (
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "link.jpg", "cannot be read: No such file or directory"),
        (tmp_path / "gone.jpg", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(ImageError) as error:
            read_image(str(path))
        assert str(error.value) == why


@pytest.mark.parametrize(
    ("width", "height", "why"),
    [
        (9_460, 9_460, "is 9460 × 9460, more than the limit of 89,478,485 pixels"),
        (50_000, 50_000, "is larger than the limit of 89,478,485 pixels"),
    ],
)
def test_a_small_file_that_claims_to_be_huge(tmp_path, width, height, why):
    assert width * height > MAX_PIXELS
    data = png_that_claims(width, height)
    assert len(data) < 100
    assert reason(tmp_path, data) == why


def test_the_limit_can_be_moved_and_is_told_truly(tmp_path):
    assert read(tmp_path, png_that_claims(20, 5), max_pixels=100).form.name == "PNG"
    assert reason(tmp_path, png_that_claims(20, 5), max_pixels=99) == (
        "is 20 × 5, more than the limit of 99 pixels"
    )
    assert read(tmp_path, png_that_claims(10_000, 10_000), max_pixels=10**8).form.name == "PNG"
    # Pillow's own refusal cannot be moved.
    assert reason(tmp_path, png_that_claims(20_000, 20_000), max_pixels=10**9) == (
        "is larger than the limit of 178,956,970 pixels"
    )


STARTS = [encoded(COLOUR, f)[:60] for f in ("JPEG", "PNG", "GIF", "BMP", "WEBP")]


@given(st.binary(max_size=200), st.sampled_from([b"", *STARTS]))
def test_random_bytes_are_refused_with_a_reason_or_read(tmp_path_factory, data, start):
    path = tmp_path_factory.getbasetemp() / "random.bin"
    path.write_bytes(start + data)
    try:
        if read_image(str(path)).form.decoder is Decoder.PILLOW:
            decode_with_pillow(start + data)
    except ImageError as error:
        assert str(error)


@given(st.sampled_from(list(PILLOW_IS_TENSORFLOW)), st.data())
def test_changed_bytes_are_refused_with_a_reason_or_decoded(tmp_path_factory, kind, data):
    damaged = bytearray(PILLOW_IS_TENSORFLOW[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(damaged)
    try:
        if read_image(str(path), max_pixels=100_000).form.decoder is Decoder.PILLOW:
            assert decode_with_pillow(bytes(damaged)).shape[2] == 3
    except ImageError as error:
        assert str(error)


# --- resized by Pillow, for raw pixels ---

AS_RGB = {
    "JPEG": encoded(COLOUR, "JPEG"),
    "JPEG grey": encoded(COLOUR.convert("L"), "JPEG"),
    "JPEG CMYK": encoded(COLOUR.convert("CMYK"), "JPEG"),
    "JPEG turned": encoded(COLOUR, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03"
                           b"\0\0\0\x01\0\x06\0\0\0\0\0\0"),
    "PNG": encoded(COLOUR, "PNG"),
    "PNG palette": encoded(COLOUR.quantize(16), "PNG"),
    "PNG grey": encoded(COLOUR.convert("L"), "PNG"),
    "PNG 1 bit": encoded(COLOUR.convert("1"), "PNG"),
    "PNG 16 bits": encoded(Image.fromarray(np.arange(117, dtype=np.uint16).reshape(13, 9)), "PNG"),
    "GIF": encoded(COLOUR.quantize(16), "GIF"),
    "BMP": BMP_24,
    "WebP": encoded(COLOUR, "WEBP", lossless=True),
}  # fmt: skip


def resized(data, size):
    return resize_with_pillow(decode_with_pillow(data), size)


@pytest.mark.parametrize("data", AS_RGB.values(), ids=AS_RGB)
@pytest.mark.parametrize(("height", "width"), [(5, 4), (40, 20), (13, 9), (1, 1)])
def test_an_image_is_resized_as_scipy_s_imresize_did(data, height, width):
    """imresize(numpy.array(Image.open(file).convert('RGB')), (height, width)), written out."""
    with Image.open(io.BytesIO(data)) as image:
        expected = Image.fromarray(np.array(image.convert("RGB")))
    expected = np.array(expected.resize((width, height), resample=Image.Resampling.BILINEAR))
    found = resized(data, (height, width))
    assert (found.dtype, found.shape) == (np.uint8, (height, width, 3))
    np.testing.assert_array_equal(found, expected)


def test_resizing_averages_where_it_shrinks():
    """Which TensorFlow's bilinear resizing does not: that is why the two give other features."""
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[::2] = 254
    data = encoded(Image.fromarray(stripes), "PNG")
    assert abs(int(resized(data, (1, 1))[0, 0, 0]) - 127) <= 1


def test_alpha_is_dropped_before_resizing():
    clear = np.full((4, 4, 4), (200, 100, 50, 0), np.uint8)
    clear[:2, :, 3] = 255
    data = encoded(Image.fromarray(clear), "PNG")
    assert np.unique(resized(data, (2, 2)).reshape(-1, 3), axis=0).tolist() == [[200, 100, 50]]
    black = Image.fromarray(np.zeros((4, 4), np.uint8)).convert("P")
    data = encoded(black, "PNG", transparency=0)
    assert resized(data, (2, 2)).max() == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WebP"])
def test_an_image_cut_off_cannot_be_resized(kind):
    with pytest.raises(ImageError, match=r"^cannot be decoded: ") as error:
        resized(AS_RGB[kind][:-50], (8, 8))
    assert "\n" not in str(error.value)


@given(st.sampled_from(list(AS_RGB)), st.data())
@settings(max_examples=400, deadline=None)
def test_changed_bytes_are_refused_with_a_reason_or_resized(tmp_path_factory, kind, data):
    damaged = bytearray(AS_RGB[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(damaged)
    try:
        read_image(str(path), max_pixels=100_000)
        assert resized(bytes(damaged), (8, 8)).shape == (8, 8, 3)
    except ImageError as error:
        assert str(error)
