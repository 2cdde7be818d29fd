"""Trains the last layers of a network together with the head: `retrain --fine_tune_from`.

1. The part of the network after the tensor is cut out of the plan that it runs by, with its batch
   norms folded: they stay what they are in inference, a factor in the kernel and a bias.
2. What enters that part is computed for each image once, and kept on disk.
3. Kernels, biases and the head become variables (see `graphdef.tail`), and are trained on batches
   that are drawn as retrain.py draws them: a class, then one of its images.
4. The network is then the source up to the tensor, and the trained part behind it.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.plan import plan_body
from retrain_tools.engine.session import EngineError
from retrain_tools.errors import InputError, argument
from retrain_tools.features.fetch import named_tensor
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.tail import Tail, cut_tail, entrances, with_tail
from retrain_tools.head.checkpoints import LAYERS, Checkpoint, Checkpoints
from retrain_tools.head.dataset import Dataset
from retrain_tools.head.evaluation import Evaluation
from retrain_tools.head.following import follow
from retrain_tools.head.settings import RetrainSettings
from retrain_tools.head.summaries import SummaryWriter
from retrain_tools.head.tail_features import TailFeatures, fetch_tail_features
from retrain_tools.head.training import (
    Head,
    Sampler,
    Step,
    TrainingSettings,
    accuracy,
    cross_entropy,
    measured,
)
from retrain_tools.head.tuned_tail import FineTuning, TunedTail
from retrain_tools.images.splits import SPLITS
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

_EVALUATIONS = 20
_TUNED = "tuned:"  # before the names of variables in a checkpoint
_IMAGES_TRIED = 4
_SAME_IN_A_BATCH = 1e-3  # relative to the largest value


def tail_of(frozen: FrozenGraph, settings: FineTuning) -> Tail:
    """Return the part of a network that is to be trained.

    Raises:
        InputError: there is no such tensor, it does not lie between the images and the bottleneck,
            or there is nothing to train after it.
    """
    start, end = named_tensor(frozen, settings.fine_tune_from), frozen.spec.bottleneck
    entering = entrances(frozen.graph_def, frozen.spec, start, end)
    light, weights = plan_body(frozen.graph_def, frozen.spec, [end, *entering])
    return cut_tail(light, weights, entering, end, str(frozen.path))


def tuned_graph(frozen: FrozenGraph, tail: Tail, tuned: TunedTail) -> FrozenGraph:
    """Return the network with the trained part in place of what it was; it ends there."""
    graph_def = with_tail(frozen.graph_def, tail, tuned.trained())
    spec = dataclasses.replace(frozen.spec, final=None, end_points={})
    return dataclasses.replace(frozen, graph_def=graph_def, spec=spec)


def describe_tuning(tail: Tail, settings: FineTuning) -> str:
    """Return a line for people."""
    values = sum(tail.weights[name].size for name in tail.trained)
    start = next(iter(tail.entrances.values()))
    steps = counted(settings.fine_tune_steps, "step")
    return (
        f"fine-tuning from {start}: {counted(len(tail.trained), 'constant')} of {values:,} values, "
        f"{steps} of {counted(settings.fine_tune_batch_size, 'image')}, "
        f"{settings.fine_tune_optimizer}, learning rate {settings.rate:g}"
    )


def tell_of_tuning(alone: Evaluation, tuned: Evaluation) -> None:
    """Log what the test gave before and after."""
    if alone.accuracy is not None and tuned.accuracy is not None:
        log.info(
            "test accuracy of the head alone %.1f%%, with the tuned layers %.1f%%",
            100 * alone.accuracy,
            100 * tuned.accuracy,
        )


def schedule(settings: FineTuning, training: TrainingSettings) -> TrainingSettings:
    """Return the steps as the settings that a training of the head alone would have for them."""
    steps = settings.fine_tune_steps
    return dataclasses.replace(
        training,
        how_many_training_steps=steps,
        learning_rate=settings.rate,
        train_batch_size=settings.fine_tune_batch_size,
        eval_step_interval=max(1, steps // _EVALUATIONS),
    )


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What fine-tuning gave.

    Attributes:
        frozen: the network, which ends at the bottleneck.
        head: the trained layer.
        dataset: with the bottlenecks of the test's images as they are now.
        curves: what was told of all steps.
    """

    frozen: FrozenGraph
    head: Head
    dataset: Dataset
    curves: dict[str, Any]


class TuningData:
    """The images of a dataset with what enters the tail for each of them."""

    def __init__(self, dataset: Dataset, features: TailFeatures) -> None:
        """Remember both."""
        self.dataset, self._features = dataset, features

    def features(self, rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float32]]:
        """Return what enters the tail for some rows of the dataset."""
        return self._features.of([self.dataset.images[row].path for row in rows])

    def with_vectors_of(self, tuned: TunedTail, split: str) -> Dataset:
        """Return the dataset with the bottlenecks of a split as the trained part gives them."""
        rows = np.concatenate(self.dataset.rows[split])
        vectors = self.dataset.vectors.copy()
        vectors[rows] = tuned.vectors(self.features(rows))
        return dataclasses.replace(self.dataset, vectors=vectors)


def check_batches(tuned: TunedTail, data: TuningData) -> None:
    """Raise InputError where a part takes one image only, or gives it other values among others."""
    rows = np.concatenate(data.dataset.rows["training"])[:_IMAGES_TRIED]
    try:
        together = tuned.vectors(data.features(rows))
    except EngineError as error:
        raise InputError(
            f"This network cannot be trained in batches of images: {error}; choose a later tensor "
            f"as {argument('fine_tune_from')}."
        ) from error
    alone = np.concatenate(
        [tuned.vectors(data.features(rows[i : i + 1])) for i in range(len(rows))]
    )
    most = float(np.abs(alone).max(initial=0))
    if together.shape != alone.shape or np.abs(together - alone).max() > _SAME_IN_A_BATCH * most:
        raise InputError(
            "This network gives an image other values among others than alone, so it cannot be "
            f"trained in batches; choose a later tensor as {argument('fine_tune_from')}."
        )


def fine_tune(
    tuned: TunedTail,
    data: TuningData,
    settings: TrainingSettings,
    rng: np.random.Generator,
    on_step: Callable[[Step], None],
    first: int = 0,
) -> None:
    """Train an open tail and its head, from step `first` on; every step is told to `on_step`.

    The settings are those of `schedule`. About twenty steps are evaluated, as in a training of the
    head alone.

    Raises:
        EngineError: the tail fails.
        InputError: the loss is no number any more.
    """
    dataset, size = data.dataset, settings.train_batch_size
    training, validation = (Sampler(dataset.rows[name]) for name in ("training", "validation"))
    for number in range(first, settings.how_many_training_steps):
        rows = training.draw(rng, size)
        features, classes = data.features(rows), dataset.classes[rows]
        logits = tuned.step(features, classes, number)
        loss, share = cross_entropy(logits, classes), accuracy(logits, classes)
        if not math.isfinite(loss):
            raise InputError(
                f"Fine-tuning has no finite loss any more at step {number}: the steps are too "
                f"large. Lower {argument('fine_tune_learning_rate')}, which is "
                f"{settings.learning_rate:g}."
            )
        step = Step(number, tuned.head(), loss, share, None, logits, logits[:0])
        is_last = number + 1 == settings.how_many_training_steps
        if is_last or number % settings.eval_step_interval == 0:
            chosen = validation.draw(rng, settings.validation_batch_size)
            known, where = np.unique(chosen, return_inverse=True)  # each is run once
            checked = step.head.logits(tuned.vectors(data.features(known)))[where]
            after = step.head.logits(tuned.vectors(features))
            figures = (*measured(checked, dataset.classes[chosen]), len(chosen))
            evaluation = (accuracy(after, classes), cross_entropy(after, classes), *figures)
            step = dataclasses.replace(step, evaluation=evaluation, validation_logits=checked)
        on_step(step)


def tune_layers(
    frozen: FrozenGraph,
    tail: Tail,
    settings: RetrainSettings,
    dataset: Dataset,
    head: Head,
    rng: np.random.Generator,
    checkpoints: Checkpoints,
    curves: dict[str, Any],
) -> Tuned:
    """Train the last layers with a trained head, or go on with it, and tell of it.

    `tail` is what `tail_of` returned. Curves go into the folder `fine_tuning` of those of the head.
    The `curves` of the head are what checkpoints have beside those of this part.

    Raises:
        InputError: an image cannot be used any more; or see `TunedTail` and `check_batches`.
    """
    fine, found = settings.fine_tuning, checkpoints.found
    assert fine is not None  # noqa: S101 - it was asked for
    log.info(describe_tuning(tail, fine))
    data = TuningData(dataset, _features(frozen, tail, settings, dataset))
    steps = schedule(fine, settings.training)
    own: dict[str, Any] = {"steps": {"accuracy": [], "cross_entropy": []}, "evaluations": []}
    pooling, where = settings.cache.pooling, str(frozen.path)
    folder = str(Path(settings.summaries_dir) / "fine_tuning")
    with (
        TunedTail(tail, head, fine, pooling, where, frozen.allow_unsafe_graph) as tuned,
        SummaryWriter(folder, settings.tags) as summaries,
    ):
        check_batches(tuned, data)
        first = 0
        if found is not None and found.part == LAYERS:
            first, own = found.steps, found.curves["fine_tuning"]
            tuned.restore({name.removeprefix(_TUNED): v for name, v in found.arrays.items()})
        tell = follow(steps, own)

        def on_step(step: Step) -> None:
            summaries.add(step)
            tell(step)
            if checkpoints.is_due:
                arrays = {f"{_TUNED}{name}": value for name, value in tuned.state().items()}
                arrays |= {"weights": head.weights, "biases": head.biases}
                told = curves | {"fine_tuning": own}
                state = rng.bit_generator.state
                checkpoints.write(Checkpoint(LAYERS, step.number + 1, state, told, arrays))

        fine_tune(tuned, data, steps, rng, on_step, first)
        retested = data.with_vectors_of(tuned, "testing")
        return Tuned(tuned_graph(frozen, tail, tuned), tuned.head(), retested, own)


def _features(
    frozen: FrozenGraph, tail: Tail, settings: RetrainSettings, dataset: Dataset
) -> TailFeatures:
    used = np.concatenate([rows for name in SPLITS for rows in dataset.rows[name]])
    paths = [dataset.images[row].path for row in np.sort(used)]
    tensors = list(tail.entrances.values())
    features = fetch_tail_features(frozen, tensors, paths, settings.cache)
    for path, reason in features.fetched.failed.items():
        raise InputError(
            f"{path} {reason}. It has a cached bottleneck, but fine-tuning takes the image itself; "
            "remove it, or train the head alone."
        )
    log.info("what enters these layers: %s", features.fetched.summary())
    return features
