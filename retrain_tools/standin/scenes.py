"""The subjects of the drawn photos: one function per class, numpy and Pillow only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Pixels = npt.NDArray[np.floating[Any]]
"""An image, [height, width, 3] in [0, 1], or one plane of it, [height, width]."""
Colour = Sequence[float] | Pixels
"""Red, green and blue in [0, 1]."""
Scene = Callable[[np.random.Generator, int, int], Pixels]


def clouds(rng: np.random.Generator, height: int, width: int, cells: float) -> Pixels:
    """Return smooth noise [height, width] in [0, 1]: four octaves, `cells` across the long side."""
    total = np.zeros((height, width), np.float32)
    for octave in range(4):
        scale = cells * 2**octave / max(height, width)
        grid = rng.random((max(2, round(height * scale)), max(2, round(width * scale))))
        plane = Image.fromarray(grid.astype(np.float32))
        total += np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    return (total - total.min()) / (np.ptp(total) + 1e-6)


def _axes(height: int, width: int) -> tuple[Pixels, Pixels]:
    """Return y and x of every pixel in units of the short side, 0 at the top left."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / min(height, width)
    return y, x


def _mix(below: Colour, above: Colour, share: Pixels) -> Pixels:
    """Blend two colours or images; `share` [height, width] in [0, 1] is the part of `above`."""
    part = share[..., None]
    return np.asarray(below, np.float32) * (1 - part) + np.asarray(above, np.float32) * part


def _near(rng: np.random.Generator, colour: Colour, spread: float = 0.06) -> Pixels:
    """Return an RGB colour [3] a little off `colour`."""
    return np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 0, 1).astype(np.float32)


def paint(pixels: Pixels) -> Image.Image:
    """Return values of 0 to 1 as an image of bytes; what is outside is cut off."""
    return Image.fromarray(np.uint8(np.clip(pixels, 0, 1) * 255))


def pixels_of(image: Image.Image) -> Pixels:
    """Return the bytes of an image as float32 values of 0 to 1."""
    return np.asarray(image, np.float32) / 255


def _ink(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(255 * min(1.0, max(0.0, float(part)))) for part in colour)
    return red, green, blue


def _rotated(rng: np.random.Generator, height: int, width: int) -> tuple[Pixels, Pixels]:
    """Return the axes turned by any angle and shifted, for subjects without an up and a down."""
    y, x = _axes(height, width)
    angle = rng.uniform(0, math.pi)
    down = y * math.cos(angle) - x * math.sin(angle) + rng.uniform(5, 6)
    across = y * math.sin(angle) + x * math.cos(angle) + rng.uniform(5, 6)
    return down, across


def beach_sunset(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a low sun with its glow, a sea with a glittering path, and mostly some sand."""
    y, x = _axes(height, width)
    tall, wide = float(y.max()), float(x.max())
    horizon = tall * rng.uniform(0.4, 0.65)
    sun_y, sun_x = horizon - rng.uniform(0.03, 0.25), wide * rng.uniform(0.2, 0.8)
    high, low = _near(rng, (0.28, 0.2, 0.45)), _near(rng, (1.0, 0.55, 0.25))
    sky = _mix(high, low, np.clip(y / horizon, 0, 1) ** rng.uniform(1, 2.5))
    streaks = clouds(rng, height, max(2, width // 4), 6)
    veil = pixels_of(paint(streaks).resize((width, height)))
    sky = _mix(sky, _near(rng, (0.95, 0.45, 0.4)), np.clip(veil * 2 - 1, 0, 1) * 0.7)
    distance = np.hypot(y - sun_y, x - sun_x)
    radius = rng.uniform(0.05, 0.1)
    sky = _mix(sky, (1.0, 0.8, 0.45), 0.8 * np.exp(-((distance / (4 * radius)) ** 2)))
    sky = _mix(sky, (1.0, 0.96, 0.8), np.clip((radius - distance) * 80, 0, 1))
    depth = np.clip((y - horizon) / (tall - horizon), 0, 1)
    waves = np.sin(90 * np.sqrt(depth + 0.02) + 6 * clouds(rng, height, width, 5))
    sea = _mix(low * 0.8, _near(rng, (0.12, 0.17, 0.32)), np.sqrt(depth))
    path = np.exp(-(((x - sun_x) / (0.08 + 0.25 * depth)) ** 2)) * np.clip(waves + 0.3, 0, 1)
    sea = _mix(sea * (1 + 0.12 * waves[..., None]), (1.0, 0.8, 0.5), path * 0.85)
    image = np.where((y > horizon)[..., None], sea, sky)
    shore = tall - rng.uniform(0, 0.35) + 0.05 * np.sin(3 * x + rng.uniform(0, 6))
    sand = _near(rng, (0.5, 0.36, 0.27))
    return _mix(image, sand, np.clip((y - shore) * 30, 0, 1))


def brick_wall(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw rows of bricks in running bond, each brick with its own shade, and mortar between."""
    y, x = _axes(height, width)
    row_height = rng.uniform(0.06, 0.15)
    brick_width, joint = row_height * rng.uniform(2.2, 3.2), row_height * rng.uniform(0.06, 0.14)
    sway = 0.15 * row_height * (clouds(rng, height, width, 4) - 0.5)
    down = y + sway + rng.uniform(0, 1)
    row = np.floor(down / row_height)
    across = x + sway + (row % 2) * brick_width / 2 + rng.uniform(0, 1)
    column = np.floor(across / brick_width)
    edge = np.minimum(
        np.minimum(down % row_height, row_height - down % row_height),
        np.minimum(across % brick_width, brick_width - across % brick_width),
    )
    shades = rng.normal(0, rng.uniform(0.05, 0.13), 4096)
    tone = shades[(row * 61 + column).astype(int) % 4096].astype(np.float32)
    clay = _near(rng, ((0.62, 0.29, 0.21), (0.7, 0.5, 0.34), (0.48, 0.25, 0.24))[rng.integers(3)])
    bricks = clay * (1 + tone + 0.5 * (clouds(rng, height, width, 40) - 0.5))[..., None]
    mortar = (
        _near(rng, (0.72, 0.69, 0.64)) * (0.85 + 0.3 * clouds(rng, height, width, 50))[..., None]
    )
    return _mix(mortar, bricks, np.clip((edge - joint) / joint * 3, 0, 1))


def city_at_night(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw rows of dark towers with lit windows under a dark sky with a glow over the roofs."""
    y, _ = _axes(height, width)
    night, glow = _near(rng, (0.03, 0.04, 0.12), 0.02), _near(rng, (0.3, 0.18, 0.25), 0.06)
    image = paint(_mix(night, glow, (y / y.max()) ** 1.5))
    draw = ImageDraw.Draw(image)
    side = min(height, width)
    for layer in range(3):
        left = -rng.uniform(0, 0.1) * side
        wall = _near(rng, np.array((0.13, 0.13, 0.2)) * (1 - 0.3 * layer), 0.02)
        while left < width:
            breadth = side * rng.uniform(0.1, 0.26)
            top = height * (rng.uniform(0.15, 0.6) + 0.14 * layer)
            draw.rectangle((left, top, left + breadth, height), fill=_ink(wall))
            step = side * rng.uniform(0.022, 0.045)
            lit, light = rng.uniform(0.2, 0.7), _near(rng, (1.0, 0.85, 0.5), 0.1)
            for window_y in np.arange(top + step, height, step * 1.3):
                for window_x in np.arange(left + step / 2, left + breadth - step, step):
                    if rng.random() < lit:
                        corner = (window_x + step * 0.55, window_y + step * 0.7)
                        ink = _ink(light * rng.uniform(0.5, 1))
                        draw.rectangle((window_x, window_y, *corner), fill=ink)
            left += breadth + side * rng.uniform(0, 0.05)
    pixels = pixels_of(image)
    bloom = pixels_of(image.filter(ImageFilter.GaussianBlur(side * 0.015)))
    return pixels + 0.5 * bloom


# Along and across a petal, from the heart to its tip and back.
_PETAL = ((0.1, 0.4), (0.7, 1), (0.95, 0.6), (0.95, -0.6), (0.7, -1), (0.1, -0.4))


def daisies(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw flowers with white, pink or violet petals around a yellow heart, over a meadow."""
    shade = clouds(rng, height, width, 14)
    image = paint(_mix(_near(rng, (0.1, 0.25, 0.08)), _near(rng, (0.4, 0.6, 0.2)), shade))
    draw = ImageDraw.Draw(image)
    side = min(height, width)
    petal = ((0.95, 0.95, 0.92), (0.92, 0.6, 0.75), (0.65, 0.5, 0.85))[rng.integers(3)]
    size = side * rng.uniform(0.07, 0.2)
    for _ in range(int(0.6 * height * width / size**2 / 4) + 2):
        centre_x, centre_y = rng.uniform(0, width), rng.uniform(0, height)
        radius, colour = size * rng.uniform(0.7, 1.2), _near(rng, petal, 0.04)
        count, turn = int(rng.integers(9, 15)), rng.uniform(0, 1)
        for index in range(count):
            angle = 2 * math.pi * (index + turn) / count
            along = np.array((math.cos(angle), math.sin(angle)))
            aside = np.array((-along[1], along[0])) * radius * 0.17
            outline = [
                along * radius * reach + aside * breadth + (centre_x, centre_y)
                for reach, breadth in _PETAL
            ]
            ink = _ink(colour * (0.85 + 0.15 * math.cos(angle + 2)))
            draw.polygon([(float(px), float(py)) for px, py in outline], fill=ink)
        heart = radius * 0.3
        box = (centre_x - heart, centre_y - heart, centre_x + heart, centre_y + heart)
        draw.ellipse(box, fill=_ink(_near(rng, (0.93, 0.75, 0.12), 0.04)))
    return pixels_of(image)


def forest(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw trunks in three depths, paler with the distance, under and above mottled green."""
    y, x = _axes(height, width)
    tall, wide = float(y.max()), float(x.max())
    haze, leaf = _near(rng, (0.62, 0.74, 0.6)), _near(rng, (0.16, 0.33, 0.12))
    image = np.broadcast_to(haze, (height, width, 3)).astype(np.float32)
    for depth in (0.25, 0.6, 1.0):
        foliage = clouds(rng, height, width, 12 + 14 * (1 - depth))
        cover = np.clip((foliage - 0.5 + 0.35 * np.abs(y / tall - 0.45)) * 9, 0, 1)
        green = _mix(leaf * 0.6, leaf * 1.6, clouds(rng, height, width, 30))
        image = _mix(image, _mix(green, haze, np.full_like(y, 0.7 * (1 - depth))), cover * 0.85)
        bark = _near(rng, (0.22, 0.16, 0.11), 0.03) * depth + haze * 0.75 * (1 - depth)
        grain = 0.6 + 0.8 * clouds(rng, max(2, height // 8), width, 40).mean(axis=0)
        for _ in range(int(rng.integers(3, 7))):
            foot, lean = rng.uniform(0, wide), rng.normal(0, 0.06)
            half = rng.uniform(0.012, 0.035) * (0.5 + depth)
            offset = np.abs(x - foot - lean * y) / half
            trunk = np.clip((1 - offset) * 6, 0, 1) * (y < tall * (0.7 + 0.28 * depth))
            image = _mix(image, bark * grain[None, :, None], trunk)
    floor = clouds(rng, height, width, 24)[..., None] * _near(rng, (0.4, 0.4, 0.15))
    return _mix(image, floor, np.clip((y / tall - 0.88) * 8, 0, 1))


_DYES = (
    (0.8, 0.12, 0.2),
    (0.12, 0.3, 0.65),
    (0.1, 0.5, 0.45),
    (0.85, 0.35, 0.55),
    (0.95, 0.6, 0.1),
)


def polka_dots(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw cloth with a regular grid of dots, white on a dye or a dye on white, with folds."""
    down, across = _rotated(rng, height, width)
    step = rng.uniform(0.1, 0.28)
    folds = clouds(rng, height, width, 3)
    row = np.floor((down + 0.1 * step * folds) / step)
    across = across + 0.1 * step * folds + (row % 2) * step / 2
    from_centre = np.hypot((down + 0.1 * step * folds) % step - step / 2, across % step - step / 2)
    radius = step * rng.uniform(0.22, 0.38)
    colours = [_near(rng, (0.93, 0.92, 0.88), 0.03), _near(rng, _DYES[rng.integers(len(_DYES))])]
    cloth, dot = colours if rng.random() < 0.5 else colours[::-1]
    image = _mix(cloth, dot, np.clip((radius - from_centre) * min(height, width) / 2, 0, 1))
    return image * (0.75 + 0.4 * folds)[..., None]


def zebra_stripes(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a coat of dark and light stripes of uneven breadth that bend, in any direction."""
    down, across = _rotated(rng, height, width)
    bend = rng.uniform(0.15, 0.4) * clouds(rng, height, width, 2.5)
    ripple = 0.04 * np.sin(across * rng.uniform(4, 9) + rng.uniform(0, 6))
    phase = (down + bend + ripple) / rng.uniform(0.06, 0.15)
    wave = np.sin(2 * math.pi * phase) + rng.uniform(-0.25, 0.25)
    dark, light = _near(rng, (0.1, 0.08, 0.07), 0.03), _near(rng, (0.9, 0.86, 0.78), 0.05)
    hair = clouds(rng, height, width, 60)
    coat = _mix(dark, light, np.clip(wave * 4 + 0.5 + (hair - 0.5) * 1.5, 0, 1))
    return coat * (0.85 + 0.25 * hair)[..., None]


SCENES: dict[str, Scene] = {
    "beach sunset": beach_sunset,
    "brick wall": brick_wall,
    "city at night": city_at_night,
    "daisies": daisies,
    "forest": forest,
    "polka dots": polka_dots,
    "zebra stripes": zebra_stripes,
}
