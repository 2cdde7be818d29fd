"""Images of each format, damaged: cut off at every marker or chunk, and wrong inside.

`all_damaged` gives (data, pattern of the reason) by file name; the pattern is None where decoders
give pixels all the same.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from retrain_tools.images.structure import first_frame

from .drawn import encoded

Damaged = dict[str, tuple[bytes, str | None]]

HEADER = r"(is not a JPEG, PNG, GIF, BMP or WebP image|has a damaged header: .+)"
DECODING = "cannot be decoded: .+"
EITHER = f"{HEADER}|{DECODING}"

_MARKER = re.compile(rb"\xff([^\x00\xff])")


def all_damaged(photo: Image.Image) -> Damaged:
    found: Damaged = {}
    for cut in (_cut_jpegs, _cut_pngs, _cut_gifs, _cut_bmps, _cut_webps):
        found |= cut(photo)
    for wrong in (_wrong_jpegs, _wrong_pngs, _wrong_gifs, _wrong_bmps, _wrong_webps):
        found |= wrong(photo)
    return found


def _cuts(name: str, end: str, data: bytes, places: dict[int, str]) -> Damaged:
    """Cut before each place, which has a name, and in the middle of what follows it."""
    found: Damaged = {}
    starts = sorted(place for place in places if 0 < place < len(data))
    for number, (start, after) in enumerate(zip(starts, [*starts[1:], len(data)], strict=True)):
        what = f"{name} cut {{}} {number:02} {places[start]}.{end}"
        found[what.format("before")] = data[:start], EITHER
        if after > start + 1:
            found[what.format("in")] = data[: (start + after) // 2], EITHER
    return found


def jpeg_markers(data: bytes) -> dict[int, str]:
    """Return where each marker of a JPEG begins, and its number."""
    found, place = {0: "d8"}, 2
    while (match := _MARKER.search(data, place)) is not None:
        marker = match[1][0]
        found[match.start()] = f"{marker:02x}"
        place = match.end()
        if not 0xD0 <= marker <= 0xD9:
            place += int.from_bytes(data[place : place + 2], "big")
    return found


def _cut_jpegs(photo: Image.Image) -> Damaged:
    found: Damaged = {}
    for name, options in (
        ("baseline", {}),
        ("progressive", {"progressive": True}),
        ("restarts", {"restart_marker_rows": 1}),
    ):
        data = encoded(photo, "JPEG", **options)
        found |= _cuts(name, "jpg", data, jpeg_markers(data))
    return found


def png_chunks(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield where each chunk begins, its kind, and what it holds."""
    place = 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        yield place, data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size


def chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _cut_pngs(photo: Image.Image) -> Damaged:
    found: Damaged = {}
    icc = {"icc_profile": b"x" * 200}
    for name, image, options in (("png", photo, icc), ("indexed", photo.quantize(16), {})):
        data = encoded(image, "PNG", **options)
        places = {place: kind.decode() for place, kind, _ in png_chunks(data)}
        found |= _cuts(name, "png", data, places)
    return found


def _cut_gifs(photo: Image.Image) -> Damaged:
    frames = [photo.rotate(90)]
    data = encoded(photo, "GIF", save_all=True, append_images=frames, comment=b"hello")
    first = data.index(b"\x2c\0\0\0\0")
    places = {6: "screen", 13: "table", data.index(b"\x21"): "extension", first: "image"}
    end = len(first_frame(data)) - 1
    places |= {first + 10: "pixels", end: "second image", len(data) - 1: "trailer"}
    found = _cuts("gif", "gif", data, places)
    return {name: (cut, None if len(cut) >= end else why) for name, (cut, why) in found.items()}


def _cut_bmps(photo: Image.Image) -> Damaged:
    data = encoded(photo.quantize(16), "BMP")
    return _cuts("bmp", "bmp", data, {2: "size", 14: "header", 18: "width", 54: "palette",
        int.from_bytes(data[10:14], "little"): "pixels", len(data) - 52: "last row"})  # fmt: skip


def _cut_webps(photo: Image.Image) -> Damaged:
    found: Damaged = {}
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, image, options in (
        ("lossy", photo, {}),
        ("lossless", photo, {"lossless": True}),
        ("extended", photo.convert("RGBA"), {"exif": exif, "icc_profile": b"x" * 50}),
        ("animated", photo, {"save_all": True, "append_images": [photo.rotate(90)]}),
    ):
        data = encoded(image, "WEBP", **options)
        places, place = {}, 12
        while place < len(data):
            places[place] = data[place : place + 4].decode().strip()
            size = int.from_bytes(data[place + 4 : place + 8], "little")
            place += 8 + size + size % 2
        found |= _cuts(name, "webp", data, places)
    return found


def patched(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def _wrong_jpegs(photo: Image.Image) -> Damaged:
    data = encoded(photo, "JPEG")
    where = {kind: place for place, kind in reversed(jpeg_markers(data).items())}
    frame, tables, scan = where["c0"], where["c4"], where["da"]
    pixels = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")

    def without(kind: str) -> bytes:
        start = where[kind]
        size = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        return data[:start] + data[start + size :]

    found: Damaged = {
        "huffman counts too large": (patched(data, tables + 5, b"\xff" * 16), EITHER),
        "huffman counts of nothing": (patched(data, tables + 5, bytes(16)), EITHER),
        "huffman class 9": (patched(data, tables + 4, b"\x99"), EITHER),
        "huffman table longer than the file": (patched(data, tables + 2, b"\xff\xff"), EITHER),
        "no quantization": (without("db"), EITHER),
        "without its own first table": (without("c4"), None),
        "no frame": (without("c0"), EITHER),
        "no scan": (without("da"), EITHER),
        "two frames": (data[:tables] + data[frame:tables] + data[tables:], EITHER),
        "no height": (patched(data, frame + 5, bytes(2)), EITHER),
        "no width": (patched(data, frame + 7, bytes(2)), EITHER),
        "12 bits": (patched(data, frame + 4, b"\x0c"), EITHER),
        "no components": (patched(data, frame + 9, b"\0"), EITHER),
        "nine components": (patched(data, frame + 9, b"\x09"), EITHER),
        "sampled by nothing": (patched(data, frame + 11, b"\0"), EITHER),
        "a table that is not there": (patched(data, frame + 12, b"\x07"), EITHER),
        "arithmetic coded": (patched(data, frame + 1, b"\xc9"), None),
        "arithmetic progressive": (patched(data, frame + 1, b"\xca"), EITHER),
        "lossless": (patched(data, frame + 1, b"\xc3"), EITHER),
        "hierarchical": (patched(data, frame + 1, b"\xc5"), EITHER),
        "segment of length 0": (patched(data, where["db"] + 2, bytes(2)), EITHER),
        "noise for pixels": (patched(data, pixels, np.random.default_rng(3).bytes(300)), EITHER),
        "zeros for pixels": (data[:pixels] + bytes(len(data) - pixels - 2) + data[-2:], None),
        "restart markers where none belong": (
            data[: pixels + 90] + b"\xff\xd3\xff\xd1" + data[pixels + 90 :], None),
        "a second start": (data[:2] + data, EITHER),
        "garbage before": (b"garbage" + data, HEADER),
        "garbage behind": (data + b"garbage" * 999, None),
        "an image behind": (data + data, None),
        "no end": (data[:-2], EITHER),
        "fill bytes": (data[:2] + b"\xff" * 50 + data[2:], None),
        "adobe of length 0": (data[:2] + b"\xff\xee\0\x02" + data[2:], None),
        "exif cut off": (data[:2] + b"\xff\xe1\0\x0aExif\0\0MM" + data[2:], None),
        "exif of noise": (
            data[:2] + b"\xff\xe1\0\x26Exif\0\0" + np.random.default_rng(5).bytes(30) + data[2:],
            None),
    }  # fmt: skip
    return {f"jpeg {name}.jpg": one for name, one in found.items()}


def _wrong_pngs(photo: Image.Image) -> Damaged:
    data = encoded(photo, "PNG")
    by_kind = {kind: content for _, kind, content in png_chunks(data)}
    head, body, last = by_kind[b"IHDR"], by_kind[b"IDAT"], chunk(b"IEND", b"")
    start, middle = SIGNATURE + chunk(b"IHDR", head), chunk(b"IDAT", body)
    palette = Image.new("P", (5, 5), 200)
    indexed = {kind: content for _, kind, content in png_chunks(encoded(palette, "PNG", bits=8))}
    coloured = SIGNATURE + chunk(b"IHDR", indexed[b"IHDR"])
    indices = chunk(b"IDAT", indexed[b"IDAT"])
    packed = b"k\0\0" + zlib.compress(bytes(64 << 20))

    def headed(place: int, value: int) -> bytes:
        return SIGNATURE + chunk(b"IHDR", patched(head, place, bytes([value]))) + middle + last

    def wrong_check(kind: bytes) -> bytes:
        place = data.index(kind) + 4 + len(by_kind[kind])
        return patched(data, place, b"\0\0\0\0")

    pieces = b"".join(chunk(b"IDAT", body[i : i + 1]) for i in range(len(body)))
    short = zlib.compress(zlib.decompress(body)[:900])
    found: Damaged = {
        "checksum of the header": (wrong_check(b"IHDR"), EITHER),
        "checksum of the pixels": (wrong_check(b"IDAT"), EITHER),
        "checksum of the end": (wrong_check(b"IEND"), EITHER),
        "no header": (SIGNATURE + middle + last, EITHER),
        "no pixels": (start + last, EITHER),
        "no end": (start + middle, EITHER),
        "two headers": (start + start[8:] + middle + last, EITHER),
        "pixels before the header": (SIGNATURE + middle + start[8:] + last, EITHER),
        "no width": (headed(3, 0), EITHER),
        "no height": (headed(7, 0), EITHER),
        "3 bits": (headed(8, 3), EITHER),
        "colour type 5": (headed(9, 5), EITHER),
        "compression 1": (headed(10, 1), EITHER),
        "filter 1": (headed(11, 1), EITHER),
        "interlace 2": (headed(12, 2), EITHER),
        "interlaced without being so": (headed(12, 1), EITHER),
        "no palette": (coloured + indices + last, EITHER),
        "palette of a broken length": (coloured + chunk(b"PLTE", b"1234") + indices + last, EITHER),
        "index behind the palette": (coloured + chunk(b"PLTE", b"123") + indices + last, None),
        "pixels that do not unpack": (start + chunk(b"IDAT", b"\0" + body[1:]) + last, EITHER),
        "pixels damaged": (start + chunk(b"IDAT", patched(body, 90, b"\xaa" * 9)) + last, EITHER),
        "too few pixels": (start + chunk(b"IDAT", short) + last, EITHER),
        "too many pixels": (start + chunk(b"IDAT", zlib.compress(zlib.decompress(body) * 3)) + last,
                            None),
        "pixels in pieces of a byte": (start + pieces + last, None),
        "a critical chunk that is unknown": (start + chunk(b"ABCD", b"x") + middle + last, EITHER),
        "an unknown chunk": (start + chunk(b"abCd", b"x") + middle + last, None),
        "a chunk of 2 GB": (start + b"\x7f\xff\xff\xffabCd" + middle + last, EITHER),
        "a chunk of no name": (start + chunk(b"\0\0\0\0", b"x") + middle + last, EITHER),
        "gamma of 0": (start + chunk(b"gAMA", bytes(4)) + middle + last, None),
        "profile of noise": (start + chunk(b"iCCP", b"x\0\0noise") + middle + last, None),
        "text that unpacks to 64 MB": (start + chunk(b"zTXt", packed) + middle + last, EITHER),
        "profile that unpacks to 64 MB": (start + chunk(b"iCCP", packed) + middle + last, EITHER),
        "garbage behind": (data + b"garbage" * 999, None),
        "a wrong signature": (b"\x89PNG\n\n\x1a\n" + data[8:], HEADER),
        "animation of no frames": (start + chunk(b"acTL", bytes(8)) + middle + last, None),
    }  # fmt: skip
    return {f"png {name}.png": one for name, one in found.items()}


def _wrong_gifs(photo: Image.Image) -> Damaged:
    data = encoded(photo.quantize(16), "GIF")
    image = data.index(b"\x2c\0\0\0\0")
    found: Damaged = {
        "of version 87a": (b"GIF87a" + data[6:], None),
        "of version 90a": (b"GIF90a" + data[6:], HEADER),
        "no end": (data[:-1], None),
        "without an image": (data[:image] + b";", EITHER),
        "no width": (patched(data, image + 5, bytes(2)), EITHER),
        "screen of nothing": (patched(data, 6, bytes(4)), None),
        "screen smaller than the image": (patched(data, 6, b"\x05\0\x05\0"), None),
        "image beside the screen": (patched(data, image + 1, b"\x09\0\x09\0"), None),
        "no colours": (patched(data[:13] + data[13 + 48 :], 10, b"\0"), EITHER),
        "codes of 12 bits": (patched(data, image + 10, b"\x0c"), EITHER),
        "codes of 0 bits": (patched(data, image + 10, b"\0"), EITHER),
        "codes damaged": (patched(data, image + 40, b"\xff" * 60), EITHER),
        "an unknown block": (data[:image] + b"\x77" + data[image:], EITHER),
        "garbage behind": (data + b"garbage" * 999, None),
        "second frame damaged": (data[:-1] + b"\x2c\0\0\0\0\xff\xff\xff\xff\0\x02\x05abc", None),
        "a thousand comments": (data[:image] + b"\x21\xfe\x01x\0" * 1000 + data[image:], None),
    }
    return {f"gif {name}.gif": one for name, one in found.items()}


def _wrong_bmps(photo: Image.Image) -> Damaged:
    data = encoded(photo, "BMP")
    grey = encoded(photo.convert("L"), "BMP")
    at = int.from_bytes(grey[10:14], "little")
    packed = b"".join(bytes([25, row, 25, row + 90]) + b"\0\0" for row in range(40)) + b"\0\1"
    upside_down = struct.pack("<i", -40)

    def with_bits(bits: int) -> bytes:
        return patched(data, 28, struct.pack("<H", bits))

    found: Damaged = {
        "upside down": (patched(data, 22, upside_down), None),
        "no width": (patched(data, 18, bytes(4)), EITHER),
        "width below 0": (patched(data, 18, upside_down), "is larger than the limit of .+"),
        "7 bits": (with_bits(7), EITHER),
        "16 bits": (with_bits(16), None),
        "64 bits": (with_bits(64), EITHER),
        "header of 9 bytes": (patched(data, 14, b"\x09"), EITHER),
        "pixels behind the end": (patched(data, 10, struct.pack("<I", 1 << 30)), EITHER),
        "pixels in the header": (patched(data, 10, bytes(4)), None),
        "unknown compression": (patched(data, 30, b"\x09"), EITHER),
        "palette of 4 billion": (patched(grey, 46, b"\xff\xff\xff\xff"), EITHER),
        "run lengths": (patched(grey[:at], 30, b"\x01") + packed, None),
        "run lengths cut off": (patched(grey[:at], 30, b"\x01") + packed[:50], EITHER),
        "run lengths that leave the image": (
            patched(grey[:at], 30, b"\x01") + b"\0\2\xff\xff" * 50, None),
        "garbage behind": (data + b"garbage" * 999, None),
    }  # fmt: skip
    return {f"bmp {name}.bmp": one for name, one in found.items()}


def _wrong_webps(photo: Image.Image) -> Damaged:
    data = encoded(photo, "WEBP")
    lossless = encoded(photo, "WEBP", lossless=True)
    extended = encoded(photo, "WEBP", icc_profile=b"x" * 50)
    found: Damaged = {
        "length of nothing": (patched(data, 4, bytes(4)), EITHER),
        "length of 4 GB": (patched(data, 4, b"\xff\xff\xff\xff"), EITHER),
        "part of 4 GB": (patched(data, 16, b"\xff\xff\xff\xff"), EITHER),
        "wrong start code": (patched(data, 23, b"\0\0\0"), EITHER),
        "no width": (patched(data, 26, bytes(2)), EITHER),
        "lossless without its signature": (patched(lossless, 20, b"\0"), EITHER),
        "lossless of version 7": (patched(lossless, 24, b"\xff"), EITHER),
        "lossless damaged": (patched(lossless, 60, b"\xff" * 60), EITHER),
        "lossy damaged": (patched(data, 60, b"\xff" * 200), EITHER),
        "canvas of another size": (patched(extended, 24, b"\x09\0\0\x09\0\0"), EITHER),
        "an unknown kind": (patched(data, 12, b"VP9 "), HEADER),
        "garbage behind": (data + b"garbage" * 999, None),
    }
    return {f"webp {name}.webp": one for name, one in found.items()}


def as_ycck(cmyk: bytes) -> bytes:
    """Let a CMYK JPEG of Adobe's say that its colours are YCCK."""
    place = cmyk.index(b"Adobe") + 11
    return patched(cmyk, place, b"\x02")
