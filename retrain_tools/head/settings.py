"""Everything about a retraining but the graph, and what can be checked of it without one."""

from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path
from typing import Any

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.export.saved_model import check_path, next_version
from retrain_tools.features.fill import CacheOptions, check_options
from retrain_tools.features.read_cache import ByNaming, find_bottlenecks
from retrain_tools.features.streamed import Stored, open_features
from retrain_tools.head.summaries import TAGS_OF_TENSORFLOW, Tags
from retrain_tools.head.training import TrainingSettings, check_batch_size
from retrain_tools.head.tuned_tail import FineTuning
from retrain_tools.images.distort import Distortions
from retrain_tools.images.folders import find_images, images_by_label
from retrain_tools.images.splits import Splits, check_percentages, split_images

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RetrainSettings:
    """Everything about a retraining but the graph. Paths are files or folders to write.

    Attributes:
        image_dir: one folder of images per class; '' to train on the cached bottlenecks alone.
        features: a store of features to train on in place of images; '' for none.
        features_tensor: which of its tensors; None for the graph's bottleneck, or the only one.
        cache: where and how bottlenecks are kept.
        output_graph: file for the retrained graph.
        output_labels: file for its labels.
        metrics: file for all figures, as JSON; `splits.csv` goes beside it, and `head.npz` where
            there are no images.
        saved_model_dir: folder for the SavedModel; missing or empty.
        summaries_dir: folder for curves; what is there is kept.
        tags: what these are called.
        training: steps, rate, batches, seed.
        distortions: of training images; bottlenecks of distorted images are not cached.
        testing_percentage: of the images, by hash.
        validation_percentage: of the images, by hash.
        test_batch_size: images in the final test, drawn like training batches; negative takes
            each of them once.
        split_key: `path` or `basename`, see `split_images`.
        keep_folder_names: labels are folder names as they are.
        final_tensor_name: of the new softmax.
        encoded_input: give a pixel graph an encoded input, see `retrained_graph`.
        intermediate_output_graphs_dir: folder for `intermediate_<step>.pb`.
        intermediate_store_frequency: steps between these; 0 for none.
        checkpoint_path: prefix of a checkpoint of the head; None for none.
        tflite_output_file: file for the retrained graph as TensorFlow Lite; None for none.
        fine_tuning: of the last layers, after the head was trained; None for none.
        checkpoint_minutes: between checkpoints of the training, see `checkpoint`; 0 for none.
        resume: go on from there, if a training was stopped.
    """

    image_dir: str
    cache: CacheOptions
    output_graph: str
    output_labels: str
    metrics: str
    saved_model_dir: str
    summaries_dir: str
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    distortions: Distortions = dataclasses.field(default_factory=Distortions)
    testing_percentage: int = 10
    validation_percentage: int = 10
    test_batch_size: int = -1
    split_key: str = "path"
    keep_folder_names: bool = False
    final_tensor_name: str = "final_result"
    encoded_input: bool = True
    intermediate_output_graphs_dir: str = ""
    intermediate_store_frequency: int = 0
    checkpoint_path: str | None = None
    tflite_output_file: str | None = None
    fine_tuning: FineTuning | None = None
    checkpoint_minutes: float = 10.0
    resume: bool = False
    tags: Tags = TAGS_OF_TENSORFLOW
    features: str = ""
    features_tensor: str | None = None

    def __post_init__(self) -> None:
        check_batch_size("test_batch_size", self.test_batch_size)
        if not 0 <= self.checkpoint_minutes < math.inf:
            raise InputError(
                f"{argument('checkpoint_minutes')}={self.checkpoint_minutes} must be a number of "
                "minutes; 0 writes no checkpoints."
            )

    @property
    def split(self) -> tuple[int, int, str]:
        """Testing percentage, validation percentage and split key."""
        return self.testing_percentage, self.validation_percentage, self.split_key

    @property
    def splits(self) -> str:
        """The file that says which image is in which split."""
        return str(Path(self.metrics).with_name("splits.csv"))

    @property
    def checkpoint(self) -> str:
        """The file that a stopped training goes on from; it is gone when the results are there."""
        return str(Path(self.metrics).with_name("checkpoint.npz"))

    @property
    def head(self) -> str:
        """The file of the new layer's arrays, which is written where there are no images."""
        return str(Path(self.metrics).with_name("head.npz"))


def settings_in(output_dir: str, **given: Any) -> RetrainSettings:
    """Return settings whose results go into one folder, but for fields in `given` that are set."""
    places = {
        "output_graph": "output_graph.pb",
        "output_labels": "output_labels.txt",
        "metrics": "metrics.json",
        "summaries_dir": "logs",
        "intermediate_output_graphs_dir": "intermediate",
    }
    usual = {name: str(Path(output_dir) / place) for name, place in places.items()}
    usual["image_dir"] = ""
    usual["saved_model_dir"] = next_version(str(Path(output_dir) / "saved_model"))
    said = {name: value for name, value in given.items() if value not in (None, "")}
    return RetrainSettings(**usual | said)


def find_classes(settings: RetrainSettings) -> Splits:
    """Return the images of each class and split, once all is checked that needs no graph.

    Raises:
        InputError: see `find_images`, `images_by_label` and `split_images`; a result cannot go
            where it should; or images are to be distorted for fine-tuning.
    """
    check_percentages(settings.testing_percentage, settings.validation_percentage)
    if settings.fine_tuning is not None and settings.distortions.any:
        raise InputError(
            f"{argument('fine_tune_from')} takes what the first layers give for each image, which "
            "is computed once, so images cannot be distorted; leave out one of the two."
        )
    images = find_images(settings.image_dir)
    by_label = images_by_label(images, settings.keep_folder_names)
    check_outputs(settings)
    check_options(settings.cache)
    for of_label in by_label.values():
        log.debug("Looking for images in '%s'", of_label[0].folder)  # retrain.py's line
    return split_images(by_label, *settings.split)


def find_cached(settings: RetrainSettings, with_graph: bool) -> ByNaming:
    """Return what bottlenecks there are to train on without images, once all else is checked.

    Raises:
        InputError: see `find_bottlenecks`; a result cannot go where it should, or a setting takes
            the images.
    """
    _refuse_what_takes_images(settings)
    if settings.split_key != "basename":
        raise InputError(
            f"{argument('split_key')}={settings.split_key} takes the paths of images, which their "
            f"bottlenecks do not tell: name the images with {argument('image_dir')}, or split by "
            "basename."
        )
    check_outputs(settings, with_graph)
    folder = Path(settings.cache.bottleneck_dir)
    if not folder.is_dir():
        raise InputError(
            f"No such folder: {folder} ({argument('bottleneck_dir')}). To make bottlenecks, name "
            f"the images with {argument('image_dir')}."
        )
    return find_bottlenecks(folder)


def find_features(settings: RetrainSettings, with_graph: bool) -> Stored:
    """Return the store of features to train on, once all else is checked.

    Raises:
        InputError: see `open_features`; a result cannot go where it should, or a setting takes
            the images.
    """
    if settings.image_dir:
        raise InputError(
            f"{argument('features')} are trained on in place of images; leave out "
            f"{argument('image_dir')}, or {argument('features')}."
        )
    _refuse_what_takes_images(settings)
    stored = open_features(settings.features)
    check_outputs(settings, with_graph)
    check_options(settings.cache)
    return stored


def _refuse_what_takes_images(settings: RetrainSettings) -> None:
    check_percentages(settings.testing_percentage, settings.validation_percentage)
    if settings.distortions.any:
        raise InputError(f"Only images are distorted; name them with {argument('image_dir')}.")
    if settings.fine_tuning is not None:
        raise InputError(
            f"{argument('fine_tune_from')} runs images through layers that bottlenecks come after; "
            f"name them with {argument('image_dir')}."
        )


def check_outputs(settings: RetrainSettings, with_graph: bool = True) -> None:
    """Raise InputError if a result cannot be written, before anything is computed.

    Without a graph, nothing that holds one is written.
    """
    if with_graph:
        files.check_file(settings.output_graph)
        check_path(settings.saved_model_dir, "saved_model_dir")
        if settings.tflite_output_file:
            files.check_file(settings.tflite_output_file)
    elif settings.tflite_output_file:
        raise InputError(
            f"{argument('tflite_output_file')} takes a graph; name it with {argument('graph')}."
        )
    for path in (settings.output_labels, settings.metrics, settings.splits):
        files.check_file(path)
    if not settings.image_dir:
        files.check_file(settings.head)
    folders = [Path(settings.summaries_dir)]
    if settings.checkpoint_path:
        folders.append(Path(settings.checkpoint_path).parent)
    if with_graph:
        folders.append(Path(settings.saved_model_dir).parent)
        if settings.intermediate_store_frequency > 0:
            folders.append(Path(settings.intermediate_output_graphs_dir))
    for folder in folders:
        files.check_writable(folder)
