"""Retrain the last layer of a frozen graph on your own classes, as TensorFlow's retrain.py did.

  python -m retrain_tools.retrain --graph=classify_image_graph_def.pb --image_dir=flower_photos

IMAGE_DIR holds one folder of images per class. The results go to OUTPUT_DIR: output_graph.pb,
output_labels.txt, saved_model/N, metrics.json, bottlenecks/ and logs/ (for TensorBoard).
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions
from retrain_tools.features.pooling import POOLINGS
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.head.retraining import RetrainSettings, retrain
from retrain_tools.head.saved_model import next_version
from retrain_tools.head.training import TrainingSettings
from retrain_tools.images.distort import Distortions
from retrain_tools.sources.load import load_graph

_STRINGS = {
    "image_dir": (None, "Folder with one folder of images per class; needed."),
    "graph": (None, "Any file with a network, or the name of a catalogued one."),
    "architecture": ("inception_v3", "retrain.py's name of a graph, if --graph is not given."),
    "model_dir": (None, "Where named graphs are kept and fetched to. Default: the user's cache."),
    "output_dir": ("retrained", "Folder for every result whose own flag is not given."),
    "output_graph": (None, "The retrained graph. Default: OUTPUT_DIR/output_graph.pb."),
    "output_labels": (None, "Its labels. Default: OUTPUT_DIR/output_labels.txt."),
    "saved_model_dir": (None, "New folder for the SavedModel. Default: OUTPUT_DIR/saved_model/N."),
    "summaries_dir": (None, "Curves; what is there is kept. Default: OUTPUT_DIR/logs."),
    "bottleneck_dir": (None, "The cache, for the next run too. Default: OUTPUT_DIR/bottlenecks."),
    "metrics": (None, "All figures as JSON. Default: OUTPUT_DIR/metrics.json."),
    "intermediate_output_graphs_dir": (None, "Folder. Default: OUTPUT_DIR/intermediate."),
    "checkpoint_path": (None, "Also write the head as a checkpoint with this prefix."),
    "final_tensor_name": ("final_result", "Name of the new softmax in the output graph."),
    "bottleneck_tensor": (None, "Tensor to retrain on. Default: what the last layer takes."),
    "input_layer": (None, "Tensor that takes the image, if it is not found."),
    "bottleneck_suffix": (None, "Naming of cache files: IMAGE<suffix>.txt. Default: as found."),
    "tfhub_module": (None, "Folder or archive of a TF Hub image module, if --graph is not given."),
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
    "seed": (0, "Seed of everything random; the same seed gives the same result."),
}
_IMAGE_SIZES = {
    "input_height": "Height of the graph's images, if it does not say.",
    "input_width": "Width of the graph's images, if it does not say.",
}
_SCALING = {
    "input_mean": "Subtracted from pixels of 0 to 255, for a graph of unknown scaling.",
    "input_std": "What pixels are divided by after that.",
}
_BOOLEANS = {
    "flip_left_right": (False, "Mirror half of the training images; slow, as nothing is cached."),
    "print_misclassified_test_images": (False, "List the test images that got a wrong label."),
    "keep_folder_names": (False, "Use folder names as labels as they are, not in lower case."),
    "encoded_input": (True, "Let the output graph of a pixel graph take JPEG files too."),
    "trust_cache": (False, "Take another program's bottlenecks without checking a few of them."),
}
_FLAGS = (
    {name: flags.DEFINE_string(name, *rest) for name, rest in _STRINGS.items()}
    | {name: flags.DEFINE_integer(name, *rest) for name, rest in _INTEGERS.items()}
    | {name: flags.DEFINE_boolean(name, *rest) for name, rest in _BOOLEANS.items()}
    | {name: flags.DEFINE_integer(name, None, said) for name, said in _IMAGE_SIZES.items()}
    | {name: flags.DEFINE_float(name, None, said) for name, said in _SCALING.items()}
    | {
        "learning_rate": flags.DEFINE_float(
            "learning_rate", 0.01, "Step size of gradient descent."
        ),
        "pooling": flags.DEFINE_enum(
            "pooling", "avg", POOLINGS, "How a feature map becomes a vector; none refuses it."
        ),
        "split_key": flags.DEFINE_enum(
            "split_key",
            "path",
            ["path", "basename"],
            "What the split is hashed from: the path as typed (retrain.py), or the file name.",
        ),
        "logging_verbosity": flags.DEFINE_enum(
            "logging_verbosity", "INFO", command_line.LOG_LEVELS, "Which log lines to show."
        ),
    }
)


def main(arguments: list[str]) -> None:
    """Run the script."""
    if arguments:
        raise InputError(
            f"Unexpected {arguments[0]!r}: retrain takes flags only. A switch is --flip_left_right "
            "or --noflip_left_right, and a value with spaces goes in quotes."
        )
    given = {name: holder.value for name, holder in _FLAGS.items()}
    command_line.set_log_level(given["logging_verbosity"])
    command_line.require(_FLAGS["image_dir"])
    module = given["tfhub_module"]
    if (module or "").startswith(("http:", "https:")):
        raise InputError(
            f"--tfhub_module={module}: get the module from that address in a browser, and pass the "
            "file or the folder that it unpacks to."
        )
    frozen = load_graph(
        given["graph"] or module or given["architecture"],
        given["model_dir"],
        SpecOverrides(
            bottleneck_tensor=given["bottleneck_tensor"],
            input_layer=given["input_layer"],
            **{name: given[name] for name in (*_IMAGE_SIZES, *_SCALING)},
        ),
    )
    settings = _settings(given)
    result = retrain(frozen, settings)
    if given["print_misclassified_test_images"]:
        print("=== MISCLASSIFIED TEST IMAGES ===")
        for path, label in result.misclassified:
            print(f"{path}  {label}")
    count = int(result.test.confusion.sum())
    if result.test.accuracy is not None:
        print(f"Final test accuracy = {result.test.accuracy:.1%} (N={count})")
    results = ("output_graph", "output_labels", "saved_model_dir", "metrics")
    print(f"Results: {', '.join(getattr(settings, name) for name in results)}")


def _settings(given: dict[str, Any]) -> RetrainSettings:
    def place(name: str, default: str) -> str:
        return given[name] or str(Path(given["output_dir"]) / default)

    def fields(kind: type) -> dict[str, Any]:
        return {f.name: given[f.name] for f in dataclasses.fields(kind) if f.name in given}

    return RetrainSettings(
        **fields(RetrainSettings)
        | {
            "output_graph": place("output_graph", "output_graph.pb"),
            "output_labels": place("output_labels", "output_labels.txt"),
            "metrics": place("metrics", "metrics.json"),
            "summaries_dir": place("summaries_dir", "logs"),
            "intermediate_output_graphs_dir": place(
                "intermediate_output_graphs_dir", "intermediate"
            ),
            "saved_model_dir": given["saved_model_dir"]
            or next_version(str(Path(given["output_dir"]) / "saved_model")),
            "training": TrainingSettings(**fields(TrainingSettings)),
            "distortions": Distortions(**fields(Distortions)),
            "cache": CacheOptions(
                bottleneck_dir=place("bottleneck_dir", "bottlenecks"),
                bottleneck_suffix=given["bottleneck_suffix"],
                preferred_suffix=_suffix(given),
                pooling=given["pooling"],
                trust_cache=given["trust_cache"],
            ),
        }
    )


def _suffix(given: dict[str, Any]) -> str:
    """Return what retrain.py put into the names of bottlenecks: what was typed, since 2017."""
    if given["graph"]:
        return ""
    if given["tfhub_module"]:
        return "_" + re.sub(r"://|[/:\\]", "~", given["tfhub_module"])
    return f"_{given['architecture']}"


def script() -> None:
    """Run as a console script."""
    command_line.run(main)


if __name__ == "__main__":
    script()
