"""The whole job: folders of images, or of bottlenecks, in; a retrained graph and figures out."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools import storage
from retrain_tools.features.cache import Identity
from retrain_tools.features.distorted import DistortedImages
from retrain_tools.features.outcome import Outcome
from retrain_tools.features.read_cache import ByNaming
from retrain_tools.features.streamed import Stored
from retrain_tools.graphdef.save import write_graph
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tail import Tail
from retrain_tools.graphdef.weights import light_copy
from retrain_tools.head.bottlenecks_alone import read_dataset
from retrain_tools.head.checkpoints import HEAD, Checkpoint, Checkpoints, dependencies
from retrain_tools.head.dataset import Dataset, make_dataset
from retrain_tools.head.evaluation import Evaluation, evaluate_pieces
from retrain_tools.head.features_alone import read_features_dataset
from retrain_tools.head.fine_tuning import tail_of, tell_of_tuning, tune_layers
from retrain_tools.head.following import describe, follow
from retrain_tools.head.results import figures_of, light_output_graph, output_graph, write_results
from retrain_tools.head.settings import RetrainSettings, find_cached, find_classes, find_features
from retrain_tools.head.summaries import STEPS_IN_DETAIL, SummaryWriter
from retrain_tools.head.training import (
    Batch,
    Head,
    Sampler,
    Step,
    initial_head,
    sample_rows,
    train,
)
from retrain_tools.images.splits import Splits

log = logging.getLogger(__name__)


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
        output_graph: the file of the retrained graph; there is none without a graph.
        files: the results, in the order in which people are told of them.
    """

    head: Head
    labels: list[str]
    test: Evaluation
    misclassified: list[tuple[str, str]]
    report: Outcome
    figures: Mapping[str, Any]
    output_graph: str
    files: Sequence[str]


def retrain_on(
    frozen: FrozenGraph, settings: RetrainSettings, splits: Splits | None = None
) -> RetrainResult:
    """Cache bottlenecks, train a new last layer on them, test it, and write every result.

    With `settings.fine_tuning`, the layers before it are then trained with it. Nothing but
    bottlenecks and what else is computed of images, curves, checkpoints and intermediate graphs is
    written before the test is done. The splits are what `find_classes` found; None lets it find
    them.

    Raises:
        InputError: see `make_dataset`, `DistortedImages`, `retrained_graph`, `write_saved_model`,
            `Checkpoints` and, with fine-tuning, `tail_of` and `tune_layers`.
    """
    splits = find_classes(settings) if splits is None else splits
    _check_export(frozen, settings)
    distorted = DistortedImages(frozen, settings.distortions, settings.cache)
    tuning = settings.fine_tuning
    tail = None if tuning is None else tail_of(frozen, tuning)
    dataset, report = make_dataset(frozen, splits, settings.split, settings.cache)
    return _train_and_write(frozen, settings, dataset, report, report.identity, distorted, tail)


def retrain_on_bottlenecks(
    frozen: FrozenGraph | None,
    settings: RetrainSettings,
    found: ByNaming | None = None,
) -> RetrainResult:
    """Train a last layer on a folder of bottlenecks without their images, and write every result.

    The layer itself is written as arrays; the retrained graph is, too, where `frozen` is the graph
    that the bottlenecks are of. `found` is what `find_cached` found; None lets it find them.

    Raises:
        InputError: see `find_cached`, `read_dataset` and, with a graph, `retrain_on`.
    """
    found = find_cached(settings, frozen is not None) if found is None else found
    _check_what_is_written(frozen, settings)
    dataset, report, identity = read_dataset(
        frozen, found, settings.cache, settings.split, settings.keep_folder_names
    )
    return _train_and_write(frozen, settings, dataset, report, identity)


def _check_what_is_written(frozen: FrozenGraph | None, settings: RetrainSettings) -> None:
    """Check that the graph can be written; without one, say that the layer alone is."""
    if frozen is None:
        log.info("no graph is given, and none is written: only the new layer, %s", settings.head)
    else:
        _check_export(frozen, settings)


def retrain_on_features(
    frozen: FrozenGraph | None, settings: RetrainSettings, stored: Stored | None = None
) -> RetrainResult:
    """Train a last layer on features that were fetched before, and write every result.

    They may be more than fit into memory, see `read_features_dataset`. What is written is what
    `retrain_on_bottlenecks` writes. `stored` is what `find_features` found; None lets it find it.

    Raises:
        InputError: see `find_features`, `read_features_dataset` and, with a graph, `retrain_on`.
    """
    stored = find_features(settings, frozen is not None) if stored is None else stored
    _check_what_is_written(frozen, settings)
    dataset, report, identity = read_features_dataset(
        frozen, stored, settings.features_tensor, settings.cache, settings.split,
        settings.keep_folder_names,
    )  # fmt: skip
    return _train_and_write(frozen, settings, dataset, report, identity)


def _train_and_write(
    frozen: FrozenGraph | None,
    settings: RetrainSettings,
    dataset: Dataset,
    report: Outcome,
    identity: Identity | None,
    distorted: DistortedImages | None = None,
    tail: Tail | None = None,
) -> RetrainResult:
    for line in describe(dataset):
        log.info(line)
    place = storage.shown(settings.features) or settings.cache.bottleneck_dir
    log.info("bottlenecks: %s", report.closing_line(place))
    rng = np.random.default_rng(settings.training.seed)
    checkpoints = Checkpoints(settings, dependencies(settings, dataset, identity))
    head, curves = _train_head(frozen, settings, dataset, rng, checkpoints, distorted)
    tuned = None
    if frozen is not None and tail is not None:
        tuned = tune_layers(frozen, tail, settings, dataset, head, rng, checkpoints, curves)
    rows = sample_rows(rng, dataset.rows["testing"], settings.test_batch_size)
    test = alone = evaluate_pieces(head, dataset.pieces(rows))
    if tuned is not None:
        frozen, head = tuned.frozen, tuned.head
        test = evaluate_pieces(head, tuned.dataset.pieces(rows))
        curves["fine_tuning"] = tuned.curves | {"test_of_head_alone": alone.as_dict(dataset.labels)}
        tell_of_tuning(alone, test)
    wrong = {
        dataset.images[row].path: dataset.labels[given]
        for row, given in zip(rows, test.predicted, strict=True)
        if dataset.classes[row] != given
    }
    figures = figures_of(frozen, settings, dataset, report, identity, test)
    figures |= curves
    figures["misclassified"] = [{"image": path, "given": given} for path, given in wrong.items()]
    written = write_results(frozen, settings, head, dataset, figures)
    checkpoints.remove()
    mistakes = list(wrong.items())
    graph = settings.output_graph
    return RetrainResult(head, dataset.labels, test, mistakes, report, figures, graph, written)


def _train_head(
    frozen: FrozenGraph | None,
    settings: RetrainSettings,
    dataset: Dataset,
    rng: np.random.Generator,
    checkpoints: Checkpoints,
    distorted: DistortedImages | None,
) -> tuple[Head, dict[str, Any]]:
    """Train the head, or go on with it, and tell of it; return it and its curves."""
    curves: dict[str, Any] = {"steps": {"accuracy": [], "cross_entropy": []}, "evaluations": []}
    start = initial_head(rng, dataset.vectors.shape[1], len(dataset.labels))
    first = 0
    if found := checkpoints.found:
        rng.bit_generator.state = found.random
        curves = {name: found.curves[name] for name in curves}
        start = Head(found.arrays["weights"], found.arrays["biases"])
        first = found.steps
        if found.part != HEAD:
            return start, curves
    shown = None if frozen is None else light_output_graph(frozen, settings, dataset)
    with (
        SummaryWriter(settings.summaries_dir, settings.tags, shown) as summaries,
        distorted or contextlib.nullcontext(),
    ):
        tell = follow(settings.training, curves)

        def on_step(step: Step) -> None:
            summaries.add(step, settings.training.is_one_of(STEPS_IN_DETAIL, step.number))
            tell(step)
            if frozen is not None:
                _write_intermediate(frozen, settings, step, dataset.labels)
            if checkpoints.is_due:
                arrays = {"weights": step.head.weights, "biases": step.head.biases}
                state = rng.bit_generator.state
                checkpoints.write(Checkpoint(HEAD, step.number + 1, state, curves, arrays))

        training_batch, validation_batch = _batches(settings, dataset, distorted, rng)
        head = train(start, settings.training, training_batch, validation_batch, on_step, first)
    return head, curves


def _batches(
    settings: RetrainSettings,
    dataset: Dataset,
    distorted: DistortedImages | None,
    rng: np.random.Generator,
) -> tuple[Callable[[], Batch], Callable[[], Batch]]:
    """Return what draws batches for training, of distorted images if wanted, and for validation."""
    size = settings.training.train_batch_size
    if distorted is not None and settings.distortions.any:
        of_images, sampler = distorted.bottlenecks, Sampler(dataset.rows["training"])

        def training_batch() -> Batch:
            rows = sampler.draw(rng, size)
            paths = [dataset.images[row].path for row in rows]
            return of_images(paths, rng), dataset.classes[rows]

    else:
        training_batch = dataset.batches(rng, "training", size)
    count = settings.training.validation_batch_size
    return training_batch, dataset.batches(rng, "validation", count)


def _write_intermediate(
    frozen: FrozenGraph, settings: RetrainSettings, step: Step, labels: Sequence[str]
) -> None:
    often = settings.intermediate_store_frequency
    if often > 0 and step.number > 0 and step.number % often == 0:
        name = f"intermediate_{step.number}.pb"
        path = str(Path(settings.intermediate_output_graphs_dir) / name)
        log.debug("Save intermediate result to : %s", path)  # retrain.py
        write_graph(path, output_graph(frozen, settings, step.head, labels))


def _check_export(frozen: FrozenGraph, settings: RetrainSettings) -> None:
    """Raise InputError if the graph cannot take the head, before anything is computed."""
    light = dataclasses.replace(frozen, graph_def=light_copy(frozen.graph_def))
    nothing = np.zeros((1, 2), np.float32)
    output_graph(light, settings, Head(nothing, nothing[0]), [])
