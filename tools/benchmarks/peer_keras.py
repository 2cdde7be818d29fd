"""Keras's own networks and its own way from a folder of images to features."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopwatch import per_second

# The nearest of Keras's applications: module, class, side of the images, arguments.
NETWORKS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "inception_2015": ("inception_v3", "InceptionV3", 299, {}),
    "inception_v3": ("inception_v3", "InceptionV3", 299, {}),
    "resnet_v1_50": ("resnet", "ResNet50", 224, {}),
    "mobilenet_v1_0.25_128": (
        "mobilenet",
        "MobileNet",
        128,
        {"alpha": 0.25, "input_shape": (128, 128, 3)},
    ),
}


def predict(name: str, photos: str) -> dict[str, float]:
    """Run `predict` on `image_dataset_from_directory`, in batches of 32; nothing is written."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    module, network, side, arguments = NETWORKS[name]
    application = getattr(keras.applications, module)
    model = getattr(application, network)(
        weights=None, include_top=False, pooling="avg", **arguments
    )
    size = (side, side)
    images = (
        keras.utils.image_dataset_from_directory(
            photos, labels=None, batch_size=32, image_size=size, shuffle=False, verbose=False
        )
        .map(application.preprocess_input, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    count = sum(1 for _ in Path(photos).rglob("*.jpg"))
    # The sizes of both batches, so that nothing is traced while it is timed.
    for rows in {32, count % 32} - {0}:
        model.predict(np.zeros((rows, *size, 3), np.float32), verbose=0)
    return per_second(count, lambda: model.predict(images, verbose=0))
