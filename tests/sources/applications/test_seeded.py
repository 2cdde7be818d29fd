"""Random weights: the same everywhere, and such that every layer does something."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from retrain_tools.sources.applications.seeded import seed_weights


def small() -> Any:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(20, 3, name="conv"),
            keras.layers.DepthwiseConv2D(3, name="depthwise"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.SeparableConv2D(7, 3, name="separable"),
            keras.layers.Dense(5, name="dense"),
        ]
    )


def seeded(seed: int) -> dict[str, Any]:
    model = small()
    seed_weights(model, seed)
    return {v.path.split("/", 1)[-1]: np.asarray(v) for v in model.weights}


def test_a_seed_gives_the_same_weights_in_every_process_and_on_every_machine() -> None:
    weights = seeded(0)
    digest = hashlib.sha256(b"".join(value.tobytes() for value in weights.values()))
    assert digest.hexdigest() == (
        "1acde946478979c99c1f934cee150ded2d8c2720ca63b11044bf8a752850725c"
    )


def test_another_seed_gives_other_weights() -> None:
    for (name, one), other in zip(seeded(0).items(), seeded(1).values(), strict=True):
        assert not np.array_equal(one, other), name


def test_kernels_keep_the_size_of_what_goes_through_them() -> None:
    weights = seeded(0)
    for name, fan_in in {
        "conv/kernel": 27,
        "depthwise/kernel": 9,
        "separable/depthwise_kernel": 9,
        "separable/pointwise_kernel": 20,
        "dense/kernel": 7,
    }.items():
        found = next(value for key, value in weights.items() if key.endswith(name))
        limit = np.sqrt(4.5 / fan_in)
        assert 0.8 * limit < np.abs(found).max() < limit, name
    for name, around in {"gamma": 1, "moving_variance": 1, "beta": 0, "moving_mean": 0}.items():
        found = next(value for key, value in weights.items() if key.endswith(f"norm/{name}"))
        assert 0.05 < np.abs(found - around).max() <= 0.1, name
