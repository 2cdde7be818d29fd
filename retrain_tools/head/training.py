"""Trains the head: a softmax layer on bottlenecks, by plain gradient descent as retrain.py does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError, argument
from retrain_tools.head.products import product, product_of_transposed

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
        return product(vectors, self.weights) + self.biases

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

    def is_one_of(self, count: int, step: int) -> bool:
        """Tell whether an evaluated step is one of about `count`, the first and the last too."""
        every = self.eval_step_interval
        apart = max(every, self.how_many_training_steps // count // every * every)
        return step % apart == 0 or step + 1 == self.how_many_training_steps


def check_batch_size(name: str, size: int) -> None:
    """Raise InputError if the argument `name` asks for batches without images."""
    if size == 0:
        raise InputError(f"{argument(name)} cannot be 0; a negative number takes all images.")


@dataclasses.dataclass(frozen=True)
class Step:
    """What is known after one training step.

    Attributes:
        number: from 0.
        head: after the step.
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


class Sampler:
    """Draws rows as retrain.py does: a class uniformly, then one of its images, with replacement.

    Classes without any row are not drawn.
    """

    def __init__(self, rows_per_class: Sequence[npt.NDArray[np.int64]]) -> None:
        """Remember the rows of each class, int64 [images]."""
        counts = np.array([len(rows) for rows in rows_per_class if len(rows)], np.int64)
        self._counts, self._starts = counts, counts.cumsum() - counts
        self._rows = np.concatenate([np.zeros(0, np.int64), *rows_per_class])

    def draw(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
        """Return `count` rows, none where no class has any. A negative `count` gives each once."""
        if count < 0 or not len(self._rows):
            return self._rows
        chosen = rng.integers(len(self._counts), size=count)
        index = rng.integers(_INDEX_RANGE, size=count)
        return self._rows[self._starts[chosen] + index % self._counts[chosen]]


def sample_rows(
    rng: np.random.Generator, rows_per_class: Sequence[npt.NDArray[np.int64]], count: int
) -> npt.NDArray[np.int64]:
    """Draw rows once, as a `Sampler` does again and again."""
    return Sampler(rows_per_class).draw(rng, count)


def initial_head(rng: np.random.Generator, depth: int, classes: int) -> Head:
    """Return retrain.py's start: weights from a normal cut at 2 deviations, biases 0."""
    weights = rng.standard_normal((depth, classes))
    while (outside := np.abs(weights) > 2).any():
        weights[outside] = rng.standard_normal(int(outside.sum()))
    return Head((weights * _INITIAL_DEVIATION).astype(np.float32), np.zeros(classes, np.float32))


def softmax(logits: Vectors) -> Vectors:
    """Return the softmax of each row of float32 [N, classes]."""
    _, powers, sums = _exponentials(logits)
    return np.asarray(powers / sums[:, np.newaxis], np.float32)


def cross_entropy(logits: Vectors, classes: Classes) -> float:
    """Return the mean negative logarithm of the true class's softmax.

    It is taken from the logits because a softmax of less than 1e-38 is 0 in float32.
    """
    shifted, _, sums = _exponentials(logits)
    return _mean_loss(shifted, sums, classes)


def accuracy(logits: Vectors, classes: Classes) -> float:
    """Return the share of images whose largest logit is the true class's."""
    return int(np.count_nonzero(logits.argmax(axis=1) == classes)) / len(classes)


def _exponentials(logits: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Return logits less the largest of each row, their exponentials, and the sums of these."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    return shifted, powers, powers.sum(axis=1)


def _mean_loss(shifted: Vectors, sums: Vectors, classes: Classes) -> float:
    losses = np.log(sums) - shifted[np.arange(len(classes)), classes]
    return float(losses.sum(dtype=np.float64)) / len(classes)


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
    first: int = 0,
) -> Head:
    """Train, from step `first` on, and return the head after the last step.

    Mean softmax cross entropy, constant learning rate, no momentum. Every `eval_step_interval`
    steps and after the last one, the step's own batch and one validation batch, which may be empty,
    are evaluated. Every step is told to `on_step`.
    """
    # Held with a class's weights side by side: so OpenBLAS is a quarter faster at the gradient.
    head = Head(start.weights.T.copy().T, start.biases.copy())
    for number in range(first, settings.how_many_training_steps):
        batch = training_batch()
        step = _step(number, head, batch, settings.learning_rate)
        is_last = number + 1 == settings.how_many_training_steps
        if is_last or number % settings.eval_step_interval == 0:
            step = _evaluated(step, batch, validation_batch())
        on_step(step)
        head = step.head
    return Head(np.ascontiguousarray(head.weights), head.biases)


def _step(number: int, head: Head, batch: Batch, learning_rate: float) -> Step:
    """Return what a step of gradient descent makes of a head."""
    vectors, classes = batch
    logits = head.logits(vectors)
    shifted, powers, sums = _exponentials(logits)
    loss, share = _mean_loss(shifted, sums, classes), accuracy(logits, classes)
    error = np.divide(powers, sums[:, np.newaxis], out=powers)
    error[np.arange(len(classes)), classes] -= 1
    error *= np.float32(learning_rate) / np.float32(len(classes))
    weights = head.weights - product_of_transposed(error, vectors).T
    after = Head(weights, head.biases - error.sum(axis=0))
    return Step(number, after, loss, share, None, logits, logits[:0])


def _evaluated(step: Step, batch: Batch, validation: Batch) -> Step:
    """Return a step with its evaluation on its own batch and another."""
    vectors, classes = batch
    known, truth = validation
    after, checked = step.head.logits(vectors), step.head.logits(known)
    figures = (*measured(checked, truth), len(truth))
    evaluation = (accuracy(after, classes), cross_entropy(after, classes), *figures)
    return dataclasses.replace(step, evaluation=evaluation, validation_logits=checked)
