"""Training curves as event files for TensorBoard, in `train/` and `validation/`.

The tags are retrain.py's, so that the curves of its runs and of new ones lie over each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools.head.training import Head, Step, Vectors, softmax
from retrain_tools.quiet_tensorflow import tf

_HISTOGRAM_BUCKETS = 30


@dataclasses.dataclass(frozen=True)
class Tags:
    """What retrain.py called its summaries; TensorFlow put a number behind a name that was taken.

    Attributes:
        scope: of the retrained layer.
        mean: of a variable.
        stddev: of a variable.
        max: of a variable.
        min: of a variable.
    """

    scope: str
    mean: str
    stddev: str
    max: str
    min: str


TAGS_OF_TENSORFLOW = Tags("final_training_ops", "mean", "stddev_1", "max", "min")
"""Of the retrain.py in TensorFlow's own repository."""
TAGS_OF_HUB = Tags("final_retrain_ops", "mean_1", "stddev_1", "max_1", "min_1")
"""Of TensorFlow Hub's, of 2018: capitals did not count any more, and its nodes are Mean and Max."""


class SummaryWriter(contextlib.AbstractContextManager["SummaryWriter"]):
    """Writes one run's curves; the curves of an earlier run are kept."""

    def __init__(
        self, summaries_dir: str, tags: Tags = TAGS_OF_TENSORFLOW, graph_def: Any = None
    ) -> None:
        """Open both event files in `summaries_dir`, or in `run_2`, `run_3`, … inside it.

        As in retrain.py, `train/` gets the graph, if there is one. It should be a light one:
        TensorBoard shows no values of constants.
        """
        folder, run = Path(summaries_dir), 1
        while any(folder.glob("*/events.out.tfevents.*")):
            run += 1
            folder = Path(summaries_dir) / f"run_{run}"
        self.folder, self._tags = folder, tags
        with tf.Graph().as_default():  # the writer refuses to work in eager mode
            self._train = tf.compat.v1.summary.FileWriter(str(folder / "train"))
            self._validation = tf.compat.v1.summary.FileWriter(str(folder / "validation"))
        if graph_def is not None:
            data = graph_def.SerializeToString()
            self._train.add_event(tf.compat.v1.Event(wall_time=time.time(), graph_def=data))

    def __exit__(self, *_: object) -> None:
        self._train.close()
        self._validation.close()

    def add(self, step: Step) -> None:
        """Record a step: its batch's figures always, everything else where it was evaluated."""
        values = _figures(step.batch_cross_entropy, step.batch_accuracy)
        if step.evaluation is not None:
            weights = self._statistics(step.head)
            values += weights + self._activations(step.batch_logits)
            _, _, validation_accuracy, validation_cross_entropy, _ = step.evaluation
            if validation_accuracy is not None and validation_cross_entropy is not None:
                checked = _figures(validation_cross_entropy, validation_accuracy)
                checked += weights + self._activations(step.validation_logits)
                self._validation.add_summary(tf.compat.v1.Summary(value=checked), step.number)
        self._train.add_summary(tf.compat.v1.Summary(value=values), step.number)

    def _statistics(self, head: Head) -> list[Any]:
        """Return the five summaries of each variable."""
        summaries = []
        for name, values in (("weights", head.weights), ("biases", head.biases)):
            scope = f"{self._tags.scope}/{name}/summaries"
            summaries += [
                _scalar(f"{scope}/{self._tags.mean}", float(values.mean())),
                _scalar(f"{scope}/{self._tags.stddev}", float(values.std())),
                _scalar(f"{scope}/{self._tags.max}", float(values.max())),
                _scalar(f"{scope}/{self._tags.min}", float(values.min())),
                _histogram(f"{scope}/histogram", values),
            ]
        return summaries

    def _activations(self, logits: Vectors) -> list[Any]:
        """Return the summaries of what the layer gives for a batch."""
        return [
            _histogram(f"{self._tags.scope}/Wx_plus_b/pre_activations", logits),
            _histogram("activations", softmax(logits)),
        ]


def _figures(cross_entropy: float, accuracy: float) -> list[Any]:
    return [_scalar("cross_entropy_1", cross_entropy), _scalar("accuracy_1", accuracy)]


def _scalar(tag: str, value: float) -> Any:
    return tf.compat.v1.Summary.Value(tag=tag, simple_value=value)


def _histogram(tag: str, values: Vectors) -> Any:
    counts, edges = np.histogram(values, bins=_HISTOGRAM_BUCKETS)
    histogram = tf.compat.v1.HistogramProto(
        min=float(values.min()),
        max=float(values.max()),
        num=values.size,
        sum=float(values.sum(dtype=np.float64)),
        sum_squares=float(np.square(values, dtype=np.float64).sum()),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.astype(float).tolist(),
    )
    return tf.compat.v1.Summary.Value(tag=tag, histo=histogram)
