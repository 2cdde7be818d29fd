"""Bad and odd images, three hundred of them, and what is to become of each.

`odd_files()` is the table; `make(folder)` writes it. Damage of one format is in `damaged.py`.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from . import bombs, damaged
from .drawn import encoded

MAX_PIXELS = 1_000_000
"""The `--max_image_pixels` that the table is made for."""

NOT_AN_IMAGE = "is not a JPEG, PNG, GIF, BMP or WebP image"


class Failure(NamedTuple):
    """A failure of a kind, with a reason that matches a pattern as a whole."""

    kind: str
    reason: str


class Odd(NamedTuple):
    """A file: its name below its folder, what makes it, and what becomes of it.

    Attributes:
        name: as bytes, as systems have names.
        content: what it holds, or what puts it to a path.
        expected: None for a result; `left out` for what is no image by its name.
        as_text: the same for a cache of text files, where that is another.
    """

    name: bytes
    content: bytes | Callable[[bytes], None]
    expected: Failure | str | None = None
    as_text: Failure | None = None


PHOTO = Image.fromarray(np.random.default_rng(7).integers(0, 256, (40, 50, 3), np.uint8))
GOOD = encoded(PHOTO, "JPEG")


@functools.cache
def odd_files() -> tuple[Odd, ...]:
    """Return the table, each name once."""
    found = [*_of_formats(), *_other_files(), *_not_regular(), *_bombs(), *_names(), *_modes()]
    assert len({one.name for one in found}) == len(found)
    return tuple(found)


def make(folder: Path, wanted: Callable[[Odd], bool] = lambda _: True) -> None:
    """Write the files of the table that are wanted to a folder."""
    for one in filter(wanted, odd_files()):
        path = os.path.join(os.fsencode(folder), one.name)  # noqa: PTH118 - a name that is no text
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        if isinstance(one.content, bytes):
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(one.content)
        else:
            one.content(path)


def _of_formats() -> Iterator[Odd]:
    for name, (data, reason) in damaged.all_damaged(PHOTO).items():
        expected = None if reason is None else Failure("image", reason)
        yield Odd(f"{name}".encode(), data, expected)


def _other_files() -> Iterator[Odd]:
    """Yield what only its name makes an image, and images under the name of another format."""
    others = {
        "text": b"not an image\n",
        "html": b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>",
        "json": b'{"error": "rate limited"}',
        "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "pdf": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
        "zip": b"PK\x03\x04" + bytes(26),
        "gzip": b"\x1f\x8b\x08" + bytes(20),
        "elf": b"\x7fELF" + bytes(60),
        "script": b"#!/bin/sh\necho hello\n",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "one byte": b"\xff",
        "heic": b"\0\0\0\x18ftypheic" + bytes(64),
        "avif": b"\0\0\0\x18ftypavif" + bytes(64),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
        "jpeg xl": b"\xff\x0a" + bytes(64),
        "psd": b"8BPS\0\x01" + bytes(64),
        "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "tiff": encoded(PHOTO, "TIFF"),
        "ico": encoded(PHOTO, "ICO"),
        "ppm": encoded(PHOTO, "PPM"),
        "riff of sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(32),
        "noise": np.random.default_rng(1).bytes(3000),
    }
    for name, data in others.items():
        yield Odd(f"{name}.jpg".encode(), data, Failure("image", NOT_AN_IMAGE))
    yield Odd(b"empty.jpg", b"", Failure("image", "is empty"))
    for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        for end in ("jpg", "png", "gif", "bmp", "webp"):
            if (form, end) not in {("JPEG", "jpg"), (form, form.lower())}:
                yield Odd(f"really {form}.{end}".encode(), encoded(PHOTO, form))
    yield Odd(b"photo.txt", GOOD, "left out")
    yield Odd(b"photo.tif", encoded(PHOTO, "TIFF"), "left out")
    yield Odd(b"no end", GOOD, "left out")


def _linked_to(target: bytes) -> Callable[[bytes], None]:
    return lambda path: os.symlink(target, path)  # noqa: PTH211


def _socket_at(path: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as one:  # whose path may be too long: from its folder
        back = os.getcwd()  # noqa: PTH109
        os.chdir(os.path.dirname(path))  # noqa: PTH120
        try:
            one.bind(os.path.basename(path))  # noqa: PTH119
        finally:
            os.chdir(back)


def _sparse(size: int) -> Callable[[bytes], None]:
    def put(path: bytes) -> None:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(GOOD)
            file.truncate(size)

    return put


def _unreadable(path: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(GOOD)
    os.chmod(path, 0)  # noqa: PTH101


UNREADABLE = b"unreadable.jpg"
"""What only a process without root's rights cannot read."""


def _not_regular() -> Iterator[Odd]:
    def fails(what: str) -> Failure:
        return Failure("reading", f"cannot be read: {what}")

    loop, gone = fails("Too many levels of symbolic links"), fails("No such file or directory")
    yield Odd(b"pipe.jpg", os.mkfifo, fails("it is a named pipe"))
    yield Odd(b"link to a pipe.jpg", _linked_to(b"pipe.jpg"), fails("it is a named pipe"))
    yield Odd(b"socket.jpg", _socket_at, fails("it is a socket"))
    for device in ("zero", "null", "full", "urandom", "tty"):
        expected = fails("it is a device")
        yield Odd(f"{device}.jpg".encode(), _linked_to(f"/dev/{device}".encode()), expected)
    yield Odd(b"itself.jpg", _linked_to(b"itself.jpg"), loop)
    yield Odd(b"round.jpg", _linked_to(b"and round.jpg"), loop)
    yield Odd(b"and round.jpg", _linked_to(b"round.jpg"), loop)
    yield Odd(b"dangling.jpg", _linked_to(b"nowhere.jpg"), gone)
    yield Odd(b"through a file.jpg", _linked_to(b"text.jpg/x"), fails("Not a directory"))
    yield Odd(b"to memory.jpg", _linked_to(b"/proc/self/mem"), Failure("image", "is empty"))
    yield Odd(b"to nothing of proc.jpg", _linked_to(b"/proc/version"), Failure("image", "is empty"))
    yield Odd(b"link.jpg", _linked_to(b"really JPEG.png"))
    yield Odd(b"a folder.jpg/inside.jpg", GOOD)
    yield Odd(b"linked folder.jpg", _linked_to(b"a folder.jpg"), "left out")  # seen already
    yield Odd(b"up/back.jpg", _linked_to(b".."), "left out")
    yield Odd(b"an empty folder.jpg", os.mkdir, "left out")
    yield Odd(UNREADABLE, _unreadable, fails("Permission denied"))
    too_much = f"it has 42,949,672,960 bytes, and {8 * MAX_PIXELS + (1 << 24):,} are the most"
    yield Odd(b"forty gigabytes.jpg", _sparse(40 << 30), fails(too_much))
    yield Odd(
        b"too long for its pixels.jpg",
        _sparse(20_000_000),
        Failure("image", "has 20,000,000 bytes, and an image of 50 × 40 has 16,793,216 at most"),
    )


def _bombs() -> Iterator[Odd]:
    """Yield small files of large images: claimed, and real ones."""
    for name, data, size in bombs.claims():
        limit = rf"is {size}, more than the limit of {MAX_PIXELS:,} pixels"
        larger = f"is larger than the limit of {MAX_PIXELS:,} pixels"
        yield Odd(f"claims {name}".encode(), data, Failure("image", f"{limit}|{larger}"))
    large, flat = Image.new("RGB", (2000, 2000)), Image.new("P", (2000, 2000))
    real = {
        "jpg": encoded(large, "JPEG"),
        "progressive.jpg": encoded(large, "JPEG", progressive=True),
        "png": encoded(large, "PNG"),
        "16 bits.png": encoded(Image.fromarray(np.zeros((2000, 2000), np.uint16)), "PNG"),
        "gif": encoded(flat, "GIF"),
        "bmp": encoded(large.convert("1"), "BMP"),
        "webp": encoded(large, "WEBP", lossless=True),
    }
    limit = f"is 2000 × 2000, more than the limit of {MAX_PIXELS:,} pixels"
    for end, data in real.items():
        yield Odd(f"bomb.{end}".encode(), data, Failure("image", limit))
    frames = [Image.new("P", (1000, 1000), number) for number in range(200)]
    yield Odd(b"200 frames.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    yield Odd(
        b"a thousand scans.jpg",
        bombs.with_scans(encoded(large.resize((900, 900)), "JPEG", progressive=True), 1000),
        Failure("image", "has more scans than any encoder writes, which only take time"),
    )


def _names() -> Iterator[Odd]:
    """Yield good photos under odd names, and where those are in the way of each other."""
    names = [
        "ünïcödé", "e\u0301 decomposed", "日本語", "🦜", "\u202egnp right to left", "no\u200bwidth",
        "two\nlines", "carriage\rreturn", "tab\tin it", "\x1b[2Jescape", "bell\x07", "del\x7f",
        "line\u2028separator", "-leading dash", "--graph=x", " leading space", "trailing space ",
        "quote\"s and 'these'", "comma,and;semicolon", "$(touch x)", "`touch x`", "%s%n%d",
        "back\\slash", "=1+1", "@sum", "a*b?c[d]", "~", "#hash", "&amp;<b>", "CON", "a.jpg",
        "a.png.jpg", "..", ".x", "x" * 200,
    ]  # fmt: skip
    for name in names:
        is_hidden = name.startswith(".")
        yield Odd(f"{name}.jpg".encode(), GOOD, "left out" if is_hidden else None)
    for end in ("JPG", "Jpg", "JPEG", "jpeg"):
        yield Odd(f"upper.{end}".encode(), GOOD)
    yield Odd(b"latin\xe9.jpg", GOOD)
    yield Odd(b"\xff\xfe.jpg", GOOD)
    yield Odd(b"cut \xe2\x82.jpg", GOOD)
    yield Odd(b".hidden.jpg", GOOD, "left out")
    yield Odd(b".jpg", GOOD, "left out")
    yield Odd(b".hidden folder/x.jpg", GOOD, "left out")
    too_long = Failure("image", "its bottleneck file cannot be written: File name too long")
    for length in (251, 252, 255):
        expected = too_long if length > 251 else None
        yield Odd(b"n" * (length - 4) + b".jpg", GOOD, None, expected)
    yield Odd("é".encode() * 125 + b".jpg", GOOD, None, too_long)
    # Bottlenecks of one in the place of another's folder; sorted, the first one gets it.
    in_the_way = Failure(
        "image", "its bottleneck file cannot be written: (Not a directory|File exists)"
    )
    yield Odd(b"taken.jpg", GOOD)
    yield Odd(b"taken.jpg.txt/x.jpg", GOOD, None, in_the_way)
    yield Odd(b"taken.jpg.txt/deep/y.jpg", GOOD, None, in_the_way)
    yield Odd(b"pair.jpg", GOOD)
    yield Odd(b"pair.jpeg", GOOD)
    yield Odd(b"pair.jpg.jpg", GOOD)


def _modes() -> Iterator[Odd]:
    """Yield images that are good, and seldom."""
    strip, noise = Image.new("RGB", (1, 1), (9, 8, 7)), PHOTO.convert("RGBA")
    exif, icc = Image.Exif(), b"no profile at all"
    exif[0x0112] = 6
    indexed = PHOTO.quantize(16)
    cmyk = PHOTO.convert("CMYK")
    frames = [PHOTO.rotate(angle) for angle in (90, 180)]
    for form, end in (("JPEG", "jpg"), ("PNG", "png"), ("GIF", "gif"), ("BMP", "bmp")):
        for size in ((1, 1), (1, 20_000), (20_000, 1), (2, 3)):
            yield Odd(f"{size[0]} by {size[1]}.{end}".encode(), encoded(strip.resize(size), form))
    for size in ((1, 1), (1, 16_383), (16_383, 1)):
        yield Odd(f"{size[0]} by {size[1]}.webp".encode(), encoded(strip.resize(size), "WEBP"))
    good = {
        "cmyk.jpg": encoded(cmyk, "JPEG"),
        "cmyk progressive.jpg": encoded(cmyk, "JPEG", progressive=True),
        "ycck.jpg": damaged.as_ycck(encoded(cmyk, "JPEG")),
        "grey.jpg": encoded(PHOTO.convert("L"), "JPEG"),
        "progressive.jpg": encoded(PHOTO, "JPEG", progressive=True),
        "restarts.jpg": encoded(PHOTO, "JPEG", restart_marker_blocks=2),
        "sampled 4:4:4.jpg": encoded(PHOTO, "JPEG", subsampling=0),
        "sampled 4:2:2.jpg": encoded(PHOTO, "JPEG", subsampling=1),
        "quality 1.jpg": encoded(PHOTO, "JPEG", quality=1),
        "rgb.jpg": encoded(PHOTO, "JPEG", keep_rgb=True),
        "two in one.jpg": encoded(PHOTO, "MPO", save_all=True, append_images=frames),
        "rotated by exif.jpg": encoded(PHOTO, "JPEG", exif=exif),
        "rotated by exif.png": encoded(PHOTO, "PNG", exif=exif),
        "rotated by exif.webp": encoded(PHOTO, "WEBP", exif=exif),
        "broken icc.jpg": encoded(PHOTO, "JPEG", icc_profile=icc),
        "broken icc.png": encoded(PHOTO, "PNG", icc_profile=icc),
        "broken icc.webp": encoded(PHOTO, "WEBP", icc_profile=icc),
        "16 bits grey.png": encoded(Image.fromarray(np.arange(2000, dtype=np.uint16)[None]), "PNG"),
        "1 bit.png": encoded(PHOTO.convert("1"), "PNG"),
        "grey.png": encoded(PHOTO.convert("L"), "PNG"),
        "grey with alpha.png": encoded(PHOTO.convert("LA"), "PNG"),
        "alpha.png": encoded(noise, "PNG"),
        "indexed.png": encoded(indexed, "PNG"),
        "indexed of 2 bits.png": encoded(PHOTO.quantize(4), "PNG", bits=2),
        "indexed with a clear colour.png": encoded(indexed, "PNG", transparency=3),
        "indexed with alpha.png": encoded(indexed, "PNG", transparency=bytes(range(0, 160, 10))),
        "a clear colour.png": encoded(PHOTO, "PNG", transparency=(1, 2, 3)),
        "animated.png": encoded(PHOTO, "PNG", save_all=True, append_images=frames),
        "animated.gif": encoded(PHOTO, "GIF", save_all=True, append_images=frames),
        "animated.webp": encoded(PHOTO, "WEBP", save_all=True, append_images=frames),
        "clear colour.gif": encoded(indexed, "GIF", transparency=3),
        "interlaced.gif": encoded(indexed, "GIF", interlace=1),
        "alpha.webp": encoded(noise, "WEBP"),
        "lossless.webp": encoded(PHOTO, "WEBP", lossless=True),
        "1 bit.bmp": encoded(PHOTO.convert("1"), "BMP"),
        "grey.bmp": encoded(PHOTO.convert("L"), "BMP"),
        "indexed.bmp": encoded(indexed, "BMP"),
        "alpha.bmp": encoded(noise, "BMP"),
    }
    for name, data in good.items():
        yield Odd(f"seldom {name}".encode(), data)
