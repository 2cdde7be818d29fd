"""How good a classifier is: accuracy, precision and recall per class, confusion matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.head.training import Classes, Head, Vectors, cross_entropy


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A classifier's result on some images.

    Attributes:
        accuracy: share of images labelled right; None without images.
        cross_entropy: mean; None without images, or where the scores are no probabilities.
        confusion: int64 [classes, classes], true class by row, given class by column.
        predicted: int64 [N], the class given to each image.
    """

    accuracy: float | None
    cross_entropy: float | None
    confusion: npt.NDArray[np.int64]
    predicted: Classes

    def as_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return everything for `metrics.json`; a share of nothing is None."""
        right = np.diag(self.confusion)
        per_class = {
            label: {
                "images": int(self.confusion[i].sum()),
                "precision": _share(int(right[i]), int(self.confusion[:, i].sum())),
                "recall": _share(int(right[i]), int(self.confusion[i].sum())),
            }
            for i, label in enumerate(labels)
        }
        return {
            "images": int(self.confusion.sum()),
            "accuracy": self.accuracy,
            "cross_entropy": self.cross_entropy,
            "per_class": per_class,
            "confusion_matrix": self.confusion.tolist(),
        }


def evaluate(head: Head, vectors: Vectors, classes: Classes) -> Evaluation:
    """Score bottlenecks [N, depth] of known classes [N]; N may be 0."""
    logits = head.logits(vectors)
    loss = cross_entropy(logits, classes) if len(classes) else None
    return compare(classes, logits.argmax(axis=1), len(head.biases), loss)


def evaluate_pieces(head: Head, pieces: Iterable[tuple[Vectors, Classes]]) -> Evaluation:
    """Score bottlenecks of known classes as `evaluate` does, some at a time, at least one piece."""
    found = [(evaluate(head, *piece), piece[1]) for piece in pieces]
    if len(found) == 1:
        return found[0][0]
    classes = np.concatenate([truth for _, truth in found])
    losses = [(one.cross_entropy or 0.0) * len(truth) for one, truth in found]
    predicted = np.concatenate([one.predicted for one, _ in found])
    return compare(classes, predicted, len(head.biases), sum(losses) / len(classes))


def compare(
    classes: Classes, predicted: Classes, count: int, cross_entropy: float | None
) -> Evaluation:
    """Compare the classes [N] of images with those given to them [N], of `count` classes."""
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (classes, predicted), 1)
    accuracy = float((predicted == classes).mean()) if len(classes) else None
    return Evaluation(accuracy, cross_entropy, confusion, predicted)


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
