"""What is told of a training while it goes on: curves, log lines, and retrain.py's log lines."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Any

from retrain_tools.head.dataset import Dataset
from retrain_tools.head.training import Step, TrainingSettings
from retrain_tools.images.splits import SPLITS
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

_LINES_ABOUT_TRAINING = 20
_CLASSES_NAMED = 10


def describe(dataset: Dataset) -> list[str]:
    """Return lines for people: the images of each class, and of each split."""
    per_split = {name: [len(rows) for rows in dataset.rows[name]] for name in SPLITS}
    per_class = [sum(counts) for counts in zip(*per_split.values(), strict=True)]
    named = [f"{label} ({count:,})" for label, count in zip(dataset.labels, per_class, strict=True)]
    if len(named) > _CLASSES_NAMED:
        named[_CLASSES_NAMED:] = [f"and {len(named) - _CLASSES_NAMED:,} more"]
    splits = ", ".join(f"{sum(per_split[name]):,} {name}" for name in SPLITS)
    images = counted(sum(per_class), "image")
    classes = f"{images} in {len(dataset.labels):,} classes: {', '.join(named)}"
    return [classes, f"splits: {splits}"]


def follow(settings: TrainingSettings, curves: Mapping[str, Any]) -> Callable[[Step], None]:
    """Return what hears of each step, and adds its figures to the lists of `curves`.

    About twenty steps are told of in a line each. retrain.py told of each evaluation in three;
    these lines, as they were, are for level DEBUG.
    """

    def on_step(step: Step) -> None:
        curves["steps"]["accuracy"].append(step.batch_accuracy)
        curves["steps"]["cross_entropy"].append(step.batch_cross_entropy)
        if step.evaluation is None:
            return
        names = ("accuracy", "cross_entropy", "validation_accuracy", "validation_cross_entropy")
        figures = dict(zip(names, step.evaluation, strict=False))
        curves["evaluations"].append({"step": step.number, **figures})
        if log.isEnabledFor(logging.DEBUG):
            for line in _lines_of_retrain_py(step):
                log.debug(line)
        if settings.is_one_of(_LINES_ABOUT_TRAINING, step.number):
            log.info(_line(step))

    return on_step


def _line(step: Step) -> str:
    accuracy, loss, checked, _, count = step.evaluation or (0.0, 0.0, None, None, 0)
    validation = "" if checked is None else f", validation accuracy {checked:.1%} (N={count})"
    return f"step {step.number}: accuracy {accuracy:.1%}, cross entropy {loss:.4f}{validation}"


def _lines_of_retrain_py(step: Step) -> list[str]:
    accuracy, loss, checked, _, count = step.evaluation or (0.0, 0.0, None, None, 0)
    start = f"{datetime.datetime.now()}: Step {step.number}:"
    lines = [f"{start} Train accuracy = {accuracy:.1%}", f"{start} Cross entropy = {loss:f}"]
    if checked is not None:
        lines.append(f"{start} Validation accuracy = {checked:.1%} (N={count})")
    return lines
