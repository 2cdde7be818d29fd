r"""Fetch named tensors of a graph for any number of images, by many processes, into parts.

  python -m retrain_tools.fetch_many --graph=classify_image_graph_def.pb \
      --tensors=pool_3/_reshape:0 --image_dir=photos --output=features
  python -m retrain_tools.fetch_many --graph=gs://bucket/graph.pb --image_list=list.parquet \
      --output=gs://bucket/features --runner=ray --address=auto

Images come from --image_dir, whose topmost folders are the labels, or from --image_list: a text
file with a path or URI a line, or a Parquet file with a column `uri`, and `label` if there are
labels. Images and output are local paths, or URIs (pip install fsspec, and the package of your
store). Each --shard_size images of the list are a part:
  manifest.json                   how all of it was made, and of which list
  list/00000.parquet              the images of the first part: uri, size, version, label
  part-00000.parquet              image, label, and a column of lists for each tensor
  part-00000.failures.parquet     uri, reason and kind of those that have no row, if there are any
  part-00000.json                 written last: a part counts only with it
pyarrow.dataset, DuckDB, Spark and pandas read part-*[0-9].parquet as one table. Values are those of
fetch_tensors, bit by bit on the same kind of CPU.

The same command goes on where a run was stopped. Parts that are finished are not made again; where
images changed, only those are computed. An image that failed is not tried again unless
--retry_failed is given and the failure may pass (kinds reading, memory and worker). An output of
another graph, other tensors or other settings is refused.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from retrain_tools import command_line, graph_flags, storage
from retrain_tools.features.fetch import named_tensors
from retrain_tools.features.parts.driver import fetch_many
from retrain_tools.features.parts.options import RUNNERS, ManyOptions, check_options
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.leftovers import scratch_folder
from retrain_tools.uris import is_uri

graph_flags.define_graph_flags()
graph_flags.define_path("image_dir", None, "Folder or URI of images, searched at any depth.")
graph_flags.define_path(
    "image_list",
    None,
    "Text file with the path or URI of an image in each line, or Parquet file (.parquet) with the "
    "columns uri and, if there are labels, label; may itself be a URI.",
)
graph_flags.define_largest_image()
graph_flags.define_run_flags(threads=False)
graph_flags.define_job_flags()
flags.DEFINE_list(
    "tensors", None, "Tensors to fetch, or slim's names of end points. Default: the bottleneck."
)
graph_flags.define_path("output", None, "The folder or URI to write the parts to.")
flags.DEFINE_enum(
    "pooling",
    "none",
    POOLINGS,
    "How a feature map becomes a vector; none keeps its shape, [height, width, channels].",
)
flags.DEFINE_enum(
    "runner",
    "local",
    RUNNERS,
    "Who has the workers: local, processes of this machine; ray, a cluster of Ray.",
)
flags.DEFINE_string(
    "address",
    None,
    "Of the Ray cluster; auto is the one that this machine belongs to. Default: a new one, here.",
)
flags.DEFINE_integer(
    "workers", None, "Processes, of one thread and about 1.2 GB each. Default: one on each core.", 1
)
flags.DEFINE_integer("shard_size", 4096, "Images in a part.", 1)
flags.DEFINE_boolean(
    "retry_failed",
    False,
    "Compute again what failed for a reason that may pass: images that could not be read, or for "
    "which there was no memory, or whose worker died.",
)
flags.DEFINE_boolean(
    "overwrite", False, "Replace and remove parts of images that the list does not name any more."
)
FLAGS = flags.FLAGS


def _given_frozen_graph() -> FrozenGraph:
    """Open what --graph names, which may be a file at a URI."""
    if not is_uri(FLAGS.graph):
        return graph_flags.given_frozen_graph()
    with scratch_folder() as folder:
        copy = Path(folder, FLAGS.graph.rstrip("/").rpartition("/")[2])
        copy.write_bytes(storage.read(FLAGS.graph))
        frozen = graph_flags.given_frozen_graph(str(copy))
    return dataclasses.replace(frozen, path=Path(FLAGS.graph))


def main(_: list[str]) -> command_line.Summary:
    """Run the script."""
    command_line.require("graph", "output")
    options = ManyOptions(
        output=FLAGS.output,
        image_dir=FLAGS.image_dir,
        image_list=FLAGS.image_list,
        runner=FLAGS.runner,
        address=FLAGS.address,
        workers=FLAGS.workers,
        shard_size=FLAGS.shard_size,
        pooling=None if FLAGS.pooling == "none" else FLAGS.pooling,
        retry_failed=FLAGS.retry_failed,
        max_failures=FLAGS.max_failures,
        overwrite=FLAGS.overwrite,
        running=graph_flags.given_run_settings(),
    )
    check_options(options)
    frozen = _given_frozen_graph()
    fetched = fetch_many(frozen, named_tensors(frozen, FLAGS.tensors), options)
    print(fetched.summary())
    return command_line.Summary(sum(fetched.failed.values()), fetched.figures())


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
