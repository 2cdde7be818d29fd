"""Images to encode, and encoding them, for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

RGBA = np.random.default_rng(0).integers(0, 256, (13, 9, 4), np.uint8)
COLOUR = Image.fromarray(RGBA[:, :, :3])
WITH_ALPHA = Image.fromarray(RGBA)


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, file_format, **options)
    return data.getvalue()
