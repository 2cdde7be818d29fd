"""The whole job: folders of images and a graph in, a retrained graph and its figures out."""

from __future__ import annotations

import dataclasses
import json
import logging
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import __version__, files
from retrain_tools.features.distorted import DistortedImages
from retrain_tools.features.fill import CacheOptions, FilledCache, check_options
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.head.dataset import Dataset, make_dataset
from retrain_tools.head.evaluation import Evaluation, evaluate
from retrain_tools.head.export import retrained_graph, write_checkpoint, write_labels
from retrain_tools.head.saved_model import check_folder, next_version, write_saved_model
from retrain_tools.head.summaries import SummaryWriter
from retrain_tools.head.training import (
    Batch,
    Head,
    Step,
    TrainingSettings,
    check_batch_size,
    initial_head,
    sample_rows,
    train,
)
from retrain_tools.images.distort import Distortions
from retrain_tools.images.folders import find_images, images_by_label
from retrain_tools.images.splits import Splits, check_percentages, split_images
from retrain_tools.quiet_tensorflow import tf

log = logging.getLogger(__name__)

_LINES_ABOUT_TRAINING = 20


@dataclasses.dataclass(frozen=True)
class RetrainSettings:
    """Everything about a retraining but the graph. Paths are files or folders to write.

    Attributes:
        image_dir: one folder of images per class.
        cache: where and how bottlenecks are kept.
        output_graph: file for the retrained graph.
        output_labels: file for its labels.
        metrics: file for all figures, as JSON.
        saved_model_dir: folder for the SavedModel; missing or empty.
        summaries_dir: folder for curves; what is there is kept.
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

    def __post_init__(self) -> None:
        check_batch_size("test_batch_size", self.test_batch_size)

    @property
    def split(self) -> tuple[int, int, str]:
        """Testing percentage, validation percentage and split key."""
        return self.testing_percentage, self.validation_percentage, self.split_key


@dataclasses.dataclass(frozen=True)
class RetrainResult:
    """What a retraining gave.

    Attributes:
        head: the trained layer.
        labels: in the order of its classes.
        test: the final test.
        misclassified: (image, given label) of the test's mistakes, each once.
        report: what became of the bottlenecks.
        figures: what metrics.json holds: settings, counts, curves, the test.
        output_graph: the file of the retrained graph.
    """

    head: Head
    labels: list[str]
    test: Evaluation
    misclassified: list[tuple[str, str]]
    report: FilledCache
    figures: Mapping[str, Any]
    output_graph: str


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
    usual["saved_model_dir"] = next_version(str(Path(output_dir) / "saved_model"))
    said = {name: value for name, value in given.items() if value not in (None, "")}
    return RetrainSettings(**usual | said)


def find_classes(settings: RetrainSettings) -> Splits:
    """Return the images of each class and split, once all is checked that needs no graph.

    Raises:
        InputError: see `find_images`, `images_by_label` and `split_images`; or a result cannot go
            where it should.
    """
    check_percentages(settings.testing_percentage, settings.validation_percentage)
    images = find_images(settings.image_dir)
    by_label = images_by_label(images, settings.keep_folder_names)
    check_folder(settings.saved_model_dir)
    _check_outputs(settings)
    check_options(settings.cache)
    return split_images(by_label, *settings.split)


def retrain_on(
    frozen: FrozenGraph, settings: RetrainSettings, splits: Splits | None = None
) -> RetrainResult:
    """Cache bottlenecks, train a new last layer on them, test it, and write every result.

    Nothing but bottlenecks, curves and intermediate graphs is written before the test is done. The
    splits are what `find_classes` found; None lets it find them.

    Raises:
        InputError: see `make_dataset`, `DistortedImages`, `retrained_graph`, `write_saved_model`.
    """
    splits = find_classes(settings) if splits is None else splits
    _check_export(frozen, settings)
    distorted = DistortedImages(frozen, settings.distortions, settings.cache)
    dataset, report = make_dataset(frozen, splits, settings.split, settings.cache)
    rng = np.random.default_rng(settings.training.seed)
    curves: dict[str, Any] = {"steps": {"accuracy": [], "cross_entropy": []}, "evaluations": []}
    with SummaryWriter(settings.summaries_dir) as summaries, distorted:
        on_step = _follow(frozen, settings, dataset.labels, summaries, curves)
        head = _train(settings, dataset, distorted, rng, on_step)
    rows = sample_rows(rng, dataset.rows["testing"], settings.test_batch_size)
    test = evaluate(head, *dataset.batch(rows))
    wrong = {
        dataset.images[row].path: dataset.labels[given]
        for row, given in zip(rows, test.predicted, strict=True)
        if dataset.classes[row] != given
    }
    figures = _figures(frozen, settings, dataset, report, test)
    figures |= curves
    figures["misclassified"] = [{"image": path, "given": given} for path, given in wrong.items()]
    result = RetrainResult(
        head, dataset.labels, test, list(wrong.items()), report, figures, settings.output_graph
    )
    _write(frozen, settings, result)
    return result


def _train(
    settings: RetrainSettings,
    dataset: Dataset,
    distorted: DistortedImages,
    rng: np.random.Generator,
    on_step: Callable[[Step], None],
) -> Head:
    """Train on the cached bottlenecks, or on those of distorted images where these are wanted."""

    def training_batch() -> Batch:
        rows = sample_rows(rng, dataset.rows["training"], settings.training.train_batch_size)
        if settings.distortions.any:
            paths = [dataset.images[row].path for row in rows]
            return distorted.bottlenecks(paths, rng), dataset.classes[rows]
        return dataset.batch(rows)

    def validation_batch() -> Batch:
        count = settings.training.validation_batch_size
        return dataset.batch(sample_rows(rng, dataset.rows["validation"], count))

    start = initial_head(rng, dataset.vectors.shape[1], len(dataset.labels))
    return train(start, settings.training, training_batch, validation_batch, on_step)


def _follow(
    frozen: FrozenGraph,
    settings: RetrainSettings,
    labels: list[str],
    summaries: SummaryWriter,
    curves: dict[str, Any],
) -> Callable[[Step], None]:
    """Return what hears of each step: curves, summaries, log lines, intermediate graphs."""
    steps = settings.training.how_many_training_steps
    every = settings.training.eval_step_interval
    lines_every = max(every, steps // _LINES_ABOUT_TRAINING // every * every)

    def on_step(step: Step) -> None:
        summaries.add(step)
        curves["steps"]["accuracy"].append(step.batch_accuracy)
        curves["steps"]["cross_entropy"].append(step.batch_cross_entropy)
        if step.evaluation is not None:
            names = ("accuracy", "cross_entropy", "validation_accuracy", "validation_cross_entropy")
            figures = dict(zip(names, step.evaluation, strict=False))
            curves["evaluations"].append({"step": step.number, **figures})
            if step.number % lines_every == 0 or step.number + 1 == steps:
                log.info(_line(step))
        often = settings.intermediate_store_frequency
        if often > 0 and step.number > 0 and step.number % often == 0:
            name = f"intermediate_{step.number}.pb"
            graph_def = _output_graph(frozen, settings, step.head, labels)
            write_graph(str(Path(settings.intermediate_output_graphs_dir) / name), graph_def)

    return on_step


def _line(step: Step) -> str:
    accuracy, loss, checked, _, count = step.evaluation or (0.0, 0.0, None, None, 0)
    validation = "" if checked is None else f", validation accuracy {checked:.1%} (N={count})"
    return f"step {step.number}: accuracy {accuracy:.1%}, cross entropy {loss:.4f}{validation}"


def _output_graph(
    frozen: FrozenGraph, settings: RetrainSettings, head: Head, labels: list[str]
) -> Any:
    name, encoded_input = settings.final_tensor_name, settings.encoded_input
    return retrained_graph(frozen, head, settings.cache.pooling, name, encoded_input, labels)


def _figures(
    frozen: FrozenGraph,
    settings: RetrainSettings,
    dataset: Dataset,
    report: FilledCache,
    test: Evaluation,
) -> dict[str, Any]:
    return {
        "settings": dataclasses.asdict(settings),
        "graph": str(frozen.path),
        "bottlenecks": {
            **dataclasses.asdict(report.identity),
            "computed": report.computed,
            "reused": report.reused,
            "repaired": report.repaired,
            "failed": sorted(report.failed.items()),
        },
        "labels": dataset.labels,
        "images": {
            name: {label: len(rows) for label, rows in zip(dataset.labels, per_class, strict=True)}
            for name, per_class in dataset.rows.items()
        },
        "test": test.as_dict(dataset.labels),
        "versions": {
            "retrain_tools": __version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _write(frozen: FrozenGraph, settings: RetrainSettings, result: RetrainResult) -> None:
    graph_def = _output_graph(frozen, settings, result.head, result.labels)
    write_graph(settings.output_graph, graph_def)
    write_labels(settings.output_labels, result.labels)
    if settings.checkpoint_path:
        write_checkpoint(settings.checkpoint_path, result.head)
    files.write_text(settings.metrics, json.dumps(result.figures, indent=1) + "\n")
    folder, pooling = settings.saved_model_dir, settings.cache.pooling
    write_saved_model(folder, frozen, result.head, result.labels, pooling)


def _check_outputs(settings: RetrainSettings) -> None:
    """Raise InputError if a result cannot be written, before anything is computed."""
    for path in (settings.output_graph, settings.output_labels, settings.metrics):
        files.check_file(path)
    folders = [Path(settings.saved_model_dir).parent, Path(settings.summaries_dir)]
    if settings.checkpoint_path:
        folders.append(Path(settings.checkpoint_path).parent)
    if settings.intermediate_store_frequency > 0:
        folders.append(Path(settings.intermediate_output_graphs_dir))
    for folder in folders:
        files.check_writable(folder)


def _check_export(frozen: FrozenGraph, settings: RetrainSettings) -> None:
    """Raise InputError if the graph cannot take the head, before anything is computed."""
    light = dataclasses.replace(frozen, graph_def=light_copy(frozen.graph_def))
    nothing = np.zeros((1, 2), np.float32)
    _output_graph(light, settings, Head(nothing, nothing[0]), [])
