"""Trains the head: a softmax layer on bottlenecks, by plain gradient descent as retrain.py does."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

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
    ahead: bool = False,
) -> Head:
    """Train and return the head after the last step.

    Mean softmax cross entropy, constant learning rate, no momentum. Every `eval_step_interval`
    steps and after the last one, the step's own batch and one validation batch, which may be empty,
    are evaluated. Every step is told to `on_step`. With `ahead`, a thread calls for the next batch,
    in the same order, while the head trains on the last.
    """

    def is_evaluated(number: int) -> bool:
        is_last = number + 1 == settings.how_many_training_steps
        return is_last or number % settings.eval_step_interval == 0

    def batches() -> Iterator[Batch]:
        for number in range(settings.how_many_training_steps):
            yield training_batch()
            if is_evaluated(number):
                yield validation_batch()

    with _made_ahead(batches()) if ahead else contextlib.nullcontext(batches()) as made:
        return _train_on(start, settings, made, is_evaluated, on_step)


def _train_on(
    start: Head,
    settings: TrainingSettings,
    batches: Iterator[Batch],
    is_evaluated: Callable[[int], bool],
    on_step: Callable[[Step], None],
) -> Head:
    """Train on batches in the order of their need, as `train` says."""
    # Held with a class's weights side by side: so OpenBLAS is a quarter faster at their gradient.
    kernel, biases = start.weights.T.copy(), start.biases.copy()
    head, gradient = Head(kernel.T, biases), np.empty_like(kernel)
    rate = np.float32(settings.learning_rate)
    for number in range(settings.how_many_training_steps):
        vectors, classes = next(batches)
        logits = head.logits(vectors)
        shifted, powers, sums = _exponentials(logits)
        loss, share = _mean_loss(shifted, sums, classes), accuracy(logits, classes)
        error = np.divide(powers, sums[:, np.newaxis], out=powers)
        error[np.arange(len(classes)), classes] -= 1
        error *= rate / np.float32(len(classes))
        np.subtract(kernel, np.matmul(error.T, vectors, out=gradient), out=kernel)
        np.subtract(biases, error.sum(axis=0), out=biases)
        evaluation, checked = None, logits[:0]
        if is_evaluated(number):
            after = head.logits(vectors)
            known, truth = next(batches)
            checked = head.logits(known)
            figures = (*measured(checked, truth), len(truth))
            evaluation = (accuracy(after, classes), cross_entropy(after, classes), *figures)
        on_step(Step(number, head, loss, share, evaluation, logits, checked))
    return Head(np.ascontiguousarray(head.weights), biases)


@contextlib.contextmanager
def _made_ahead(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """Let a thread make each batch while the one before it is in use; it ends with the block."""
    made: queue.SimpleQueue[Batch | BaseException] = queue.SimpleQueue()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def make() -> None:
        try:
            while wanted.get():
                made.put(next(batches))
        except BaseException as error:  # StopIteration among them, which nobody waits for
            made.put(error)

    def taken() -> Iterator[Batch]:
        while True:
            wanted.put(True)  # the one that follows
            batch = made.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    wanted.put(True)
    try:
        yield taken()
    finally:
        wanted.put(False)
        thread.join()
