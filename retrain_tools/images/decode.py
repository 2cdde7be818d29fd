"""From the bytes of an image file to what TensorFlow would decode, whatever the format."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")

# Where Pillow starts to suspect a decompression bomb. As float32 RGB it is 1 GiB.
MAX_PIXELS = 89_478_485
_PILLOW_REFUSES_ABOVE = 2 * MAX_PIXELS

# Sizes are checked here. Once at import, because catch_warnings is not safe in several threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(Exception):
    """An image cannot be used; the message is the reason, for `failures.csv`."""


def read_image(path: str, max_pixels: int = MAX_PIXELS) -> tuple[bytes, str]:
    """Read an image file and tell its format by content, without decoding it.

    Args:
        path: the file.
        max_pixels: the largest width × height to accept: a small file can claim to be huge.
            Pillow accepts no more than 178,956,970, whatever is given here.

    Returns:
        The bytes and one of FORMATS.

    Raises:
        ImageError: unreadable, empty, not an image of these formats, or too large.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    if not data:
        raise ImageError("is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            found = "JPEG" if image.format == "MPO" else str(image.format)
    except UnidentifiedImageError as error:
        raise ImageError("is not a JPEG, PNG, GIF, BMP or WebP image") from error
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, _PILLOW_REFUSES_ABOVE)
        raise ImageError(f"is larger than the limit of {limit:,} pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"has a damaged header: {error}") from error
    if width * height > max_pixels:
        raise ImageError(f"is {width} × {height}, more than the limit of {max_pixels:,} pixels")
    return data, found


def decode_with_pillow(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a BMP or WebP image to RGB; transparency is dropped, as TensorFlow's decoders do.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageError: the data are damaged or cut off.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            # By way of RGBA: Pillow's direct conversion may blend, and palettes may hold alpha.
            return np.asarray(image.convert("RGBA"))[:, :, :3]
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"cannot be decoded: {error}") from error


def resize_with_pillow(data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decode an image to RGB and resize it, aspect not kept, all as SciPy's imresize did.

    That is Pillow's bilinear filter, which averages where it shrinks, rounded to whole levels.

    Args:
        data: the file's bytes.
        size: (height, width) wanted.

    Returns:
        uint8 [height, width, 3].

    Raises:
        ImageError: the data are damaged or cut off.
    """
    height, width = size
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            rgb = image.convert("RGBA").convert("RGB")
            return np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"cannot be decoded: {error}") from error
