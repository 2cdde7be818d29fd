"""Distorted images' bottlenecks against TensorFlow's own resizing and the untouched graph."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.errors import InputError
from retrain_tools.features.distorted import DistortedImages
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.images import distort
from retrain_tools.images.distort import Distortions, Draw
from retrain_tools.images.folders import find_images
from retrain_tools.quiet_tensorflow import tf

from . import tiny

EXACT = 1e-4
FLIP = Distortions(flip_left_right=True)
NOTHING = Draw((tiny.SIZE, tiny.SIZE), (0, 0), flip=False, brightness=1.0)


@pytest.fixture(params=["2015", "pixels"])
def frozen(request, graph_2015, pixel_graph):
    if request.param == "2015":
        return tiny.opened(graph_2015, tiny.BOTTLENECK_2015)
    return tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)


@pytest.fixture
def draws(monkeypatch):
    """Decide what is drawn: a list, taken from the front."""
    waiting = []
    monkeypatch.setattr(
        "retrain_tools.features.distorted.draw", lambda rng, wanted, size: waiting.pop(0)
    )
    return waiting


def bottlenecks(frozen, paths, seed=0, wanted=FLIP):
    options = CacheOptions("not used")
    with DistortedImages(frozen, wanted, options) as distorted:
        return distorted.bottlenecks([str(path) for path in paths], np.random.default_rng(seed))


def of_resized(frozen, resized):
    """The untouched graph's bottleneck of a resized image, float32 [h, w, 3] of 0 to 255."""
    resized = np.asarray(resized, np.float32)[np.newaxis]
    if frozen.spec.encoded_input is not None:
        fetch, feeds = tiny.BOTTLENECK_2015, {"ResizeBilinear:0": resized}
    else:
        fetch, feeds = tiny.BOTTLENECK_PIXELS, {"input:0": (resized - 127.5) * (1 / 127.5)}
    return tiny.run_untouched(frozen.path, fetch, feeds)[0]


def raw_pixels(path):
    return tf.io.decode_jpeg(Path(path).read_bytes(), channels=3).numpy().astype(np.float32)


def resize(image, size):
    return tf.raw_ops.ResizeBilinear(images=image[np.newaxis], size=size).numpy()[0]


def test_the_distortion_that_changes_nothing_gives_the_cached_bottlenecks(
    frozen, photos, tmp_path, draws
):
    images = find_images(str(photos))
    options = CacheOptions(str(tmp_path / "cache"))
    cached = fill_cache(frozen, images, options, with_vectors=True).vectors
    draws[:] = [NOTHING] * len(images)
    found = bottlenecks(frozen, [image.path for image in images])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cached, atol=EXACT)


def test_flipping_gives_the_bottleneck_of_the_mirrored_image(frozen, tmp_path, draws):
    # An image of the graph's size is not resized, so mirroring before and after are the same.
    path, mirrored = tmp_path / "image.png", tmp_path / "mirrored.png"
    image = tiny.photo(tiny.SIZE, tiny.SIZE, seed=4)
    image.save(path)
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    draws[:] = [dataclasses.replace(NOTHING, flip=True), NOTHING]
    flipped, plain = bottlenecks(frozen, [path, path])
    pixels = np.asarray(Image.open(mirrored))
    np.testing.assert_allclose(flipped, of_resized(frozen, pixels), atol=EXACT)
    assert np.abs(flipped - plain).max() > 100 * EXACT


def test_resizing_cropping_and_brightness_are_those_of_raw_tensorflow(frozen, photos, draws):
    paths = sorted(photos.rglob("*.jpg"))[:5]
    size = tiny.SIZE
    draws[:] = [
        Draw((size + 4, size + 9), (3, 7), flip=False, brightness=1.0),
        Draw((size, size + 1), (0, 1), flip=False, brightness=1.3),
        Draw((size + 20, size + 2), (20, 0), flip=True, brightness=0.6),
        Draw((size * 2, size * 2), (0, 0), flip=True, brightness=1.0),
        Draw((size, size), (0, 0), flip=False, brightness=2.5),  # far above 255, and not clipped
    ]
    expected = []
    for path, numbers in zip(paths, draws, strict=True):
        resized = resize(raw_pixels(path), numbers.precrop)
        top, left = numbers.offset
        changed = tf.image.crop_to_bounding_box(resized, top, left, size, size)
        changed = tf.image.flip_left_right(changed) if numbers.flip else changed
        expected.append(of_resized(frozen, changed.numpy() * np.float32(numbers.brightness)))
    np.testing.assert_allclose(bottlenecks(frozen, paths), expected, atol=EXACT)


def test_images_keep_their_order_whatever_the_size_of_a_batch(frozen, photos):
    paths = sorted(photos.rglob("*.jpg"))
    wanted = Distortions(True, 20, 20, 20)
    rng = np.random.default_rng(3)
    numbers = [distort.draw(rng, wanted, (tiny.SIZE, tiny.SIZE)) for _ in paths]
    expected = []
    for path, drawn in zip(paths, numbers, strict=True):
        resized = resize(raw_pixels(path), drawn.precrop)
        changed = distort.crop_and_light(resized, drawn, (tiny.SIZE, tiny.SIZE))
        expected.append(of_resized(frozen, changed))
    found = bottlenecks(frozen, paths, seed=3, wanted=wanted)
    np.testing.assert_allclose(found, expected, atol=EXACT)


def test_the_same_seed_gives_the_same_values_and_another_other_ones(frozen, photos):
    paths = sorted(photos.rglob("*.jpg"))
    wanted = Distortions(True, 20, 20, 20)
    first, again, other = (bottlenecks(frozen, paths, seed, wanted) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 100 * EXACT


def test_an_image_that_is_gone_since_it_was_cached_is_named(frozen, tmp_path):
    path = tmp_path / "gone.jpg"
    message = (
        f"{path} cannot be read: No such file or directory. It has a cached bottleneck, but "
        "distortions take the image itself; remove it, or train without distortions."
    )
    with pytest.raises(InputError, match=re.escape(message)):
        bottlenecks(frozen, [path])


def test_a_graph_without_a_resizing_node_is_refused_before_anything_is_opened(graph_2015):
    frozen = tiny.opened(graph_2015, tiny.BOTTLENECK_2015)
    spec = dataclasses.replace(frozen.spec, resized=None)
    frozen = dataclasses.replace(frozen, spec=spec)
    message = (
        f"Distortions enter behind the one node that resizes images, which {graph_2015} does "
        "not have; train without them."
    )
    with pytest.raises(InputError, match=re.escape(message)):
        DistortedImages(frozen, Distortions(flip_left_right=True), CacheOptions("not used"))
    DistortedImages(frozen, Distortions(), CacheOptions("not used"))  # nothing is asked of it


def test_the_workers_are_as_many_as_the_usable_cores(frozen, photos, monkeypatch):
    """Not as many as the machine has; and what is drawn does not depend on their number."""
    decoded_in = set()
    decode = ImagePreparation.decode

    def noted(self, image):
        decoded_in.add(threading.current_thread())
        time.sleep(0.01)
        return decode(self, image)

    monkeypatch.setattr(ImagePreparation, "decode", noted)
    paths = sorted(photos.rglob("*.jpg"))
    found = []
    for cores in (1, 3):
        decoded_in.clear()
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        found.append(bottlenecks(frozen, paths, wanted=Distortions(True, 20, 20, 20)))
        assert len(decoded_in) == cores
    assert found[0].tobytes() == found[1].tobytes()
