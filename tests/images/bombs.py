"""Small files of large images: what only claims to be huge, and what costs far more than it has."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from .damaged import SIGNATURE, chunk, patched
from .drawn import encoded


def claims() -> Iterator[tuple[str, bytes, str]]:
    """Yield files of a few bytes that claim to be huge: name, content, and their size."""
    small = Image.new("RGB", (8, 8))
    jpeg = encoded(small, "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    yield "all.jpg", patched(jpeg, at, b"\xff\xdc\xff\xdc"), "65500 × 65500"
    yield "much.jpg", patched(jpeg, at, b"\x10\0\x10\0"), "4096 × 4096"
    for name, side in (("all.png", 2**31 - 1), ("much.png", 30_000), ("some.png", 1001)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        rest = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        yield name, SIGNATURE + head + rest, f"{side} × {side}"
    gif = encoded(small, "GIF")
    yield "all.gif", patched(gif, 6, b"\xff\xff\xff\xff"), "65535 × 65535"
    image = gif.index(b"\x2c\0\0\0\0")
    yield "in its frame.gif", patched(gif, image + 5, b"\xff\xff\xff\xff"), "65535 × 65535"
    bmp = encoded(small, "BMP")
    for name, side in (("all.bmp", 2**31 - 1), ("much.bmp", 30_000)):
        yield name, patched(bmp, 18, struct.pack("<ii", side, side)), f"{side} × {side}"
    webp = encoded(small, "WEBP", icc_profile=b"x" * 50)
    yield "all.webp", patched(webp, 24, b"\xff" * 6), "16777216 × 16777216"
    lossy = encoded(small, "WEBP")
    yield "lossy.webp", patched(lossy, 26, b"\xff\x3f\xff\x3f"), "16383 × 16383"
    lossless = encoded(small, "WEBP", lossless=True)
    yield "lossless.webp", patched(lossless, 21, b"\xff\xff\xff\x0f"), "16384 × 16384"


def with_scans(jpeg: bytes, count: int) -> bytes:
    """Return a progressive JPEG with the last of its scans again and again."""
    last = jpeg[jpeg.rindex(b"\xff\xda") : jpeg.rindex(b"\xff\xd9")]
    return jpeg[: jpeg.rindex(b"\xff\xd9")] + last * (count - jpeg.count(b"\xff\xda")) + b"\xff\xd9"
