"""Training curves as event files for TensorBoard, in `train/` and `validation/`.

The tags are retrain.py's, so that the curves of its runs and of new ones lie over each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from retrain_tools.head.event_file import EventFile, histogram, scalar, spread_of
from retrain_tools.head.training import Head, Step, Vectors, softmax


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


STEPS_IN_DETAIL = 50
"""Of a training: about as many have histograms in its curves."""

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
        self._train = EventFile(folder / "train")
        self._validation = EventFile(folder / "validation")
        if graph_def is not None:
            self._train.add_graph(graph_def)

    def __exit__(self, *_: object) -> None:
        self._train.close()
        self._validation.close()

    def add(self, step: Step, in_detail: bool = True) -> None:
        """Record a step: its batch's figures always, those of the validation where it has one.

        `in_detail` also gives figures and histograms of the layer, if the step was evaluated. They
        cost as much as some steps; TensorBoard's page draws 51 of them (`SAMPLE_SIZE` in its
        plugins/histogram/histograms_plugin.py).
        """
        values = _figures(step.batch_cross_entropy, step.batch_accuracy)
        if step.evaluation is not None:
            weights = self._statistics(step.head) if in_detail else []
            values += weights
            values += self._activations(step.batch_logits) if in_detail else []
            _, _, validation_accuracy, validation_cross_entropy, _ = step.evaluation
            if validation_accuracy is not None and validation_cross_entropy is not None:
                checked = _figures(validation_cross_entropy, validation_accuracy) + weights
                checked += self._activations(step.validation_logits) if in_detail else []
                self._validation.add(step.number, checked)
        self._train.add(step.number, values)

    def _statistics(self, head: Head) -> list[bytes]:
        """Return the five summaries of each variable."""
        summaries = []
        for name, values in (("weights", head.weights), ("biases", head.biases)):
            scope, spread = f"{self._tags.scope}/{name}/summaries", spread_of(values)
            summaries += [
                scalar(f"{scope}/{self._tags.mean}", spread.mean),
                scalar(f"{scope}/{self._tags.stddev}", spread.stddev),
                scalar(f"{scope}/{self._tags.max}", spread.high),
                scalar(f"{scope}/{self._tags.min}", spread.low),
                histogram(f"{scope}/histogram", spread),
            ]
        return summaries

    def _activations(self, logits: Vectors) -> list[bytes]:
        """Return the summaries of what the layer gives for a batch."""
        scope = self._tags.scope
        return [
            histogram(f"{scope}/Wx_plus_b/pre_activations", spread_of(logits)),
            histogram("activations", spread_of(softmax(logits))),
        ]


def _figures(cross_entropy: float, accuracy: float) -> list[bytes]:
    return [scalar("cross_entropy_1", cross_entropy), scalar("accuracy_1", accuracy)]
