"""retrain.py's training distortions: random crop, scale, flip and brightness."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument


@dataclasses.dataclass(frozen=True)
class Distortions:
    """How strongly to distort, as retrain.py's flags say it.

    Attributes:
        flip_left_right: mirror half of the images.
        random_crop: margin to crop from, in percent of the image.
        random_scale: how much larger an image may become, in percent.
        random_brightness: how far a brightness factor may be from 1, in percent.
    """

    flip_left_right: bool = False
    random_crop: int = 0
    random_scale: int = 0
    random_brightness: int = 0

    def __post_init__(self) -> None:
        for name in ("random_crop", "random_scale", "random_brightness"):
            if getattr(self, name) < 0:
                raise InputError(f"{argument(name)} is a percentage and cannot be negative.")

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return self != Distortions()


@dataclasses.dataclass(frozen=True)
class Draw:
    """One image's random numbers.

    Attributes:
        precrop: (height, width) in pixels to resize to.
        offset: (top, left) in pixels of the crop.
        flip: whether to mirror.
        brightness: factor for every value.
    """

    precrop: tuple[int, int]
    offset: tuple[int, int]
    flip: bool
    brightness: float


def draw(rng: np.random.Generator, wanted: Distortions, size: tuple[int, int]) -> Draw:
    """Draw the random numbers for one image.

    scale = (1 + crop/100) · U(1, 1 + scale/100); resize to int(scale · size); crop uniformly;
    flip with probability 1/2; brightness U(1 ± brightness/100). From retrain.py's
    add_input_distortions.
    """
    scale = (1.0 + wanted.random_crop / 100.0) * rng.uniform(1.0, 1.0 + wanted.random_scale / 100.0)
    precrop = (int(scale * size[0]), int(scale * size[1]))
    top, left = (int(rng.integers(0, precrop[i] - size[i] + 1)) for i in (0, 1))
    flip = bool(rng.random() < 0.5) and wanted.flip_left_right
    spread = wanted.random_brightness / 100.0
    return Draw(precrop, (top, left), flip, float(rng.uniform(1.0 - spread, 1.0 + spread)))


def crop_and_light(
    resized: npt.NDArray[np.float32], numbers: Draw, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Apply all but the resizing to an image that was resized to `numbers.precrop`.

    `resized` is float32 [H, W, 3], 0 to 255; the result float32 [h, w, 3] where (h, w) is `size`,
    and not clipped to 255, as in retrain.py.
    """
    top, left = numbers.offset
    cropped = resized[top : top + size[0], left : left + size[1]]
    if numbers.flip:
        cropped = cropped[:, ::-1]
    return cropped * np.float32(numbers.brightness)
