"""Keras files that end in a map, in each kind of pooling, and in a class token, summed up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import retrain_tools as rt

SIDE = 16
layers = keras.layers
PHOTOS = np.random.default_rng(0).uniform(0, 255, (2, SIDE, SIDE, 3)).astype(np.float32)


def class_token(x: Any) -> Any:
    """A block of a vision transformer on 16 patches, behind a token that stands for the image."""
    x = layers.ZeroPadding1D((1, 0))(layers.Reshape((16, 8))(x))
    h = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(h, h)])
    return layers.LayerNormalization(name="norm")(x)[:, 0]


def average(x: Any) -> Any:
    return x.mean((1, 2))


# What makes features of a map [4, 4, 8], what is said of it, and how that gives it by hand.
CASES: dict[str, tuple[Callable[[Any], Any], str, Callable[[Any], Any] | None]] = {
    "map": (
        lambda x: x,
        "no, a feature map [4, 4, 8]; GlobalAveragePooling2D, here --pooling=avg, makes a vector "
        "of 8",
        None,
    ),
    "avg": (
        lambda x: layers.GlobalAveragePooling2D()(x),
        "yes, a vector of 8 (global average of [4, 4, 8]); no GlobalAveragePooling2D is needed",
        average,
    ),
    "avg kept as a map": (
        lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x),
        "yes, a vector of 8 (global average of [4, 4, 8]); no GlobalAveragePooling2D is needed",
        lambda x: average(x)[:, None, None],
    ),
    "max": (
        lambda x: layers.GlobalMaxPooling2D()(x),
        "yes, a vector of 8 (global maximum of [4, 4, 8]); no GlobalAveragePooling2D is needed",
        lambda x: x.max((1, 2)),
    ),
    "flatten": (
        lambda x: layers.Flatten()(x),
        "no, a vector of 128, flattened from [4, 4, 8], to which no "
        "GlobalAveragePooling2D can be added; --bottleneck_tensor=BEFORE --pooling=avg makes a "
        "vector of 8",
        lambda x: x.reshape(len(x), -1),
    ),
    "class token": (
        class_token,
        "yes, a vector of 8 (the first token (the class token) of [17, 8]); no "
        "GlobalAveragePooling2D is needed",
        lambda x: x[:, 0],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_how_a_keras_file_was_pooled(case: str, tmp_path: Path) -> None:
    build, answer, by_hand = CASES[case]
    images = keras.Input((SIDE, SIDE, 3), name="images")
    scaled = layers.Rescaling(1 / 127.5, -1)(images)
    model = keras.Model(images, build(layers.Conv2D(8, 4, 4, name="patches")(scaled)), name="m")
    model.save(tmp_path / "m.keras")
    opened = rt.load(tmp_path / "m.keras")
    summary = opened.summary()
    (found,) = summary.pooling
    assert found.answer == answer.replace("BEFORE", str(found.before))
    assert str(summary.pixels) == (
        "0 to 255 at images:0, of which the graph makes -1 to 1: its own arithmetic before the "
        "first layer shows it"
    )
    assert (found.before is None) == (by_hand is None)
    if by_hand is not None:
        before = rt.run(opened, [str(found.before)], {"images:0": PHOTOS})[str(found.before)]
        np.testing.assert_allclose(by_hand(before), model(PHOTOS), atol=1e-5)
