"""Networks of Keras, each built once: small images, and a model folder of this session's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth random colours in two classes: JPEG of odd sizes, and one PNG with a palette."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    sizes = [(90, 151), (199, 64), (71, 83), (128, 96)]
    for number, (height, width) in enumerate(sizes):
        small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
        place = folder / ("a", "b")[number % 2]
        place.mkdir(exist_ok=True)
        photo = small.resize((width, height), Image.Resampling.BICUBIC)
        if number == 3:
            photo.quantize(64).save(place / f"{number}.png")
        else:
            photo.save(place / f"{number}.jpg", quality=90)
    return folder
