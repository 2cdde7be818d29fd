"""Compare the accuracy of heads that are trained on float32 and on bfloat16 features.

  python tools/check_precision.py --graph=GRAPH.pb --image_dir=../shared/data/orchids/images

Images are split at random, four fifths for training, once for each of --splits; both heads of a
split are trained on the same images in the same order. Nothing of it is a test.
"""

from __future__ import annotations

import tempfile

import numpy as np
from absl import flags

from retrain_tools import command_line
from retrain_tools.engine.settings import BFLOAT16, FLOAT32, RunSettings
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.head.evaluation import evaluate
from retrain_tools.head.training import (
    Classes,
    TrainingSettings,
    Vectors,
    initial_head,
    sample_rows,
    train,
)
from retrain_tools.images.folders import find_images
from retrain_tools.sources.open import open_model

flags.DEFINE_string("graph", None, "The graph.")
flags.DEFINE_string("image_dir", None, "Folder of images, one folder for each class.")
flags.DEFINE_integer("splits", 5, "How many splits are tried.", lower_bound=1)
flags.DEFINE_integer("steps", 2000, "Steps of training.", lower_bound=1)
FLAGS = flags.FLAGS


def accuracy_of(vectors: Vectors, classes: Classes, seed: int) -> float:
    """Train on four fifths of the images and return the accuracy on the others."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(classes))
    test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    count = int(classes.max()) + 1
    rows = [rest[classes[rest] == number] for number in range(count)]

    def batch() -> tuple[Vectors, Classes]:
        drawn = sample_rows(rng, rows, 100)
        return vectors[drawn], classes[drawn]

    start = initial_head(rng, vectors.shape[1], count)
    settings = TrainingSettings(how_many_training_steps=FLAGS.steps, eval_step_interval=FLAGS.steps)
    head = train(start, settings, batch, batch, lambda _: None)
    return evaluate(head, vectors[test], classes[test]).accuracy or 0.0


def main(_: list[str]) -> None:
    """Fetch features in both precisions, train, and print the accuracies."""
    command_line.require("graph", "image_dir")
    frozen = open_model(FLAGS.graph).frozen()
    images = find_images(FLAGS.image_dir)
    labels = sorted({image.folder for image in images})
    classes = np.array([labels.index(image.folder) for image in images], np.int64)
    found = {}
    for precision in (FLOAT32, BFLOAT16):
        with tempfile.TemporaryDirectory() as folder:
            options = CacheOptions(folder, running=RunSettings(precision=precision))
            vectors = fill_cache(frozen, images, options, with_vectors=True).vectors
        found[precision] = [accuracy_of(vectors, classes, seed) for seed in range(FLAGS.splits)]
        each = ", ".join(f"{value:.1%}" for value in found[precision])
        print(f"{precision}: {np.mean(found[precision]):.2%} ({each})")
    difference = np.mean(found[BFLOAT16]) - np.mean(found[FLOAT32])
    print(f"bfloat16 is {100 * difference:+.2f} points from float32 over {FLAGS.splits} splits")


if __name__ == "__main__":
    command_line.run(main)
