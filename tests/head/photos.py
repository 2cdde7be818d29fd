"""Photos of a few classes that are easy to tell apart, though not to the last one."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .graphs import jpeg

COLOURS = {"Red-Rose!": (190, 60, 60), "daisy": (150, 140, 90), "tulip": (90, 120, 170)}


def write_photos(folder, classes=tuple(COLOURS), count=22):
    """Noisy images of one colour a class, easy to learn though not to the last."""
    for number, label in enumerate(classes):
        rng = np.random.default_rng(number)
        (folder / label).mkdir(parents=True)
        for index in range(count):
            colour = np.array(COLOURS.get(label, (80, 80, 80))) + rng.normal(0, 45, 3)
            pixels = np.clip(colour + rng.normal(0, 25, (30, 40, 3)), 0, 255).astype(np.uint8)
            (folder / label / f"{index:02d}.jpg").write_bytes(jpeg(Image.fromarray(pixels)))
    return folder
