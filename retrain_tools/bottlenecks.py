r"""Cache the bottleneck of every image in a folder, one text file each, as retrain.py does.

  python -m retrain_tools.bottlenecks --graph=classify_image_graph_def.pb \
      --image_dir=flower_photos --bottleneck_dir=bottlenecks

A second run computes only what is missing or damaged. The last line says what was done.
"""

from __future__ import annotations

from absl import flags

from retrain_tools import command_line, graph_flags
from retrain_tools.features.cache_formats import CACHE_FORMATS
from retrain_tools.features.fill import CacheOptions, check_options, fill_cache
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.images.folders import find_images

graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=False)
graph_flags.define_run_flags()
graph_flags.define_job_flags()
graph_flags.define_path(
    "bottleneck_dir", "bottlenecks", "Folder of the cache: BOTTLENECK_DIR/LABEL/IMAGE<suffix>.txt."
)
flags.DEFINE_string(
    "bottleneck_tensor", None, "Tensor to cache. Default: the graph's best; see list_tensors."
)
flags.DEFINE_enum(
    "pooling",
    "avg",
    POOLINGS,
    "How a feature map becomes a vector: by its mean or maximum, or, with flatten or none, all its "
    "values, the channels fastest.",
)
flags.DEFINE_string(
    "bottleneck_suffix",
    None,
    "Between image name and .txt: '' (2016), _inception_v3 (2017), or a module name (2018). "
    "Default: what the folder has already, else ''.",
)
flags.DEFINE_boolean(
    "trust_cache",
    False,
    "Take a cache of old as it is, without the spot check; manifest.json says so.",
)
flags.DEFINE_enum(
    "cache_format",
    None,
    CACHE_FORMATS,
    "text: a file for each image, as retrain.py has it; npy: one matrix, bottlenecks<suffix>.npy, "
    "smaller and faster. Default: what the folder has already, else text.",
)
FLAGS = flags.FLAGS


def main(_: list[str]) -> command_line.Summary:
    """Run the script."""
    command_line.require("graph", "image_dir")
    images = find_images(FLAGS.image_dir)
    options = CacheOptions(
        bottleneck_dir=FLAGS.bottleneck_dir,
        bottleneck_suffix=FLAGS.bottleneck_suffix,
        pooling=FLAGS.pooling,
        trust_cache=FLAGS.trust_cache,
        cache_format=FLAGS.cache_format,
        on_error=FLAGS.on_error,
        max_failures=FLAGS.max_failures,
        running=graph_flags.given_run_settings(),
    )
    check_options(options)
    frozen = graph_flags.given_frozen_graph(bottleneck_tensor=FLAGS.bottleneck_tensor)
    filled = fill_cache(frozen, images, options)
    print(filled.summary())
    return command_line.Summary(len(filled.failed), filled.figures())


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
