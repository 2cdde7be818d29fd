"""Retrain the last layer of a frozen graph on your own classes, as TensorFlow's retrain.py did.

  python -m retrain_tools.retrain --graph=classify_image_graph_def.pb --image_dir=flower_photos

IMAGE_DIR holds one folder of images per class. The results go to OUTPUT_DIR: output_graph.pb,
output_labels.txt, saved_model/N, metrics.json, splits.csv, bottlenecks/, logs/ (for TensorBoard).

  python -m retrain_tools.retrain --bottleneck_dir=bottlenecks

trains on a folder of bottlenecks alone. It writes the new layer (head.npz; head.ckpt, a checkpoint)
in place of the graph, or besides it if --graph names the one that the bottlenecks are of.

  python -m retrain_tools.retrain --features=features.parquet

does so on what fetch_tensors or fetch_many wrote, of any number of images.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from absl import flags

from retrain_tools import command_line, graph_flags
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache_formats import CACHE_FORMATS
from retrain_tools.features.fill import CacheOptions
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.head.retraining import (
    RetrainResult,
    retrain_on,
    retrain_on_bottlenecks,
    retrain_on_features,
)
from retrain_tools.head.settings import (
    RetrainSettings,
    find_cached,
    find_classes,
    find_features,
    settings_in,
)
from retrain_tools.head.summaries import TAGS_OF_HUB, TAGS_OF_TENSORFLOW
from retrain_tools.head.training import TrainingSettings
from retrain_tools.head.tuned_tail import ADAM, OPTIMIZERS, WITHOUT_ONEDNN, FineTuning
from retrain_tools.images.distort import Distortions
from retrain_tools.sources.hub_handles import find_module

_PATHS = {
    "output_dir": ("retrained", "Folder for every result whose own flag is not given."),
    "output_graph": (None, "The retrained graph. Default: OUTPUT_DIR/output_graph.pb."),
    "output_labels": (None, "Its labels. Default: OUTPUT_DIR/output_labels.txt."),
    "saved_model_dir": (None, "New folder for the SavedModel. Default: OUTPUT_DIR/saved_model/N."),
    "summaries_dir": (None, "Curves; what is there is kept. Default: OUTPUT_DIR/logs."),
    "bottleneck_dir": (None, "The cache, for the next run too. Default: OUTPUT_DIR/bottlenecks."),
    "features": (
        None,
        "Train on this in place of images: a file of fetch_tensors, or a folder or URI of "
        "fetch_many's parts. Its vectors are packed once, into packed_NAME.npy in BOTTLENECK_DIR.",
    ),
    "metrics": (
        None,
        "All figures as JSON; splits.csv goes beside. Default: OUTPUT_DIR/metrics.json.",
    ),
    "intermediate_output_graphs_dir": (None, "Folder. Default: OUTPUT_DIR/intermediate."),
    "tflite_output_file": (None, "Also write the graph as TensorFlow Lite, for prepared pixels."),
    "checkpoint_path": (None, "Also write the new layer as a checkpoint with this prefix."),
    "tfhub_module": (
        None,
        "TF Hub image module, if --graph is not given: a folder, an archive, or the address under "
        "which tensorflow_hub keeps it.",
    ),
}
_STRINGS = {
    "architecture": ("inception_v3", "retrain.py's name of a graph, if --graph is not given."),
    "final_tensor_name": ("final_result", "Name of the new softmax in the output graph."),
    "bottleneck_tensor": (None, "Tensor to retrain on. Default: what the last layer takes."),
    "features_tensor": (
        None,
        "Which tensor of --features. Default: that of the graph's bottleneck, or the only one.",
    ),
    "fine_tune_from": (
        None,
        "Tensor after which the layers are trained too, once the head is. Default: none are.",
    ),
    "bottleneck_suffix": (None, "Naming of cache files: IMAGE<suffix>.txt. Default: as found."),
}
_INTEGERS = {
    "how_many_training_steps": (4000, "Training steps."),
    "testing_percentage": (10, "Percentage of images for the final test; 0 for no test."),
    "validation_percentage": (10, "Percentage of images for validation; 0 for none."),
    "eval_step_interval": (10, "Steps between evaluations."),
    "train_batch_size": (100, "Images per training step; -1 for all."),
    "test_batch_size": (-1, "Images drawn for the final test; -1 for each of them once."),
    "validation_batch_size": (100, "Images drawn per validation; -1 for each of them once."),
    "intermediate_store_frequency": (0, "Steps between intermediate graphs; 0 for none."),
    "random_crop": (0, "Margin to crop training images from, in percent; slow."),
    "random_scale": (0, "How much to enlarge training images at most, in percent; slow."),
    "random_brightness": (0, "How far to change their brightness, in percent; slow."),
    "fine_tune_steps": (300, "Steps of training with these layers."),
    "fine_tune_batch_size": (32, "Images per such step."),
    "seed": (0, "Seed of everything random; the same seed gives the same result."),
}
_BOOLEANS = {
    "flip_left_right": (False, "Mirror half of the training images; slow, as nothing is cached."),
    "print_misclassified_test_images": (False, "List the test images that got a wrong label."),
    "keep_folder_names": (False, "Use folder names as labels as they are, not in lower case."),
    "encoded_input": (True, "Let the output graph of a pixel graph take JPEG files too."),
    "resume": (False, "Go on from the last checkpoint, if a training was stopped."),
    "trust_cache": (False, "Take another program's bottlenecks without checking a few of them."),
}
graph_flags.define_graph_flags()
graph_flags.define_image_flags(loose=False)
graph_flags.define_run_flags()
graph_flags.define_job_flags()
for _name, (_default, _help) in _PATHS.items():
    graph_flags.define_path(_name, _default, _help)
for _name, (_default, _help) in _STRINGS.items():
    flags.DEFINE_string(_name, _default, _help)
for _name, (_number, _help) in _INTEGERS.items():
    flags.DEFINE_integer(_name, _number, _help)
for _name, (_is_on, _help) in _BOOLEANS.items():
    flags.DEFINE_boolean(_name, _is_on, _help)
flags.DEFINE_float("learning_rate", 0.01, "Step size of gradient descent.")
flags.DEFINE_enum("fine_tune_optimizer", ADAM, OPTIMIZERS, "How these layers are trained.")
flags.DEFINE_float(
    "fine_tune_learning_rate", None, "Their step size. Default: 1e-4 with adam, 1e-3 with sgd."
)
flags.DEFINE_float("fine_tune_momentum", 0.9, "Momentum of sgd there; 0 for none.")
flags.DEFINE_float(
    "checkpoint_minutes",
    10.0,
    "Minutes between checkpoints, checkpoint.npz in OUTPUT_DIR, for --resume; 0 for none.",
)
flags.DEFINE_enum(
    "pooling",
    "avg",
    POOLINGS,
    "How a feature map becomes a vector: by its mean or maximum, or, with flatten or none, all its "
    "values, the channels fastest.",
)
flags.DEFINE_enum(
    "cache_format",
    None,
    CACHE_FORMATS,
    "Bottlenecks as text, a file each, as retrain.py has them; or npy, one matrix, smaller and "
    "faster. Default: what the folder has already, else text.",
)
flags.DEFINE_enum(
    "split_key",
    None,
    ["path", "basename"],
    "What the split is hashed from: the path as typed (retrain.py), or the file name. Default: "
    "path; without images, basename.",
)
flags.DEFINE_enum("logging_verbosity", "INFO", command_line.LOG_LEVELS, "Which log lines to show.")
FLAGS = flags.FLAGS


def main(_: list[str]) -> command_line.Summary:
    """Run the script."""
    command_line.set_log_level(FLAGS.logging_verbosity)
    if not FLAGS.bottleneck_dir and not FLAGS.features:  # which may be all there is
        command_line.require("image_dir")
    if FLAGS.preprocess == "none":
        raise InputError(
            f"{argument('preprocess')}=none is for reading features: a retrained graph prepares "
            "its images itself."
        )
    if FLAGS.fine_tune_from:
        os.environ[WITHOUT_ONEDNN] = "0"  # before TensorFlow is loaded
    with_images = FLAGS.image_dir and not FLAGS.features
    result = _retrain_on_images() if with_images else _retrain_without_images()
    if FLAGS.print_misclassified_test_images:
        print("=== MISCLASSIFIED TEST IMAGES ===")
        for path, label in result.misclassified:
            print(f"{path}  {label}")
    count = int(result.test.confusion.sum())
    if result.test.accuracy is not None:
        print(f"Final test accuracy = {result.test.accuracy:.1%} (N={count})")
    print(f"Results: {', '.join(result.files)}")
    figures = {**result.report.figures(), "accuracy": result.test.accuracy, "files": result.files}
    return command_line.Summary(len(result.report.failed), figures)


def _retrain_on_images() -> RetrainResult:
    if _is_address(FLAGS.tfhub_module):
        find_module(FLAGS.tfhub_module)  # where it is not kept, that is said first
    settings = _settings("" if FLAGS.graph else _naming(FLAGS.architecture))
    classes = find_classes(settings)  # what is wrong with it is said before a graph is opened
    return retrain_on(
        _graph(FLAGS.graph or FLAGS.tfhub_module or FLAGS.architecture), settings, classes
    )


def _retrain_without_images() -> RetrainResult:
    is_here = FLAGS.tfhub_module and not _is_address(FLAGS.tfhub_module)
    graph = FLAGS.graph or (FLAGS.tfhub_module if is_here else None)
    said = FLAGS.architecture if FLAGS["architecture"].present else None
    settings = _settings(
        "" if is_here else _naming(said),  # the folder of a module may have had another name then
        split_key=FLAGS.split_key or "basename",
        checkpoint_path=FLAGS.checkpoint_path or str(Path(FLAGS.output_dir) / "head.ckpt"),
    )
    if FLAGS.features:
        stored = find_features(settings, with_graph=graph is not None)
        return retrain_on_features(_graph(graph) if graph else None, settings, stored)
    found = find_cached(settings, with_graph=graph is not None)
    return retrain_on_bottlenecks(_graph(graph) if graph else None, settings, found)


def _graph(name: str) -> FrozenGraph:
    return graph_flags.given_frozen_graph(name, bottleneck_tensor=FLAGS.bottleneck_tensor)


def _settings(naming: str, **more: Any) -> RetrainSettings:
    def fields(kind: type) -> dict[str, Any]:
        names = [f.name for f in dataclasses.fields(kind) if f.name in FLAGS]
        return {name: FLAGS[name].value for name in names}

    cache = fields(CacheOptions) | {
        "bottleneck_dir": FLAGS.bottleneck_dir or str(Path(FLAGS.output_dir) / "bottlenecks"),
        "preferred_suffix": naming,
        "running": graph_flags.given_run_settings(),
    }
    given = fields(RetrainSettings) | {
        "training": TrainingSettings(**fields(TrainingSettings)),
        "fine_tuning": FineTuning(**fields(FineTuning)) if FLAGS.fine_tune_from else None,
        "distortions": Distortions(**fields(Distortions)),
        "cache": CacheOptions(**cache),
        "tags": TAGS_OF_HUB if FLAGS.tfhub_module else TAGS_OF_TENSORFLOW,
    }
    return settings_in(FLAGS.output_dir, **given | more)


def _is_address(module: str | None) -> bool:
    return (module or "").startswith(("http:", "https:"))


def _naming(architecture: str | None) -> str:
    """Return what retrain.py put into the names of bottlenecks: what was typed, since 2017."""
    if FLAGS.tfhub_module:
        return "_" + re.sub(r"://|[/:\\]", "~", FLAGS.tfhub_module)
    return f"_{architecture}" if architecture else ""


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
