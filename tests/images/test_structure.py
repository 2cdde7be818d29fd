"""What costs far more than its bytes is told before it is decoded: frames, scans, WebP's canvas."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from retrain_tools.images.decode import ImageError, read_image
from retrain_tools.images.structure import (
    WEBP_HEADER_BYTES,
    first_frame,
    has_too_many_scans,
    webp_size,
)
from retrain_tools.quiet_tensorflow import tf

from .bombs import with_scans
from .drawn import COLOUR, WITH_ALPHA, encoded

FRAMES = [COLOUR.quantize(16), *(Image.new("P", COLOUR.size, number) for number in range(3))]
ANIMATED = {
    "plain": encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
    "interlaced": encoded(COLOUR, "GIF", interlace=1, save_all=True, append_images=FRAMES),
    "with a comment": encoded(
        COLOUR, "GIF", comment=b"x;,!" * 99, save_all=True, append_images=FRAMES
    ),
    "of one frame": encoded(COLOUR, "GIF"),
    "of one colour": encoded(Image.new("P", (5, 4), 3), "GIF"),
}


def decoded(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()


@pytest.mark.parametrize("kind", ANIMATED)
def test_the_first_frame_alone_has_the_pixels_that_all_frames_give(kind):
    data = ANIMATED[kind]
    alone = first_frame(data)
    np.testing.assert_array_equal(decoded(alone), decoded(data))
    assert alone.endswith(b";")
    with Image.open(io.BytesIO(alone)) as opened:
        assert opened.n_frames == 1


def test_an_image_is_read_with_its_first_frame_only():
    data = ANIMATED["plain"]
    assert read_image(data).data == first_frame(data)
    assert len(first_frame(data)) < len(data)


@pytest.mark.parametrize("end", [0, 5, 12, 13, 20, 100, -30, -2])
def test_a_gif_that_is_cut_off_loses_no_more(end):
    data = ANIMATED["of one frame"][:end]
    assert first_frame(data) == data


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 200))
def test_whatever_stands_in_a_gif_the_part_is_its_beginning(noise, place):
    data = ANIMATED["plain"]
    data = data[:place] + noise + data[place + len(noise) :]
    alone = first_frame(data)
    assert data.startswith(alone[:-1])
    assert len(alone) <= len(data)


def scans(count):
    return with_scans(encoded(COLOUR, "JPEG", progressive=True), count)


def test_a_jpeg_of_a_hundred_scans_is_read_and_of_more_is_not():
    assert read_image(scans(100)).form.name == "JPEG"
    with pytest.raises(ImageError) as raised:
        read_image(scans(101))
    assert str(raised.value) == "has more scans than any encoder writes, which only take time"


def test_what_only_looks_like_scans_does_not_count():
    looks = b"\xff\xda" * 200
    plain = encoded(COLOUR, "JPEG")
    assert not has_too_many_scans(plain + looks)
    with_comment = plain[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(looks)) + looks + plain[2:]
    assert not has_too_many_scans(with_comment)
    assert read_image(with_comment).data == with_comment


@pytest.mark.parametrize("cut", [2, 3, 20, 200, -1])
def test_scans_of_a_jpeg_that_is_cut_off_are_counted_to_its_end(cut):
    assert not has_too_many_scans(scans(101)[:cut] if cut > 0 else scans(100)[:cut])


@pytest.mark.parametrize(
    "data",
    [
        encoded(COLOUR, "WEBP"),
        encoded(COLOUR, "WEBP", lossless=True),
        encoded(WITH_ALPHA, "WEBP"),
        encoded(COLOUR, "WEBP", save_all=True, append_images=[COLOUR.rotate(180)]),
    ],
    ids=["lossy", "lossless", "with alpha", "animated"],
)
def test_the_size_of_a_webp(data):
    assert webp_size(data[:WEBP_HEADER_BYTES]) == COLOUR.size
    with pytest.raises(ValueError, match=r"^it says no size$"):
        webp_size(data[:24])
    assert webp_size(b"RIFX" + data[4:]) is None


def test_a_webp_that_claims_too_much_is_never_opened(monkeypatch):
    canvas = (16_383).to_bytes(3, "little")
    bomb = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0" * 4 + canvas * 2
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(ImageError) as raised:
        read_image(bomb)
    assert str(raised.value) == "is 16384 × 16384, more than the limit of 89,478,485 pixels"
