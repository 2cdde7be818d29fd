"""Pixels as any of the usual ways of reading images makes them: decoded, cut, resized, rounded."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from retrain_tools.explaining.pipeline import Pipeline
from retrain_tools.images.decode import Decoder, EncodedImage, decode_with_pillow, read_image
from retrain_tools.quiet_tensorflow import tf

Pixels = npt.NDArray[Any]
"""[height, width, 3]: uint8 as decoded or as Pillow resizes, float32 as TensorFlow does."""

_ORIENTATION = 0x0112  # EXIF's tag
_KEPT_IMAGES = 256  # decoded or resized ones, at most about a megabyte each

# (method of tf.raw_ops, align_corners, half_pixel_centers): TensorFlow 1's resizing functions
# asked for neither, TensorFlow 2's ask for half-pixel centers.
_RAW_OPS = {
    "legacy_bilinear": ("ResizeBilinear", False, False),
    "align_corners": ("ResizeBilinear", True, False),
    "half_pixel_bilinear": ("ResizeBilinear", False, True),
    "legacy_nearest": ("ResizeNearestNeighbor", False, False),
    "half_pixel_nearest": ("ResizeNearestNeighbor", False, True),
    "legacy_bicubic": ("ResizeBicubic", False, False),
}
# (method, antialias) of tf.image.resize.
_RESIZE = {
    "antialias_bilinear": ("bilinear", True),
    "half_pixel_bicubic": ("bicubic", False),
    "antialias_bicubic": ("bicubic", True),
    "lanczos3": ("lanczos3", False),
}
_DECODERS = {  # (dct_method, fancy_upscaling) of DecodeJpeg; '' is INTEGER_FAST
    "tensorflow": ("", True),
    "accurate": ("INTEGER_ACCURATE", True),
    "own": ("", True),
    "plain_chroma": ("", False),
    "accurate_plain_chroma": ("INTEGER_ACCURATE", False),
}


def has_orientation(path: str) -> bool:
    """Tell whether a file's EXIF data turn or mirror it."""
    with Image.open(path) as image:
        return image.getexif().get(_ORIENTATION, 1) not in (0, 1)


class Photos:
    """Images of which the pixels of any pipeline can be had; what steps share is done once."""

    def __init__(self, paths: Sequence[str], own: Callable[[str], Pixels] | None = None) -> None:
        """Take paths of image files, read when they are needed, and how a graph resizes them."""
        self._paths, self._own = list(paths), own
        kept = functools.lru_cache(maxsize=_KEPT_IMAGES)
        self._decoded = kept(self._decode)
        self._resized = kept(self._resize)

    def pixels(self, index: int, pipeline: Pipeline) -> Pixels:
        """Return an image as a pipeline resizes it: [h, w, 3], 0 to 255, RGB, not scaled.

        The result is shared, and so must not be changed.

        Raises:
            ImageError: the image cannot be used.
        """
        p = pipeline
        source = (index, p.decoder, p.orientation, p.stored, p.quality)
        return self._resized(source, p.crop, p.first_size, p.resize, p.rounding, p.sides)

    def _decode(
        self, index: int, decoder: str, orientation: str, stored: str, quality: str
    ) -> Pixels:
        read = read_image(self._paths[index])
        data = read.data if isinstance(read, EncodedImage) else b""
        is_jpeg = isinstance(read, EncodedImage) and read.form.decoder is Decoder.GRAPH
        pixels = _decode_jpeg(data, decoder) if is_jpeg else decode_with_pillow(data)
        if orientation == "applied":
            pixels = _turned(data, pixels)
        return pixels if stored == "original" else _kept(pixels, stored, quality, decoder)

    def _resize(
        self,
        source: tuple[Any, ...],
        crop: str,
        first_size: str,
        method: str,
        rounding: str,
        sides: tuple[int, int],
    ) -> Pixels:
        if method == "own" and self._own is not None:
            pixels = self._own(self._paths[source[0]])
        else:
            pixels = cropped(self._decoded(*source), crop)
            if first_size != "none":
                pixels = resize(pixels, method, (int(first_size), int(first_size)))
            pixels = _to_size(pixels, crop, method, sides)
        if rounding == "rounded":
            pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        elif rounding == "cut":
            pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        return pixels


def _decode_jpeg(data: bytes, decoder: str) -> Pixels:
    method, fancy = _DECODERS[decoder]
    return tf.raw_ops.DecodeJpeg(
        contents=tf.constant(data), channels=3, dct_method=method, fancy_upscaling=fancy
    ).numpy()


def _turned(data: bytes, pixels: Pixels) -> Pixels:
    """Turn and mirror decoded pixels as the EXIF data say."""
    with Image.open(io.BytesIO(data)) as image:
        orientation = image.getexif().get(_ORIENTATION, 1)
    upright = Image.fromarray(pixels)
    upright.getexif()[_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(upright))


def _kept(pixels: Pixels, stored: str, quality: str, decoder: str) -> Pixels:
    """Return what is read of an image that was resized, if it was, and saved."""
    if stored != "resaved":
        size, _, method = stored.partition("_")
        resized = resize(pixels, method, (int(size), int(size)))
        pixels = np.clip(np.rint(resized), 0, 255).astype(np.uint8)
    if quality == "png":
        return pixels
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=int(quality))
    return _decode_jpeg(file.getvalue(), decoder)


def cropped(pixels: Pixels, crop: str) -> Pixels:
    """Cut or pad an image before it is resized; other ways of cropping leave it as it is."""
    height, width = pixels.shape[:2]
    match crop:
        case "central_875":  # as tf.image.central_crop
            top, left = (int((side - side * 0.875) / 2) for side in (height, width))
            return pixels[top : height - top, left : width - left]
        case "square":
            return _middle(pixels, (min(height, width), min(height, width)))
        case "pad_square":
            side = max(height, width)
            return _padded(pixels, (side, side), [(side - height) // 2, (side - width) // 2])
        case _:
            return pixels


def _to_size(pixels: Pixels, crop: str, method: str, sides: tuple[int, int]) -> Pixels:
    height, width = pixels.shape[:2]
    if crop in ("short_side", "vgg"):
        # Slim's vgg_preprocessing.py and everybody after it: 256 for images of 224.
        shorter = max(round(side * 256 / 224) if crop == "vgg" else side for side in sides)
        ratio = shorter / min(height, width)
        fitted = max(sides[0], round(height * ratio)), max(sides[1], round(width * ratio))
        return _middle(resize(pixels, method, fitted), sides)
    if crop == "resize_pad":  # as tf.image.resize_with_pad, in its float32
        now, wanted = np.array([height, width], np.float32), np.array(sides, np.float32)
        exact = now / (now / wanted).max()
        fitted = int(exact[0]), int(exact[1])
        before = ((wanted - exact) / 2).astype(int).tolist()
        return _padded(resize(pixels, method, fitted), sides, before)
    if crop == "pillow_pad":  # as ImageOps.pad
        ratio = max(height / sides[0], width / sides[1])
        fitted = round(height / ratio), round(width / ratio)
        before = [round((side - one) / 2) for side, one in zip(sides, fitted, strict=True)]
        return _padded(resize(pixels, method, fitted), sides, before)
    return resize(pixels, method, sides)


def _middle(pixels: Pixels, sides: tuple[int, int]) -> Pixels:
    top, left = ((pixels.shape[axis] - sides[axis]) // 2 for axis in (0, 1))
    return pixels[top : top + sides[0], left : left + sides[1]]


def _padded(pixels: Pixels, sides: tuple[int, int], before: Sequence[int]) -> Pixels:
    missing = [sides[axis] - pixels.shape[axis] for axis in (0, 1)]
    around = [(one, space - one) for one, space in zip(before, missing, strict=True)]
    return np.pad(pixels, [*around, (0, 0)])


def resize(pixels: Pixels, method: str, sides: tuple[int, int]) -> Pixels:
    """Resize [H, W, 3] to (height, width); float32 by TensorFlow's methods, uint8 by Pillow's.

    Pillow takes whole levels, so other pixels are rounded first.
    """
    library, _, name = method.partition("_")
    if library == "pillow":
        whole = pixels
        if whole.dtype != np.uint8:
            whole = np.clip(np.rint(whole), 0, 255).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(whole))
        return np.asarray(image.resize(sides[::-1], Image.Resampling[name.upper()]))
    if method == "area":
        images = tf.constant(np.asarray(pixels, np.float32)[np.newaxis])
        return tf.raw_ops.ResizeArea(images=images, size=tf.constant(sides)).numpy()[0]
    if method in _RAW_OPS:
        op, corners, half_pixel = _RAW_OPS[method]
        images = tf.constant(np.asarray(pixels, np.float32)[np.newaxis])
        resized = getattr(tf.raw_ops, op)(
            images=images,
            size=tf.constant(sides),
            align_corners=corners,
            half_pixel_centers=half_pixel,
        )
        return resized.numpy()[0]
    name, antialias = _RESIZE[method]
    return tf.image.resize(np.asarray(pixels, np.float32), sides, name, antialias=antialias).numpy()
