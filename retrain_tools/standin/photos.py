"""A small labelled photo set that is drawn, not downloaded: for the demo, tests and calibration."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from retrain_tools import files
from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.standin.scenes import SCENES, clouds, paint, pixels_of

CLASSES: tuple[str, ...] = tuple(SCENES)

# Lengths of the sides in pixels, and the tilt of a hand-held camera in degrees.
_SHORT_SIDE = (180, 340)
_ASPECTS = (1.0, 5 / 4, 4 / 3, 1.4)
_TILT = 5.0


def draw_photos(
    folder: str | os.PathLike[str],
    per_class: int = 30,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
) -> list[Path]:
    """Draw a labelled photo set as FOLDER/CLASS/NAME.jpg.

    An image depends on `seed`, its class and its number only, so a longer set starts with the
    shorter one, and another seed gives new images of the same subjects under new names.

    Args:
        folder: where the class folders go; made when missing.
        per_class: images for every class.
        seed: of the random numbers; a part of the file names.
        classes: some of `CLASSES`; they become the labels.

    Returns:
        The files, class by class: RGB JPEGs, 180 to 475 pixels a side, quality 60 to 95.

    Raises:
        InputError: a class that is not among `CLASSES`, or `per_class` below 1.
    """
    if per_class < 1:
        raise InputError(f"Cannot draw {per_class} images per class: it has to be 1 or more.")
    for label in classes:
        if label not in SCENES:
            known, hint = ", ".join(CLASSES), did_you_mean(label, CLASSES)
            raise InputError(f"Nobody can draw {label!r} here.{hint} There are: {known}.")
    paths = []
    for label in classes:
        for number in range(per_class):
            stem = f"{label.replace(' ', '_')}_{seed}_{number:03d}"
            path = Path(folder) / label / f"{stem}.jpg"
            rng = _random(seed, label, number)
            photo, quality = _photograph(rng, label), int(rng.integers(60, 96))
            with files.replacing(path) as file:
                photo.save(file, "JPEG", quality=quality)
            paths.append(path)
    return paths


def calibration_images(
    per_class: int = 2, seed: int = 2015, side: int = 299
) -> npt.NDArray[np.uint8]:
    """Draw images of every class for the batch norm statistics of the stand-in graph.

    Args:
        per_class: images for every class.
        seed: of the random numbers; the default is nobody's photo set.
        side: height and width in pixels; 299 is what inception-2015-12-05 resizes to.

    Returns:
        uint8 [per_class * len(CLASSES), side, side, 3], RGB.
    """
    photos = [
        _photograph(_random(seed, label, number), label).resize((side, side))
        for number in range(per_class)
        for label in CLASSES
    ]
    return np.stack([np.asarray(photo) for photo in photos])


def _random(seed: int, label: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(label.encode()), number])


def _photograph(rng: np.random.Generator, label: str) -> Image.Image:
    """Draw a scene and take its image: tilt, framing, light, lens, colour cast and noise."""
    short = int(rng.integers(*_SHORT_SIDE))
    sides = short, round(short * _ASPECTS[rng.integers(len(_ASPECTS))])
    width, height = sides if rng.random() < 0.4 else sides[::-1]
    # Drawn with a margin, so that the tilted image has no empty corners.
    margin = 1.16
    scene = SCENES[label](rng, round(height * margin), round(width * margin))
    canvas = paint(scene).rotate(rng.uniform(-_TILT, _TILT), Image.Resampling.BICUBIC)
    left, top = (canvas.width - width) // 2, (canvas.height - height) // 2
    image = canvas.crop((left, top, left + width, top + height))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.9)))
    light = rng.uniform(0.8, 1.15) * (1 + 0.35 * (clouds(rng, height, width, 1.5) - 0.5))
    cast = rng.normal(1, 0.05, 3)
    noise = rng.normal(0, rng.uniform(0.005, 0.03), (height, width, 3))
    return paint(pixels_of(image) * light[..., None] * cast + noise)
