"""The whole job on drawn photos, offline, in a minute or two: a first look, and a check.

  python -m retrain_tools.demo

It draws a small labelled photo set, writes a stand-in for the Inception graph of 2015 (same names,
ops and shapes, but seeded weights), caches bottlenecks, retrains, and labels new images.
"""

from __future__ import annotations

import logging
from pathlib import Path

from absl import flags

from retrain_tools import command_line, files, graph_flags
from retrain_tools.features.fill import CacheOptions
from retrain_tools.graphdef.save import write_graph
from retrain_tools.head.labelling import label_images
from retrain_tools.head.retraining import retrain_on
from retrain_tools.head.settings import RetrainSettings, find_classes, settings_in
from retrain_tools.head.training import TrainingSettings
from retrain_tools.sources.open import open_model
from retrain_tools.standin.inception_2015 import make_reference_graph
from retrain_tools.standin.photos import CLASSES, draw_photos

log = logging.getLogger("retrain_tools.demo")

graph_flags.define_path("output_dir", "demo_output", "Folder for everything it makes.")
_WIDTH = flags.DEFINE_float(
    "width",
    1.0,
    "Size of the stand-in: 1 has the channels of the real graph.",
    lower_bound=0.05,
    upper_bound=1,
)
_PER_CLASS = flags.DEFINE_integer("per_class", 40, "Photos to draw per class.", lower_bound=3)
_STEPS = flags.DEFINE_integer("how_many_training_steps", 1000, "Training steps.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the weights and the training.", lower_bound=0)


def main(_: list[str]) -> None:
    """Run the script."""
    place = Path(flags.FLAGS.output_dir)
    files.check_writable(place)
    photos, graph = place / "photos", place / "stand_in_graph.pb"
    log.info("Drawing %d photos in %d classes", _PER_CLASS.value * len(CLASSES), len(CLASSES))
    draw_photos(photos, _PER_CLASS.value)
    log.info("Writing a stand-in for the Inception graph of 2015")
    write_graph(str(graph), make_reference_graph(_WIDTH.value, _SEED.value))
    log.info("Computing bottlenecks and retraining")
    settings = settings_in(
        str(place),
        image_dir=str(photos),
        cache=CacheOptions(bottleneck_dir=str(place / "bottlenecks")),
        training=TrainingSettings(how_many_training_steps=_STEPS.value, seed=_SEED.value),
        testing_percentage=20,
        split_key="basename",  # so that the split does not depend on where the demo runs
    )
    result = retrain_on(open_model(graph).frozen(), settings, find_classes(settings))
    log.info("Labelling new images")
    new = draw_photos(place / "new_photos", per_class=1, seed=1)
    retrained = open_model(settings.output_graph).frozen()
    labelled = label_images(retrained, lambda _: result.labels, [str(path) for path in new], 1)
    print("New images (folder name = what was drawn):")
    for image in labelled:
        label, score = image.best[0]
        print(f"  {image.image}: {label} ({score:.2f})")
    count = int(result.test.confusion.sum())
    print(f"Final test accuracy = {result.test.accuracy:.1%} (N={count})")
    print("Made:")
    for path in (photos, graph, *_results(settings)):
        print(f"  {path}")
    print(
        "The stand-in's weights are random: it shows that everything works, not what the real\n"
        "network can do. For that, take the real graph and your own folders of images:\n"
        "  python -m retrain_tools.retrain --graph=inception-2015-12-05 --image_dir=YOUR_FOLDER\n"
        "(it is downloaded once, 89 MB; or pass --graph=/path/to/classify_image_graph_def.pb)"
    )


def _results(settings: RetrainSettings) -> list[str]:
    return [
        settings.cache.bottleneck_dir,
        settings.output_graph,
        settings.output_labels,
        settings.saved_model_dir,
        settings.metrics,
        settings.summaries_dir,
    ]


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
