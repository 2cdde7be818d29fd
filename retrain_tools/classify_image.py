"""Label one image with the ImageNet graph of 2015, as TensorFlow's classify_image.py did.

  python -m retrain_tools.classify_image --image_file=photo.jpg
  python -m retrain_tools.classify_image --model_dir=/tmp/imagenet

MODEL_DIR holds the graph and its label maps, as classify_image.py left them; what is missing is
downloaded. label_image does the same for many images, with any graph.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from retrain_tools import catalog, command_line, graph_flags
from retrain_tools.errors import InputError
from retrain_tools.head.labelling import label_images
from retrain_tools.head.labels import labels_of

_GRAPH = "inception-2015-12-05"
_ITS_FILE = "classify_image_graph_def.pb"
_ITS_IMAGE = "cropped_panda.jpg"

graph_flags.define_graph_flags()
graph_flags.define_run_flags()
graph_flags.define_path(
    "image_file", None, f"The image. Default: MODEL_DIR/{_ITS_IMAGE}, if it is there."
)
flags.DEFINE_integer("num_top_predictions", 5, "How many labels to show.", lower_bound=1)
FLAGS = flags.FLAGS


def main(_: list[str]) -> None:
    """Run the script."""
    folder = catalog.model_folder(FLAGS.model_dir)
    image = Path(FLAGS.image_file or folder / _ITS_IMAGE)
    if not image.is_file():
        raise InputError(
            f"No such image: {image} (--image_file)"
            if FLAGS.image_file
            else f"Name the image with --image_file; there is no {image}."
        )
    there = folder / _ITS_FILE  # whichever it is: classify_image.py did not ask, either
    frozen = graph_flags.given_frozen_graph(
        FLAGS.graph or (str(there) if there.is_file() else _GRAPH)
    )
    [result] = label_images(
        frozen,
        lambda count: labels_of(frozen, count),
        [str(image)],
        FLAGS.num_top_predictions,
        on_error="fail",
        running=graph_flags.given_run_settings(),
    )
    for label, score in result.best:
        print(f"{label} (score = {score:.5f})")


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
