"""The whole job: folders of images and a graph in, a retrained graph and its figures out."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import __version__, files
from retrain_tools.errors import InputError
from retrain_tools.features.distorted import DistortedImages
from retrain_tools.features.fill import CacheOptions, FilledCache
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.head.dataset import Dataset, make_dataset
from retrain_tools.head.evaluation import Evaluation, evaluate
from retrain_tools.head.export import retrained_graph, write_checkpoint, write_labels
from retrain_tools.head.saved_model import check_folder, write_saved_model
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
from retrain_tools.images.splits import split_images
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


@dataclasses.dataclass(frozen=True)
class RetrainResult:
    """What a retraining gave.

    Attributes:
        head: the trained layer.
        labels: in the order of its classes.
        test: the final test.
        misclassified: (image, given label) of the test's mistakes, each once.
        report: what became of the bottlenecks.
    """

    head: Head
    labels: list[str]
    test: Evaluation
    misclassified: list[tuple[str, str]]
    report: FilledCache


def retrain(frozen: FrozenGraph, settings: RetrainSettings) -> RetrainResult:
    """Cache bottlenecks, train a new last layer on them, test it, and write every result.

    Nothing but bottlenecks, curves and intermediate graphs is written before the test is done.

    Raises:
        InputError: see `find_images`, `images_by_label`, `split_images`, `make_dataset`,
            `DistortedImages`, `retrained_graph`, `write_saved_model`; or a result cannot go
            where it should.
    """
    check_folder(settings.saved_model_dir)
    _check_outputs(settings)
    _check_export(frozen, settings)
    distorted = DistortedImages(frozen, settings.distortions, settings.cache)
    images = find_images(settings.image_dir)
    by_label = images_by_label(images, settings.keep_folder_names)
    split = (settings.testing_percentage, settings.validation_percentage, settings.split_key)
    splits = split_images(by_label, *split)
    dataset, report = make_dataset(frozen, splits, split, settings.cache)
    rng = np.random.default_rng(settings.training.seed)
    start = initial_head(rng, dataset.vectors.shape[1], len(dataset.labels))
    curves: dict[str, list[Any]] = {"batches": [], "evaluations": []}
    with SummaryWriter(settings.summaries_dir) as summaries:
        on_step = _follow(frozen, settings, summaries, curves)
        with distorted:

            def training_batch() -> Batch:
                rows = sample_rows(
                    rng, dataset.rows["training"], settings.training.train_batch_size
                )
                if settings.distortions.any:
                    paths = [dataset.images[row].path for row in rows]
                    return distorted.bottlenecks(paths, rng), dataset.classes[rows]
                return dataset.batch(rows)

            def validation_batch() -> Batch:
                count = settings.training.validation_batch_size
                return dataset.batch(sample_rows(rng, dataset.rows["validation"], count))

            head = train(start, settings.training, training_batch, validation_batch, on_step)
    rows = sample_rows(rng, dataset.rows["testing"], settings.test_batch_size)
    test = evaluate(head, *dataset.batch(rows))
    wrong = {
        dataset.images[row].path: dataset.labels[given]
        for row, given in zip(rows, test.predicted, strict=True)
        if dataset.classes[row] != given
    }
    result = RetrainResult(head, dataset.labels, test, list(wrong.items()), report)
    _write(frozen, settings, dataset, curves, result)
    return result


def _follow(
    frozen: FrozenGraph,
    settings: RetrainSettings,
    summaries: SummaryWriter,
    curves: dict[str, list[Any]],
) -> Callable[[Step], None]:
    """Return what hears of each step: curves, summaries, log lines, intermediate graphs."""
    steps = settings.training.how_many_training_steps
    every = settings.training.eval_step_interval
    lines_every = max(every, steps // _LINES_ABOUT_TRAINING // every * every)

    def on_step(step: Step) -> None:
        summaries.add(step)
        curves["batches"].append([step.batch_accuracy, step.batch_cross_entropy])
        if step.evaluation is not None:
            names = ("accuracy", "cross_entropy", "validation_accuracy", "validation_cross_entropy")
            figures = dict(zip(names, step.evaluation, strict=False))
            curves["evaluations"].append({"step": step.number, **figures})
            if step.number % lines_every == 0 or step.number + 1 == steps:
                log.info(_line(step))
        often = settings.intermediate_store_frequency
        if often > 0 and step.number > 0 and step.number % often == 0:
            name = f"intermediate_{step.number}.pb"
            graph_def = _output_graph(frozen, settings, step.head)
            write_graph(str(Path(settings.intermediate_output_graphs_dir) / name), graph_def)

    return on_step


def _line(step: Step) -> str:
    accuracy, loss, checked, _, count = step.evaluation or (0.0, 0.0, None, None, 0)
    validation = "" if checked is None else f", validation accuracy {checked:.1%} (N={count})"
    return f"step {step.number}: accuracy {accuracy:.1%}, cross entropy {loss:.4f}{validation}"


def _output_graph(frozen: FrozenGraph, settings: RetrainSettings, head: Head) -> Any:
    return retrained_graph(
        frozen, head, settings.cache.pooling, settings.final_tensor_name, settings.encoded_input
    )


def _write(
    frozen: FrozenGraph,
    settings: RetrainSettings,
    dataset: Dataset,
    curves: dict[str, list[Any]],
    result: RetrainResult,
) -> None:
    write_graph(settings.output_graph, _output_graph(frozen, settings, result.head))
    write_labels(settings.output_labels, result.labels)
    if settings.checkpoint_path:
        write_checkpoint(settings.checkpoint_path, result.head)
    metrics = {
        "settings": dataclasses.asdict(settings),
        "graph": str(frozen.path),
        "bottlenecks": {
            **dataclasses.asdict(result.report.identity),
            "computed": result.report.computed,
            "reused": result.report.reused,
            "repaired": result.report.repaired,
            "failed": sorted(result.report.failed.items()),
        },
        "labels": result.labels,
        "images": {
            name: {label: len(rows) for label, rows in zip(result.labels, per_class, strict=True)}
            for name, per_class in dataset.rows.items()
        },
        "test": result.test.as_dict(result.labels),
        "misclassified": [{"image": path, "given": given} for path, given in result.misclassified],
        "steps": {
            "accuracy": [accuracy for accuracy, _ in curves["batches"]],
            "cross_entropy": [loss for _, loss in curves["batches"]],
        },
        "evaluations": curves["evaluations"],
        "versions": {
            "retrain_tools": __version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    files.write_text(settings.metrics, json.dumps(metrics, indent=1) + "\n")
    write_saved_model(
        settings.saved_model_dir, frozen, result.head, result.labels, settings.cache.pooling
    )


def _check_outputs(settings: RetrainSettings) -> None:
    """Raise InputError if a result cannot be written, before anything is computed."""
    paths = [Path(settings.output_graph), Path(settings.output_labels), Path(settings.metrics)]
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a folder; it should be a file to write.")
    if settings.checkpoint_path:
        paths.append(Path(settings.checkpoint_path))
    folders = [path.parent for path in (*paths, Path(settings.saved_model_dir))]
    folders.append(Path(settings.summaries_dir))
    if settings.intermediate_store_frequency > 0:
        folders.append(Path(settings.intermediate_output_graphs_dir))
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            raise InputError(f"{there} is a file; results cannot be written to {folder}.")
        if not os.access(there, os.W_OK):
            raise InputError(f"{there} is not writable; results cannot be written to {folder}.")


def _check_export(frozen: FrozenGraph, settings: RetrainSettings) -> None:
    """Raise InputError if the graph cannot take the head, before anything is computed."""
    light = dataclasses.replace(frozen, graph_def=light_copy(frozen.graph_def))
    nothing = np.zeros((1, 2), np.float32)
    _output_graph(light, settings, Head(nothing, nothing[0]))
