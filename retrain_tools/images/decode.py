"""The image formats, and what a program may call an image: how each becomes RGB pixels."""

from __future__ import annotations

import enum
import io
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from retrain_tools.files import read_regular
from retrain_tools.images.batches import BatchedImage

ImageLike = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""An image: a file, an encoded image, a Pillow image, or pixels, uint8 [H, W, 3].

Where a network takes grey images, uint8 [H, W] and [H, W, 1] as well.
"""

Pixels = npt.NDArray[np.uint8]


class Decoder(enum.Enum):
    """What decodes a format."""

    GRAPH = "the graph's own DecodeJpeg, as the network was trained with"
    TENSORFLOW = "tf.io.decode_image"
    PILLOW = "Pillow, for what TensorFlow decodes only in part, or not in every version"


class ImageFormat(NamedTuple):
    """A format: its name, Pillow's name for it, the ends of file names, and what decodes it.

    `decodes_grey` says whether that decoder gives grey images itself.
    """

    name: str
    pillow: str
    extensions: tuple[str, ...]
    decoder: Decoder
    decodes_grey: bool = False


FORMATS = (
    ImageFormat("JPEG", "JPEG", (".jpg", ".jpeg"), Decoder.GRAPH, True),
    ImageFormat("PNG", "PNG", (".png",), Decoder.TENSORFLOW, True),
    ImageFormat("GIF", "GIF", (".gif",), Decoder.TENSORFLOW),
    ImageFormat("BMP", "BMP", (".bmp",), Decoder.PILLOW),
    ImageFormat("WebP", "WEBP", (".webp",), Decoder.PILLOW),
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

# Sizes are checked here. Once at import, because catch_warnings is not safe in several threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_DAMAGE = (OSError, ValueError, SyntaxError, EOFError)  # what Pillow raises on a damaged file

# A Pillow image reads its file when it is first used, which two threads must not do at once.
_loading = threading.Lock()


FailureKind = Literal["image", "reading", "memory"]
"""What failed: the image itself, reading its file, or memory; the last two may pass."""


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
    image: ImageLike, max_pixels: int = MAX_PIXELS, channels: int = 3
) -> EncodedImage | Pixels:
    """Read an image; what is encoded stays so, and its format is told by content.

    More than `max_pixels` (width × height) are refused: a small file can claim to be huge. Pillow
    accepts no more than 178,956,970 of an encoded image, whatever is given here.

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
    if isinstance(image, (str, Path)):
        try:
            image = read_regular(image, _BYTES_PER_PIXEL * max_pixels + _BESIDE_PIXELS)
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = f"cannot be read: {getattr(error, 'strerror', error)}"
            raise ImageError(reason, "reading") from error
    if not isinstance(image, bytes):
        raise ImageError(
            f"is of type {type(image).__name__}; it takes a path, bytes, a Pillow image or a "
            f"uint8 array {' or '.join(_SHAPES[channels].values())}"
        )
    return EncodedImage(image, _format_of(image, max_pixels))


def _format_of(data: bytes, max_pixels: int) -> ImageFormat:
    if not data:
        raise ImageError("is empty")
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_BY_PILLOW_NAME)) as image:
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
    _check_size(*size, max_pixels)
    return _BY_PILLOW_NAME[name]


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
        # By way of RGBA: Pillow's direct conversion may blend, and palettes may hold alpha.
        pixels: Pixels = np.asarray(image.convert("RGBA"))[:, :, :3]
    except _DAMAGE as error:
        raise ImageError(f"cannot be decoded: {error}") from error
    return grey(pixels) if channels == 1 else pixels


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
