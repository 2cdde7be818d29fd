"""Compare features of Keras's networks with those of `model.predict` on Keras's own loading path.

  .venv/bin/python tools/check_applications.py --image_dir=../shared/data/orchids/images

For each network, at its default size and at 150, with random weights of a seed: `bottlenecks` for
20 photos against `keras.utils.load_img`, the application's `preprocess_input` and `predict`, for
pooling none, avg and max. Printed is the largest difference in standard deviations of the features;
one of 1e-4 or more is an error. Of the network that --layers names, every layer is compared.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import flags

import retrain_tools as rt
from retrain_tools import command_line, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.images.folders import ImageFile, find_images
from retrain_tools.sources.applications.names import application_modules, application_name
from retrain_tools.sources.applications.seeded import seed_weights

graph_flags.define_path("image_dir", None, "Folder of photos, one folder per class.")
flags.DEFINE_list(
    "networks",
    ["InceptionV3", "Xception", "VGG16", "VGG19", "ResNet50", "MobileNetV2"],
    "Which networks; all for every one that Keras has.",
)
flags.DEFINE_list("sizes", ["default", "150"], "Image sizes in pixels.")
flags.DEFINE_list("poolings", ["none", "avg", "max"], "Ways of pooling.")
flags.DEFINE_string("layers", "MobileNetV2", "The network of which every layer is compared.")
flags.DEFINE_integer("photos", 20, "How many photos.", lower_bound=2)
FLAGS = flags.FLAGS

_MOST = 1e-4


def main(_: list[str]) -> None:
    """Run the script."""
    command_line.require("image_dir")
    found = find_images(FLAGS.image_dir)
    photos = found[:: max(1, len(found) // FLAGS.photos)][: FLAGS.photos]
    names = application_modules() if FLAGS.networks == ["all"] else FLAGS.networks
    worst = 0.0
    for name in map(application_name, names):
        for size in FLAGS.sizes:
            side = None if size == "default" else int(size)
            worst = max(worst, compare(name, side, photos, FLAGS.poolings, name == FLAGS.layers))
    print(f"largest: {worst:.1e}")
    if not worst < _MOST:
        raise InputError(f"A difference is {worst:.1e} standard deviations, not below {_MOST:.0e}.")


def compare(
    name: str, side: int | None, photos: Sequence[ImageFile], poolings: Sequence[str], layers: bool
) -> float:
    """Print the differences of a network at one size, and return the largest."""
    start = time.monotonic()
    frozen = rt.load(f"keras:{name}", weights="none", input_height=side).frozen()
    height, width = frozen.spec.image_size
    keras = importlib.import_module("keras")
    keras.utils.clear_session()  # so that layers get the names that they have in a new process
    module = importlib.import_module(application_modules()[name])
    build = getattr(keras.applications, name)
    model = build(include_top=False, weights=None, input_shape=(height, width, 3))
    seed_weights(model, 0)
    pixels = prepared(module, photos, (height, width))
    features = model.predict(pixels, verbose=0)
    told = []
    for pooling in poolings:
        with tempfile.TemporaryDirectory() as folder:
            options = CacheOptions(bottleneck_dir=folder, pooling=pooling)
            cache = fill_cache(frozen, photos, options).cache
            rows = [cache.read(photo) for photo in photos]
        told.append((pooling, difference(np.array(rows), pooled(features, pooling))))
    if layers:
        told.append(
            (f"{len(model.layers) - 1} layers", every_layer(name, side, photos, model, pixels))
        )
    texts = ", ".join(f"{what} {error:.1e}" for what, error in told)
    seconds = time.monotonic() - start
    print(f"{name} {height} × {width}, {len(photos)} photos: {texts} ({seconds:.0f} s)", flush=True)
    return max(error for _, error in told)


def prepared(module: Any, photos: Sequence[ImageFile], size: tuple[int, int]) -> Any:
    """Load and prepare photos as Keras does: float32 [N, h, w, 3]."""
    utils = importlib.import_module("keras.utils")
    loaded = [utils.img_to_array(utils.load_img(p.path, target_size=size)) for p in photos]
    return module.preprocess_input(np.stack(loaded))


def pooled(features: npt.NDArray[np.float32], pooling: str) -> Any:
    """Pool as `include_top=False, pooling=…` does; `none` in one row an image."""
    layers = importlib.import_module("keras.layers")
    if pooling == "none":
        return features.reshape(len(features), -1)
    kind = layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D
    return np.asarray(kind()(features))


def every_layer(
    name: str, side: int | None, photos: Sequence[ImageFile], model: Any, pixels: Any
) -> float:
    """Return the largest difference of any layer's output, in its standard deviations."""
    keras = importlib.import_module("keras")
    names = [layer.name for layer in model.layers[1:]]  # all but the input
    tapped = keras.Model(model.inputs, [layer.output for layer in model.layers[1:]])
    outputs = tapped.predict(pixels[:3], verbose=0)
    opened = rt.load(f"keras:{name}", weights="none", input_height=side)
    values = rt.fetch(opened, names, [photo.path for photo in photos[:3]]).values
    pairs = zip(names, outputs, strict=True)
    return max(difference(values[layer], output) for layer, output in pairs)


def difference(found: Any, wanted: Any) -> float:
    """Return the largest absolute difference in standard deviations of what is wanted."""
    return float(np.abs(found - wanted).max() / wanted.std())


if __name__ == "__main__":
    command_line.run(main)
