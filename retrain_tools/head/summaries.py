"""Training curves as event files for TensorBoard, in `train/` and `validation/`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from retrain_tools.head.training import Step, Vectors
from retrain_tools.quiet_tensorflow import tf

_HISTOGRAM_BUCKETS = 30


class SummaryWriter(contextlib.AbstractContextManager["SummaryWriter"]):
    """Writes one run's curves; the curves of an earlier run are kept."""

    def __init__(self, summaries_dir: str) -> None:
        """Open both event files in `summaries_dir`, or in `run_2`, `run_3`, … inside it."""
        folder, run = Path(summaries_dir), 1
        while any(folder.glob("*/events.out.tfevents.*")):
            run += 1
            folder = Path(summaries_dir) / f"run_{run}"
        self.folder = folder
        with tf.Graph().as_default():  # the writer refuses to work in eager mode
            self._train = tf.compat.v1.summary.FileWriter(str(folder / "train"))
            self._validation = tf.compat.v1.summary.FileWriter(str(folder / "validation"))

    def __exit__(self, *_: object) -> None:
        self._train.close()
        self._validation.close()

    def add(self, step: Step) -> None:
        """Record a step: its batch's figures always, evaluation and weights where evaluated."""
        values = _figures(step.batch_cross_entropy, step.batch_accuracy)
        if step.evaluation is not None:
            values += _statistics("final_training_ops/weights", step.head.weights)
            values += _statistics("final_training_ops/biases", step.head.biases)
            _, _, validation_accuracy, validation_cross_entropy, _ = step.evaluation
            if validation_accuracy is not None and validation_cross_entropy is not None:
                checked = _figures(validation_cross_entropy, validation_accuracy)
                self._validation.add_summary(tf.compat.v1.Summary(value=checked), step.number)
        self._train.add_summary(tf.compat.v1.Summary(value=values), step.number)


def _figures(cross_entropy: float, accuracy: float) -> list[Any]:
    return [_scalar("cross_entropy", cross_entropy), _scalar("accuracy", accuracy)]


def _scalar(tag: str, value: float) -> Any:
    return tf.compat.v1.Summary.Value(tag=tag, simple_value=value)


def _statistics(scope: str, values: Vectors) -> list[Any]:
    """Return retrain.py's five summaries of a variable."""
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
    tag = f"{scope}/summaries"
    return [
        _scalar(f"{tag}/mean", float(values.mean())),
        _scalar(f"{tag}/stddev", float(values.std())),
        _scalar(f"{tag}/max", float(values.max())),
        _scalar(f"{tag}/min", float(values.min())),
        tf.compat.v1.Summary.Value(tag=f"{tag}/histogram", histo=histogram),
    ]
