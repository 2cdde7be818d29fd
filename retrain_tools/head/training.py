"""Trains the head: a softmax layer on bottlenecks, by plain gradient descent as retrain.py does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument

Vectors = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]
Batch = tuple[Vectors, Classes]

# From retrain.py: the initial weights' standard deviation, and the range of its random indexes.
_INITIAL_DEVIATION = 0.001
_INDEX_RANGE = 2**27


@dataclasses.dataclass(frozen=True)
class Head:
    """The retrained layer.

    Attributes:
        weights: float32 [depth, classes].
        biases: float32 [classes].
    """

    weights: Vectors
    biases: Vectors

    def logits(self, vectors: Vectors) -> Vectors:
        """Return the input of the softmax for bottlenecks [N, depth]: float32 [N, classes]."""
        return vectors @ self.weights + self.biases

    def scores(self, vectors: Vectors) -> Vectors:
        """Return the softmax of the layer for bottlenecks [N, depth]: float32 [N, classes]."""
        return softmax(self.logits(vectors))


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to train: retrain.py's flags of these names, and their defaults.

    Attributes:
        how_many_training_steps: batches to train on.
        learning_rate: constant.
        train_batch_size: images per step; negative takes all of them.
        validation_batch_size: images per validation; negative takes all of them.
        eval_step_interval: steps between evaluations.
        seed: of everything random.
    """

    how_many_training_steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    validation_batch_size: int = 100
    eval_step_interval: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("how_many_training_steps", "eval_step_interval"):
            if getattr(self, name) < 1:
                raise InputError(f"{argument(name)}={getattr(self, name)} must be at least 1.")
        check_batch_size("train_batch_size", self.train_batch_size)
        check_batch_size("validation_batch_size", self.validation_batch_size)
        if not 0 < self.learning_rate < math.inf:
            raise InputError(
                f"{argument('learning_rate')}={self.learning_rate} must be a number above 0."
            )


def check_batch_size(name: str, size: int) -> None:
    """Raise InputError if the argument `name` asks for batches without images."""
    if size == 0:
        raise InputError(f"{argument(name)} cannot be 0; a negative number takes all images.")


@dataclasses.dataclass(frozen=True)
class Step:
    """What is known after one training step.

    Attributes:
        number: from 0.
        head: after the step; its arrays are changed by the next one.
        batch_cross_entropy: mean over the step's batch, before the step.
        batch_accuracy: over the step's batch, before the step.
        evaluation: (training accuracy, training cross entropy, validation accuracy, validation
            cross entropy, images validated) after the step, where the cadence asks for it. The
            validation figures are None without validation images.
        batch_logits: float32 [batch, classes], before the step.
        validation_logits: float32 [images validated, classes], after an evaluated step.
    """

    number: int
    head: Head
    batch_cross_entropy: float
    batch_accuracy: float
    evaluation: tuple[float, float, float | None, float | None, int] | None
    batch_logits: Vectors
    validation_logits: Vectors


def sample_rows(
    rng: np.random.Generator, rows_per_class: Sequence[npt.NDArray[np.int64]], count: int
) -> npt.NDArray[np.int64]:
    """Draw rows as retrain.py does: a class uniformly, then one of its images, with replacement.

    Classes without any row are not drawn. A negative `count` gives every row once.
    """
    classes = [rows for rows in rows_per_class if len(rows)]
    if not classes:
        return np.zeros(0, np.int64)
    if count < 0:
        return np.concatenate(classes)
    chosen = rng.integers(len(classes), size=count)
    index = rng.integers(_INDEX_RANGE, size=count)
    return np.array(
        [classes[c][i % len(classes[c])] for c, i in zip(chosen, index, strict=True)], np.int64
    )


def initial_head(rng: np.random.Generator, depth: int, classes: int) -> Head:
    """Return retrain.py's start: weights from a normal cut at 2 deviations, biases 0."""
    weights = rng.standard_normal((depth, classes))
    while (outside := np.abs(weights) > 2).any():
        weights[outside] = rng.standard_normal(int(outside.sum()))
    return Head((weights * _INITIAL_DEVIATION).astype(np.float32), np.zeros(classes, np.float32))


def softmax(logits: Vectors) -> Vectors:
    """Return the softmax of each row of float32 [N, classes]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def cross_entropy(logits: Vectors, classes: Classes) -> float:
    """Return the mean negative logarithm of the true class's softmax.

    It is taken from the logits because a softmax of less than 1e-38 is 0 in float32.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(classes)), classes]
    return float((np.log(np.exp(shifted).sum(axis=1)) - true).mean(dtype=np.float64))


def accuracy(logits: Vectors, classes: Classes) -> float:
    """Return the share of images whose largest logit is the true class's."""
    return float((logits.argmax(axis=1) == classes).mean())


def measured(logits: Vectors, classes: Classes) -> tuple[float | None, float | None]:
    """Return accuracy and mean cross entropy; None without images."""
    if not len(classes):
        return None, None
    return accuracy(logits, classes), cross_entropy(logits, classes)


def train(
    start: Head,
    settings: TrainingSettings,
    training_batch: Callable[[], Batch],
    validation_batch: Callable[[], Batch],
    on_step: Callable[[Step], None],
) -> Head:
    """Train and return the head after the last step.

    Mean softmax cross entropy, constant learning rate, no momentum. Every `eval_step_interval`
    steps and after the last one, the step's own batch and one validation batch, which may be empty,
    are evaluated. Every step is told to `on_step`.
    """
    head = Head(start.weights.copy(), start.biases.copy())
    rate = np.float32(settings.learning_rate)
    for number in range(settings.how_many_training_steps):
        vectors, classes = training_batch()
        logits = head.logits(vectors)
        loss, share = cross_entropy(logits, classes), accuracy(logits, classes)
        error = softmax(logits)
        error[np.arange(len(classes)), classes] -= 1
        error *= rate / np.float32(len(classes))
        np.subtract(head.weights, vectors.T @ error, out=head.weights)
        np.subtract(head.biases, error.sum(axis=0), out=head.biases)
        is_last = number + 1 == settings.how_many_training_steps
        evaluation, checked = None, logits[:0]
        if is_last or number % settings.eval_step_interval == 0:
            after = head.logits(vectors)
            known, truth = validation_batch()
            checked = head.logits(known)
            figures = (*measured(checked, truth), len(truth))
            evaluation = (accuracy(after, classes), cross_entropy(after, classes), *figures)
        on_step(Step(number, head, loss, share, evaluation, logits, checked))
    return head
