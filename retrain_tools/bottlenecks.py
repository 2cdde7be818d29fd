r"""Cache the bottleneck of every image in a folder, one text file each, as retrain.py does.

  python -m retrain_tools.bottlenecks --graph=classify_image_graph_def.pb \
      --image_dir=flower_photos --bottleneck_dir=bottlenecks

A second run computes only what is missing or damaged. The last line says what was done.
"""

from __future__ import annotations

from absl import flags

from retrain_tools import command_line
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.images.decode import MAX_PIXELS
from retrain_tools.images.folders import find_images
from retrain_tools.sources.load import load_graph

_GRAPH = flags.DEFINE_string(
    "graph", None, "Graph file, slim checkpoint, or the name of a catalogued network."
)
_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder of images: one folder per class, nested folders, or flat."
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir", "bottlenecks", "Folder of the cache: BOTTLENECK_DIR/LABEL/IMAGE<suffix>.txt."
)
_BOTTLENECK_TENSOR = flags.DEFINE_string(
    "bottleneck_tensor", None, "Tensor to cache. Default: the graph's best; see list_tensors."
)
_POOLING = flags.DEFINE_enum(
    "pooling", "avg", POOLINGS, "How a tensor that is no vector becomes one."
)
_SUFFIX = flags.DEFINE_string(
    "bottleneck_suffix",
    None,
    "Between image name and .txt: '' (2016), _inception_v3 (2017), or a module name (2018). "
    "Default: what the folder has already, else ''.",
)
_TRUST_CACHE = flags.DEFINE_boolean(
    "trust_cache", False, "Take a cache without manifest as it is, without the spot check."
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "skip", ["skip", "fail"], "What to do about an image that cannot be used."
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_image_pixels", MAX_PIXELS, "Largest width × height of an image to accept.", lower_bound=1
)
_MODEL_DIR = flags.DEFINE_string(
    "model_dir", None, "Where catalogued graphs are kept. Default: the user's cache folder."
)
_INPUT_LAYER = flags.DEFINE_string("input_layer", None, "Tensor that takes the image.")
_INPUT_HEIGHT = flags.DEFINE_integer("input_height", None, "Height of the graph's images.")
_INPUT_WIDTH = flags.DEFINE_integer("input_width", None, "Width of the graph's images.")
_INPUT_MEAN = flags.DEFINE_float("input_mean", None, "Subtracted from pixels of 0 to 255.")
_INPUT_STD = flags.DEFINE_float("input_std", None, "What pixels are divided by after that.")


def main(_: list[str]) -> None:
    """Run the script."""
    command_line.require(_GRAPH, _IMAGE_DIR)
    images = find_images(_IMAGE_DIR.value)
    frozen = load_graph(
        _GRAPH.value,
        _MODEL_DIR.value,
        SpecOverrides(
            input_layer=_INPUT_LAYER.value,
            bottleneck_tensor=_BOTTLENECK_TENSOR.value,
            input_height=_INPUT_HEIGHT.value,
            input_width=_INPUT_WIDTH.value,
            input_mean=_INPUT_MEAN.value,
            input_std=_INPUT_STD.value,
        ),
    )
    options = CacheOptions(
        bottleneck_dir=_BOTTLENECK_DIR.value,
        bottleneck_suffix=_SUFFIX.value,
        pooling=_POOLING.value,
        trust_cache=_TRUST_CACHE.value,
        on_error=_ON_ERROR.value,
        max_image_pixels=_MAX_PIXELS.value,
    )
    print(fill_cache(frozen, images, options).summary())


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
