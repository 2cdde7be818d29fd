"""Slim's evaluation crops against a recomputation with TensorFlow's and NumPy's own means."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import PREPROCESSING
from retrain_tools.slim.preprocessing import evaluation_side
from tests.slim.golden import run

SIZES = [(300, 400), (401, 299), (64, 64), (225, 900), (33, 57)]


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)


def prepared(kind: str, pixels: np.ndarray, size: int) -> np.ndarray:
    side = evaluation_side(PREPROCESSING[kind], (size, size))
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return run(side.graph_def, {"pixels": side.pixels}, png.getvalue(), side.encoded)["pixels"]


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    value = pixels[np.newaxis].astype(np.float32)
    return tf.raw_ops.ResizeBilinear(images=value, size=size).numpy()


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_inception_takes_seven_eighths_from_the_middle(height, width):
    pixels = image(height, width)
    middle = tf.image.central_crop(pixels, 0.875).numpy()
    wanted = resized(middle, (29, 29)) / 127.5 - 1
    np.testing.assert_allclose(prepared("inception", pixels, 29), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_vgg_shrinks_to_256_and_takes_the_middle(height, width):
    pixels = image(height, width)
    scale = np.float32(256) / np.float32(min(height, width))
    size = tuple(int(np.rint(np.float32(length) * scale)) for length in (height, width))
    top, left = ((length - 224) // 2 for length in size)
    middle = resized(pixels, size)[:, top : top + 224, left : left + 224]
    wanted = middle - np.array([123.68, 116.78, 103.94], np.float32)
    found = prepared("vgg", pixels, 224)
    assert found.shape == (1, 224, 224, 3)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
