r"""Fetch named tensors of a graph for images, several in one pass, into one file of features.

  python -m retrain_tools.fetch_tensors --graph=classify_image_graph_def.pb \
      --tensors=pool_3/_reshape:0,mixed_8/join:0 --image_dir=photos --output=features.npz
  python -m retrain_tools.fetch_tensors --graph=inception_v3_2016_08_28.tar.gz \
      --tensors=PreLogits,Mixed_6e --pooling=avg --output=features.parquet one.jpg two.jpg

Images come from --image_dir, from --image_list, or after the flags. Row i of every tensor is of
image i of the list `images` in the output; an image that cannot be used has no row, and is named
with the reason. The end of --output chooses the kind of file:
  .npz      an array for each tensor, and `images`; numpy.load reads it
  .npy      one file for each tensor (STEM.TENSOR.npy if there are several), and STEM.images.txt
  .parquet  a column for each tensor, and `images` (pip install 'retrain_tools[parquet]')
  .h5       a dataset for each tensor, and `images` (pip install 'retrain_tools[hdf5]')
  .pkl      a pickled dict {image path: array}, or {image path: {tensor: array}} for several tensors
A run that was stopped goes on when it is started again. A second run computes what is new.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.features.fetch import FetchOptions, fetch_tensors, named_tensor
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.features.stores import store_format
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.images.decode import MAX_PIXELS
from retrain_tools.images.folders import find_images, read_image_list
from retrain_tools.sources.load import Choices, load_graph

_GRAPH = flags.DEFINE_string(
    "graph", None, "Graph file, slim checkpoint, or the name of a catalogued network."
)
_TENSORS = flags.DEFINE_list(
    "tensors", None, "Tensors to fetch, or slim's names of end points. Default: the bottleneck."
)
_OUTPUT = flags.DEFINE_string("output", None, "The file of features to write.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", None, "Folder of images, searched at any depth.")
_IMAGE_LIST = flags.DEFINE_string(
    "image_list", None, "Text file with the path of an image in each line."
)
_POOLING = flags.DEFINE_enum(
    "pooling",
    "none",
    POOLINGS,
    "How a feature map becomes a vector; none keeps its shape, [height, width, channels].",
)
_PREPROCESS = flags.DEFINE_enum(
    "preprocess",
    None,
    ["resize", "slim", "none"],
    "For a slim checkpoint: resize whole images (the default), or crop them as slim did to "
    "evaluate. For any graph, none: feed pixels of 0 to 255, resized by Pillow and not scaled, as "
    "some older feature tools did by mistake.",
)
_OVERWRITE = flags.DEFINE_boolean(
    "overwrite", False, "Replace an output that was made in another way."
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


def main(arguments: list[str]) -> None:
    """Run the script."""
    command_line.require(_GRAPH, _OUTPUT)
    store_format(_OUTPUT.value)  # what is wrong with it is said before a graph is opened
    paths = _images(arguments)
    raw = _PREPROCESS.value == "none"
    if raw and (_INPUT_MEAN.value, _INPUT_STD.value) != (None, None):
        raise InputError("--preprocess=none does not scale: leave out --input_mean, --input_std.")
    frozen = load_graph(
        _GRAPH.value,
        _MODEL_DIR.value,
        SpecOverrides(
            input_layer=_INPUT_LAYER.value,
            input_height=_INPUT_HEIGHT.value,
            input_width=_INPUT_WIDTH.value,
            input_mean=_INPUT_MEAN.value,
            input_std=_INPUT_STD.value,
            raw_pixels=raw,
        ),
        Choices(preprocess=None if raw else _PREPROCESS.value),
    )
    names = [name.strip() for name in _TENSORS.value or [frozen.spec.bottleneck]]
    tensors = {name: named_tensor(frozen, name) for name in names}
    options = FetchOptions(
        output=_OUTPUT.value,
        pooling=None if _POOLING.value == "none" else _POOLING.value,
        raw_pixels=raw,
        overwrite=_OVERWRITE.value,
        max_image_pixels=_MAX_PIXELS.value,
    )
    print(fetch_tensors(frozen, tensors, paths, options).summary())


def _images(arguments: list[str]) -> list[str]:
    paths = [image.path for image in find_images(_IMAGE_DIR.value)] if _IMAGE_DIR.value else []
    if _IMAGE_LIST.value:
        paths += read_image_list(_IMAGE_LIST.value)
    for place in arguments:
        paths += [i.path for i in find_images(place)] if Path(place).is_dir() else [place]
    if not paths:
        raise InputError("Name images with --image_dir, with --image_list, or after the flags.")
    return paths


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
