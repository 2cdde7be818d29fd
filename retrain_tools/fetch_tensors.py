r"""Fetch named tensors of a graph for images, several in one pass, into one file of features.

  python -m retrain_tools.fetch_tensors --graph=classify_image_graph_def.pb \
      --tensors=pool_3/_reshape:0,mixed_8/join:0 --image_dir=photos --output=features.npz
  python -m retrain_tools.fetch_tensors --graph=inception_v3_2016_08_28.tar.gz \
      --tensors=PreLogits,Mixed_6e --pooling=avg --output=features.parquet one.jpg two.jpg

Images come from --image_dir, from --image_list, or after the flags. Row i of every tensor is of
image i of the list `images` in the output; an image that cannot be used has no row, and is named
with the reason. Where images lie in folders of one class each below the folder that is named, the
list `labels` has the name of that folder for row i. The end of --output chooses the kind of file:
  .npz      an array for each tensor, `images` and `labels`; numpy.load reads it
  .npy      one file for each tensor (STEM.TENSOR.npy if there are several), and STEM.images.txt and
            STEM.labels.txt, a line for each row
  .parquet  a column for each tensor, `images` and `labels` (pip install pyarrow)
  .h5       a dataset for each tensor, `images` and `labels` (pip install h5py)
  .pkl      a pickled dict {image path: array}, or {image path: {tensor: array}} for several
            tensors, and STEM.labels.pkl, {image path: label}

A run that was stopped goes on when it is started again; what it has fetched gets into the output
whatever images are named then. A second run computes what is new or has changed, and keeps the rows
of images that it does not name: they stay where they are, new ones come after them. (A .pkl is
never read: one that holds other images is refused.) An output of another graph, other tensors or
other settings is refused. --overwrite replaces it, and drops the rows of images that are not named.
"""

from __future__ import annotations

from absl import flags

from retrain_tools import command_line, graph_flags
from retrain_tools.features.fetch import FetchOptions, check_options, fetch_tensors, named_tensors
from retrain_tools.features.pooling import POOLINGS

graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=True)
graph_flags.define_run_flags()
graph_flags.define_job_flags()
flags.DEFINE_list(
    "tensors", None, "Tensors to fetch, or slim's names of end points. Default: the bottleneck."
)
graph_flags.define_path("output", None, "The file of features to write.")
flags.DEFINE_enum(
    "pooling",
    "none",
    POOLINGS,
    "How a feature map becomes a vector; none keeps its shape, [height, width, channels].",
)
flags.DEFINE_boolean(
    "overwrite",
    False,
    "Replace an output that was made in another way, and drop rows of images that are not named.",
)
FLAGS = flags.FLAGS


def main(words: list[str]) -> command_line.Summary:
    """Run the script."""
    command_line.require("graph", "output")
    options = FetchOptions(
        output=FLAGS.output,
        pooling=None if FLAGS.pooling == "none" else FLAGS.pooling,
        overwrite=FLAGS.overwrite,
        on_error=FLAGS.on_error,
        max_failures=FLAGS.max_failures,
        running=graph_flags.given_run_settings(),
    )
    check_options(options)
    images = graph_flags.given_image_files(words)
    frozen = graph_flags.given_frozen_graph()
    tensors = named_tensors(frozen, FLAGS.tensors)
    labels = {image.path: image.folder for image in images if image.folder}
    paths = [image.path for image in images]
    fetched = fetch_tensors(frozen, tensors, paths, options, labels)
    print(fetched.summary())
    return command_line.Summary(len(fetched.failed), fetched.figures())


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()
