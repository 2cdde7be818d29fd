"""Compare the accuracy of a retrained last layer with that of layers that are fine-tuned with it.

  python tools/check_fine_tuning.py --graph=GRAPH.pb --image_dir=../shared/data/orchids/images
  python tools/check_fine_tuning.py --graph=GRAPH.pb

Without --image_dir, photos are drawn that are hard for a layer on pooled features: two scenes side
by side, small, grey and noisy, in classes that differ only in which of the two is on the left.
Prints the test accuracy of both for each seed, and the mean. Nothing of it is a test.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from absl import flags
from PIL import Image

from retrain_tools import command_line
from retrain_tools.features.fill import CacheOptions
from retrain_tools.head.retraining import retrain_on
from retrain_tools.head.settings import settings_in
from retrain_tools.head.training import TrainingSettings
from retrain_tools.head.tuned_tail import WITHOUT_ONEDNN, FineTuning
from retrain_tools.sources.open import open_model
from retrain_tools.standin.photos import draw_photos

flags.DEFINE_string("graph", None, "The graph.")
flags.DEFINE_string("image_dir", None, "Folder of images, one folder for each class.")
flags.DEFINE_string("fine_tune_from", "mixed_8/join", "The tensor.")
flags.DEFINE_integer("steps", 60, "Steps of fine-tuning.", lower_bound=1)
flags.DEFINE_integer("seeds", 3, "How many seeds are tried.", lower_bound=1)
flags.DEFINE_integer("testing_percentage", 40, "Percentage of images for the test.")
FLAGS = flags.FLAGS

_PAIRS = (("brick wall", "polka dots"), ("zebra stripes", "forest"))
_PER_CLASS, _SIDE, _NOISE, _ENLARGED = 60, 80, 36.0, 240


def draw_pairs(folder: Path) -> None:
    """Draw photos FOLDER/LEFT left of RIGHT/NUMBER.jpg."""
    with tempfile.TemporaryDirectory() as drawn:
        names = [name for pair in _PAIRS for name in pair]
        paths = draw_photos(drawn, 2 * _PER_CLASS, classes=names)
        scenes = {name: [path for path in paths if path.parent.name == name] for name in names}
        rng = np.random.default_rng(0)
        for one, other in _PAIRS:
            for turn, sides in enumerate(((one, other), (other, one))):
                place = folder / " left of ".join(sides)
                place.mkdir(parents=True)
                for number in range(_PER_CLASS):
                    index = number + turn * _PER_CLASS
                    halves = [_half(scenes[name][index]) for name in sides]
                    noisy = np.concatenate(halves, 1) + rng.normal(0, _NOISE, (_SIDE, _SIDE))
                    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
                    enlarged = image.convert("RGB").resize((_ENLARGED, _ENLARGED))
                    enlarged.save(place / f"{number:03d}.jpg", quality=90)


def _half(path: Path) -> npt.NDArray[np.float32]:
    with Image.open(path) as photo:
        middle = photo.convert("L").resize((_SIDE, _SIDE))
    return np.asarray(middle, np.float32)[:, _SIDE // 4 : _SIDE // 4 + _SIDE // 2]


def main(_: list[str]) -> None:
    """Run the script."""
    os.environ[WITHOUT_ONEDNN] = "0"  # before TensorFlow is loaded, as retrain does
    command_line.require("graph")
    frozen = open_model(FLAGS.graph).frozen()
    found = []
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = FLAGS.image_dir
        if not folder:
            draw_pairs(place / "photos")
            folder = str(place / "photos")
        settings = settings_in(
            str(place),
            image_dir=folder,
            cache=CacheOptions(str(place / "bottlenecks")),
            testing_percentage=FLAGS.testing_percentage,
            split_key="basename",
            fine_tuning=FineTuning(FLAGS.fine_tune_from, FLAGS.steps),
        )
        for seed in range(FLAGS.seeds):
            result = retrain_on(
                frozen,
                dataclasses.replace(
                    settings,
                    training=TrainingSettings(seed=seed),
                    saved_model_dir=str(place / f"saved_model_{seed}"),
                ),
            )
            alone = result.figures["fine_tuning"]["test_of_head_alone"]
            found.append((alone["accuracy"], result.test.accuracy))
            print(f"seed {seed}: {alone['images']} images, alone {found[-1][0]:.1%}, "
                  f"tuned {found[-1][1]:.1%}", flush=True)  # fmt: skip
    alone_mean, tuned_mean = np.mean(found, axis=0)
    print(f"mean: alone {alone_mean:.1%}, tuned {tuned_mean:.1%}")


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
