"""The image formats, and what a program may call an image: how each becomes RGB pixels."""

from __future__ import annotations

import enum
import io
import os
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from retrain_tools.files import open_regular
from retrain_tools.images.batches import BatchedImage
from retrain_tools.images.structure import (
    WEBP_HEADER_BYTES,
    first_frame,
    has_too_many_scans,
    webp_size,
)

ImageLike = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""An image: a file, an encoded image, a Pillow image, or pixels, uint8 [H, W, 3].

Where a network takes grey images, uint8 [H, W] and [H, W, 1] as well.
"""

Pixels = npt.NDArray[np.uint8]

Admit = Callable[[int, int], None]
"""Is told how many bytes of memory reading and decoding an image may take, and its pixels.

It may wait, or raise ImageError.
"""


class Decoder(enum.Enum):
    """What decodes a format."""

    GRAPH = "the graph's own DecodeJpeg, as the network was trained with"
    TENSORFLOW = "tf.io.decode_image"
    PILLOW = "Pillow, for what TensorFlow decodes only in part, or not in every version"


class ImageFormat(NamedTuple):
    """A format: its name, Pillow's name for it, the ends of file names, and what decodes it.

    `decodes_grey` says whether that decoder gives grey images itself; `bytes_per_pixel` is the most
    memory that decoding takes, its result included: measured, of the costliest forms of the format
    (a progressive JPEG in CMYK; WebP's decoder holds the image five times).
    """

    name: str
    pillow: str
    extensions: tuple[str, ...]
    decoder: Decoder
    bytes_per_pixel: int
    decodes_grey: bool = False


FORMATS = (
    ImageFormat("JPEG", "JPEG", (".jpg", ".jpeg"), Decoder.GRAPH, 13, True),
    ImageFormat("PNG", "PNG", (".png",), Decoder.TENSORFLOW, 8, True),
    ImageFormat("GIF", "GIF", (".gif",), Decoder.TENSORFLOW, 8),
    ImageFormat("BMP", "BMP", (".bmp",), Decoder.PILLOW, 12),
    ImageFormat("WebP", "WEBP", (".webp",), Decoder.PILLOW, 20),
)
EXTENSIONS = tuple(extension for form in FORMATS for extension in form.extensions)

# What pixels may be given as, by the channels of the network: what follows height and width.
_SHAPES: dict[int, dict[tuple[int, ...], str]] = {
    3: {(3,): "[H, W, 3]"},
    1: {(): "[H, W]", (1,): "[H, W, 1]", (3,): "[H, W, 3]"},
}

_BY_PILLOW_NAME = {form.pillow: form for form in FORMATS}

# Where Pillow starts to suspect a decompression bomb. As float32 RGB it is 1 GiB.
MAX_PIXELS = 89_478_485
_PILLOW_REFUSES_ABOVE = 2 * MAX_PIXELS

# What an encoded image can sensibly have: 16 bits each of red, green, blue and alpha, as they are,
# and what cameras put beside it. More is not read.
_BYTES_PER_PIXEL, _BESIDE_PIXELS = 8, 1 << 24
_STRIP_PIXELS = 1 << 20
_COPIES_OF_FILE = 2  # as it is read, and as TensorFlow takes it

# Sizes are checked here. Once at import, because catch_warnings is not safe in several threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of what is odd, unnamed

_DAMAGE = (OSError, ValueError, SyntaxError, EOFError)  # what Pillow raises on a damaged file

# What decoders say where they know no more than that they failed.
_SAYS_NOTHING = re.compile(
    r"jpeg::Uncompress failed|Invalid PNG|could not create decoder object|failed to read next frame"
)

# A Pillow image reads its file when it is first used, which two threads must not do at once.
_loading = threading.Lock()


FailureKind = Literal["image", "reading", "memory", "worker"]
"""What failed: the image itself, reading its file, memory, or the process that worked on it.

All but the first may pass.
"""


class ImageError(Exception):
    """An image cannot be used; the message is the reason, for `failures.csv`.

    Attributes:
        kind: what failed.
    """

    def __init__(self, reason: str, kind: FailureKind = "image") -> None:
        super().__init__(reason)
        self.kind = kind


class EncodedImage(NamedTuple):
    """The bytes of an image file, and their format."""

    data: bytes
    form: ImageFormat


def image_name(image: ImageLike, index: int) -> str:
    """Return how messages call an image: its path, or `images[index]` if it has none."""
    return str(image) if isinstance(image, (str, Path)) else f"images[{index}]"


def named_images(images: Sequence[ImageLike]) -> dict[str, ImageLike]:
    """Return images by their names (see `image_name`), paths as str, each path once."""
    paths = [str(image) if isinstance(image, Path) else image for image in images]
    return {image_name(image, index): image for index, image in enumerate(paths)}


def read_image(
    image: ImageLike,
    max_pixels: int = MAX_PIXELS,
    channels: int = 3,
    admit: Admit = lambda *_: None,
) -> EncodedImage | Pixels:
    """Read an image; what is encoded stays so, and its format is told by content.

    More than `max_pixels` (width × height) are refused: a small file can claim to be huge. Pillow
    accepts no more than 178,956,970 of an encoded image, whatever is given here. Of a GIF only the
    first frame is left, which is all that is decoded.

    Before an encoded image is read, `admit` may refuse it.

    Returns:
        The bytes and their format; or pixels, uint8 [H, W, channels], without transparency.

    Raises:
        ImageError: unreadable, empty, not an image of these formats, too large, or of another
            Python type, dtype or shape.
    """
    if isinstance(image, BatchedImage):
        try:
            image = image.pixels()
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", "reading") from error
    if isinstance(image, np.ndarray):
        forms = _SHAPES[channels]
        if image.dtype != np.uint8 or image.shape[2:] not in forms or 0 in image.shape:
            shape, takes = list(image.shape), " or ".join(forms.values())
            raise ImageError(f"is an array of {image.dtype} {shape}; it takes uint8 {takes}")
        _check_size(image.shape[1], image.shape[0], max_pixels)
        if image.ndim == 2:
            return image[:, :, np.newaxis]
        return grey(image) if image.shape[2] > channels else image
    if isinstance(image, Image.Image):
        _check_size(*image.size, max_pixels)
        with _loading:
            return decode_with_pillow(image, channels)
    if isinstance(image, bytes):
        return _read(io.BytesIO(image), len(image), max_pixels, admit)
    if not isinstance(image, (str, Path)):
        raise ImageError(
            f"is of type {type(image).__name__}; it takes a path, bytes, a Pillow image or a "
            f"uint8 array {' or '.join(_SHAPES[channels].values())}"
        )
    try:
        with open_regular(image, most_bytes(max_pixels)) as file:
            return _read(file, os.fstat(file.fileno()).st_size, max_pixels, admit)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = f"cannot be read: {getattr(error, 'strerror', error)}"
        raise ImageError(reason, "reading") from error


def most_bytes(pixels: int) -> int:
    """Return how large the file of an image of so many pixels may be; a larger one is not read."""
    return _BYTES_PER_PIXEL * pixels + _BESIDE_PIXELS


def _read(file: BinaryIO, size: int, max_pixels: int, admit: Admit) -> EncodedImage:
    """Read a file of `size` bytes, if what it says of itself is sensible."""
    if not size:
        raise ImageError("is empty")
    form, (width, height) = _look_at(file, max_pixels)
    _check_size(width, height, max_pixels)
    if size > (most := most_bytes(width * height)):
        raise ImageError(
            f"has {size:,} bytes, and an image of {width} × {height} has {most:,} at most"
        )
    pixels = width * height
    admit(form.bytes_per_pixel * pixels + _COPIES_OF_FILE * size, pixels)
    file.seek(0)
    data = file.read(size)
    if form.name == "GIF":
        data = first_frame(data)
    if form.name == "JPEG" and has_too_many_scans(data):
        raise ImageError("has more scans than any encoder writes, which only take time")
    return EncodedImage(data, form)


def _look_at(file: BinaryIO, max_pixels: int) -> tuple[ImageFormat, tuple[int, int]]:
    """Return the format, and the width and height that the header claims."""
    try:
        # Pillow reads all of a WebP, and makes room for its pixels, before it tells their number.
        if (claimed := webp_size(file.read(WEBP_HEADER_BYTES))) is not None:
            return _BY_PILLOW_NAME["WEBP"], claimed
        file.seek(0)
        with Image.open(file, formats=tuple(_BY_PILLOW_NAME)) as image:
            # MPO is a phone's JPEG with a second image in it.
            size, name = image.size, "JPEG" if image.format == "MPO" else str(image.format)
    except UnidentifiedImageError as error:
        *names, last = (form.name for form in FORMATS)
        raise ImageError(f"is not a {', '.join(names)} or {last} image") from error
    except Image.DecompressionBombError as error:
        limit = min(max_pixels, _PILLOW_REFUSES_ABOVE)
        raise ImageError(f"is larger than the limit of {limit:,} pixels") from error
    except _DAMAGE as error:
        raise ImageError(f"has a damaged header: {error}") from error
    return _BY_PILLOW_NAME[name], size


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(f"is {width} × {height}, more than the limit of {max_pixels:,} pixels")


def decode_with_pillow(image: bytes | Image.Image, channels: int = 3) -> Pixels:
    """Return an encoded image of one of FORMATS, or a Pillow image: uint8 [H, W, channels].

    That is RGB, or for one channel the image in grey (see `grey`). Transparency is dropped, as
    TensorFlow's decoders do.

    Raises:
        ImageError: the data are damaged or cut off.
    """
    try:
        if isinstance(image, bytes):
            image = Image.open(io.BytesIO(image), formats=tuple(_BY_PILLOW_NAME))
        pixels = _rgb(image)
    except _DAMAGE as error:
        raise undecodable(error) from error
    return grey(pixels) if channels == 1 else pixels


def undecodable(error: Exception) -> ImageError:
    """Return what to raise where a decoder fails with an error."""
    said = str(error)
    if _SAYS_NOTHING.match(said):
        said = "its data are damaged or cut off"
    return ImageError(f"cannot be decoded: {said}")


def _rgb(image: Image.Image) -> Pixels:
    """Return uint8 [H, W, 3], in strips: converting takes several times as much as the pixels."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    step = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = image.crop((0, top, width, min(top + step, height))) if step < height else image
        # By way of RGBA: Pillow's direct conversion may blend, and palettes may hold alpha.
        pixels[top : top + step] = np.asarray(strip.convert("RGBA"))[:, :, :3]
    return pixels


def grey(pixels: Pixels) -> Pixels:
    """Return uint8 [H, W, 1] for RGB pixels, uint8 [H, W, 3], where no decoder gives grey images.

    It is the luma of JPEG (0.299 R + 0.587 G + 0.114 B, ITU-R BT.601), as Pillow rounds it.
    """
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[:, :, np.newaxis]


def resize_with_pillow(pixels: Pixels, size: tuple[int, int], method: str = "bilinear") -> Pixels:
    """Resize uint8 [H, W, 3] or [H, W, 1] to (height, width), as `keras.utils.load_img` does.

    That is a filter of Pillow's (`nearest`, `bilinear`, `bicubic`, `lanczos`), which averages where
    it shrinks, `nearest` apart, rounded to whole levels; the aspect is not kept. SciPy's imresize
    did the same, `bilinear` unless it was told otherwise.
    """
    height, width = size
    channels = pixels.shape[2]
    image = Image.fromarray(np.ascontiguousarray(pixels if channels == 3 else pixels[:, :, 0]))
    resized = np.asarray(image.resize((width, height), Image.Resampling[method.upper()]))
    return resized.reshape(height, width, channels)
