"""What this machine can do at most: matrix products, decoding, writing files."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import measured
from benchmarks.records import Record
from benchmarks.setting import PRECISIONS, Setting, cores
from benchmarks.stopwatch import per_second
from benchmarks.subjects import large_photos, small_photos

_SIDE = 2048
_SECONDS = 3  # of each measurement
_TARGET = 299


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure the limits: products on all cores, the rest on one."""
    products = {
        f"matmul {precision}": partial(measured, "limits.matmul", precision=precision)
        for precision in PRECISIONS
    }
    yield setting.compare("limits", f"matmul {_SIDE} × {_SIDE}, all cores", "GFLOP/s", products)
    for kind, photos in (("small", small_photos(setting)), ("12 MP", large_photos(setting))):
        ways = {
            "JPEG decode": partial(measured, "limits.decode", photos=str(photos), resize=False),
            "decode and resize": partial(
                measured, "limits.decode", photos=str(photos), resize=True
            ),
        }
        yield setting.compare("limits", f"{kind} photos, one core", "images/s", ways)
    ways = {"text of 2048 floats": partial(measured, "limits.write")}
    yield setting.compare("limits", "text files, one core", "files/s", ways)


def matmul(precision: str) -> dict[str, float]:
    """Multiply two matrices on all cores; return GFLOP a second."""
    import tensorflow as tf

    one = tf.cast(tf.random.uniform((_SIDE, _SIDE)), precision)
    product = tf.function(lambda: tf.linalg.matmul(one, one))
    product()
    count = _until(lambda: product().numpy())
    flops = 2 * _SIDE**3 / 1e9
    return _scaled(per_second(count, lambda: [product().numpy() for _ in range(count)]), flops)


def decode(photos: str, resize: bool) -> dict[str, float]:
    """Decode photos on one core with TensorFlow, as graphs do; with `resize`, to 299 × 299."""
    import tensorflow as tf

    from retrain_tools.images.folders import find_images

    tf.config.threading.set_intra_op_parallelism_threads(1)
    encoded = [Path(image.path).read_bytes() for image in find_images(photos)]

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def one(data: Any) -> Any:
        pixels = tf.io.decode_jpeg(data, channels=3)
        if not resize:
            return pixels
        return tf.compat.v1.image.resize_bilinear(tf.cast(pixels, tf.float32)[None], [_TARGET] * 2)

    one(encoded[0])
    found = per_second(len(encoded), lambda: [one(data) for data in encoded])
    return _on_one_core(found)


def write() -> dict[str, float]:
    """Write bottlenecks as text files on one core, as the cache does."""
    from retrain_tools import files
    from retrain_tools.features.cache import format_bottleneck

    vector = np.random.default_rng(0).random(2048, np.float32)
    with tempfile.TemporaryDirectory() as scratch:

        def one() -> None:
            files.write_text(Path(scratch, "photo.jpg.txt"), format_bottleneck(vector))

        count = _until(one)
        return _on_one_core(per_second(count, lambda: [one() for _ in range(count)]))


def _until(job: Any) -> int:
    """Return how often a job is done within the time of a measurement."""
    job()
    start = time.monotonic()
    job()
    return max(3, int(_SECONDS / (time.monotonic() - start)))


def _on_one_core(found: dict[str, float]) -> dict[str, float]:
    return {**found, "cpu": found["cpu"] / cores()}


def _scaled(found: dict[str, float], factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in found.items()}
