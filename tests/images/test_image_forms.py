"""Images that are no files: bytes, Pillow images, arrays; and what they are called."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from retrain_tools.images.decode import (
    FORMATS,
    ImageError,
    image_name,
    named_images,
    read_image,
)

from .drawn import COLOUR, RGBA, WITH_ALPHA, encoded

# pytest undoes the filter that the module sets when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


def test_bytes_are_an_encoded_image():
    data = encoded(COLOUR, "PNG")
    assert read_image(data) == (data, next(form for form in FORMATS if form.name == "PNG"))
    for wrong, why in ((b"", "is empty"), (b"x", "is not a JPEG, PNG, GIF, BMP or WebP image")):
        with pytest.raises(ImageError) as error:
            read_image(wrong)
        assert str(error.value) == why


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK"])
def test_a_pillow_image_is_what_its_file_would_be(mode):
    image = COLOUR.quantize(16) if mode == "P" else WITH_ALPHA.convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGBA"))[:, :, :3]
        for given in (image, Image.open(io.BytesIO(data))):  # in memory, and not yet read
            np.testing.assert_array_equal(read_image(given), expected)


def test_a_pillow_image_that_is_cut_off():
    opened = Image.open(io.BytesIO(encoded(COLOUR, "PNG")[:-200]))
    with pytest.raises(ImageError, match=r"^cannot be decoded: "):
        read_image(opened)


def test_an_array_is_taken_as_it_is():
    pixels = RGBA[:, :, :3]
    assert read_image(pixels) is pixels


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.zeros((4, 5, 3), np.float32), "is an array of float32 [4, 5, 3]"),
        (np.zeros((4, 5), np.uint8), "is an array of uint8 [4, 5]"),
        (np.zeros((4, 5, 4), np.uint8), "is an array of uint8 [4, 5, 4]"),
        (np.zeros((1, 4, 5, 3), np.uint8), "is an array of uint8 [1, 4, 5, 3]"),
        (np.zeros((0, 5, 3), np.uint8), "is an array of uint8 [0, 5, 3]"),
    ],
)
def test_an_array_of_another_dtype_or_shape(image, why):
    with pytest.raises(ImageError) as error:
        read_image(image)
    assert str(error.value) == f"{why}; it takes uint8 [H, W, 3]"


@pytest.mark.parametrize("image", [None, 3, ["a.jpg"], {"image": b""}])
def test_something_that_is_never_an_image(image):
    with pytest.raises(ImageError) as error:
        read_image(image)
    assert str(error.value) == (
        f"is of type {type(image).__name__}; it takes a path, bytes, a Pillow image or a uint8 "
        "array [H, W, 3]"
    )


@pytest.mark.parametrize("image", [np.zeros((5, 20, 3), np.uint8), Image.new("L", (20, 5))])
def test_the_limit_holds_for_pixels_too(image):
    assert read_image(image, max_pixels=100).shape == (5, 20, 3)
    with pytest.raises(ImageError, match=r"^is 20 × 5, more than the limit of 99 pixels$"):
        read_image(image, max_pixels=99)


def test_a_path_that_no_system_has():
    with pytest.raises(ImageError, match=r"^cannot be read: .*null"):
        read_image("a\0b.jpg")


def test_names_of_images(tmp_path):
    given = ["a.jpg", tmp_path, b"", COLOUR, "a.jpg", RGBA[:, :, :3]]
    assert [image_name(image, 7) for image in given[:3]] == ["a.jpg", str(tmp_path), "images[7]"]
    named = named_images(given)
    assert list(named) == ["a.jpg", str(tmp_path), "images[2]", "images[3]", "images[5]"]
    assert named[str(tmp_path)] == str(tmp_path)
    assert named["images[3]"] is COLOUR
