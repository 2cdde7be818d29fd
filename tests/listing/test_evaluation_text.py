"""The figures of a classifier as text."""

from __future__ import annotations

import numpy as np

from retrain_tools.head.evaluation import compare
from retrain_tools.listing.evaluation_text import evaluation_text


def text_of(labels: list[str], true: list[int], given: list[int], loss: float | None) -> str:
    test = compare(np.array(true, int), np.array(given, int), len(labels), loss)
    return evaluation_text(labels, test.as_dict(labels))


def test_accuracy_shares_per_class_and_the_confusion_matrix() -> None:
    labels = ["daisy", "rose bush", "unseen", "tulip"]
    assert text_of(labels, [0, 0, 0, 1, 1], [0, 0, 3, 1, 0], 0.5) == (
        "Accuracy = 60.0% (N=5)\n"
        "Cross entropy = 0.5000\n"
        "\n"
        "label      images  precision  recall\n"
        "daisy           3      66.7%   66.7%\n"
        "rose bush       2     100.0%   50.0%\n"
        "tulip           0       0.0%    none\n"
        "\n"
        "true label \\ given  [1]  [2]  [3]\n"
        "[1] daisy             2    0    1\n"
        "[2] rose bush         1    1    0\n"
        "[3] tulip             0    0    0\n"
    )


def test_without_images_nothing_is_known() -> None:
    assert text_of(["a", "b"], [], [], None).startswith("Accuracy = none (N=0)\n\nlabel")


def test_a_matrix_that_is_too_wide_is_not_shown() -> None:
    labels = [f"l{number}" for number in range(21)]
    text = text_of(labels, list(range(21)), list(range(21)), None)
    assert text.endswith(
        "l20         1     100.0%  100.0%\n\n"
        "The confusion matrix of 21 classes is too wide to be shown.\n"
    )
