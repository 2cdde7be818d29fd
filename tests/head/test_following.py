"""What people are told of a training."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from retrain_tools.head.dataset import Dataset, splits_table
from retrain_tools.head.following import describe, follow
from retrain_tools.head.training import Step, TrainingSettings
from retrain_tools.images.folders import ImageFile

from .conftest import make_head


def dataset(per_class):
    """Classes with so many training, validation and testing images each."""
    rows = {"training": [], "validation": [], "testing": []}
    classes, images = [], []
    for number, counts in enumerate(per_class):
        for name, count in zip(rows, counts, strict=True):
            start = len(images)
            images += [ImageFile(f"p/{n}.jpg", f"{n}.jpg") for n in range(start, start + count)]
            rows[name].append(np.arange(start, start + count))
            classes += [number] * count
    labels = [f"class {number}" for number in range(len(per_class))]
    vectors = np.zeros((len(images), 2), np.float32)
    return Dataset(labels, images, vectors, np.array(classes), rows)


def test_few_classes_are_all_named():
    assert describe(dataset([(1000, 100, 50), (3, 0, 1)])) == [
        "1,154 images in 2 classes: class 0 (1,150), class 1 (4)",
        "splits: 1,003 training, 100 validation, 51 testing",
    ]


def test_of_many_classes_ten_are_named():
    first, _ = describe(dataset([(2, 1, 1)] * 12))
    assert first.startswith("48 images in 12 classes: class 0 (4), class 1 (4), ")
    assert first.endswith(", class 9 (4), and 2 more")


def test_the_table_of_splits_leaves_out_images_that_are_in_none():
    data = dataset([(1, 1, 0), (1, 0, 1)])
    data.rows["training"][1] = data.rows["training"][1][:0]
    assert "".join(splits_table(data)) == (
        "image,label,split\np/0.jpg,class 0,training\np/1.jpg,class 0,validation\n"
        "p/3.jpg,class 1,testing\n"
    )


@pytest.mark.parametrize("checked", [True, False], ids=["validated", "no validation images"])
def test_an_evaluation_is_told_of_in_each_way(caplog, monkeypatch, checked):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    nothing = np.zeros((0, 3), np.float32)
    evaluation = (0.875, 0.123456789, *((0.5, 1.25, 8) if checked else (None, None, 0)))
    curves = {"steps": {"accuracy": [], "cross_entropy": []}, "evaluations": []}
    tell = follow(TrainingSettings(how_many_training_steps=1), curves)
    with caplog.at_level(logging.DEBUG, logger="retrain_tools"):
        tell(Step(0, make_head(2), 0.25, 0.75, evaluation, nothing, nothing))
    lines = [(r.levelname, r.getMessage().split(": Step 0: ")[-1]) for r in caplog.records]
    assert lines == [
        ("DEBUG", "Train accuracy = 87.5%"),
        ("DEBUG", "Cross entropy = 0.123457"),
        *([("DEBUG", "Validation accuracy = 50.0% (N=8)")] if checked else []),
        ("INFO", "step 0: accuracy 87.5%, cross entropy 0.1235"
         + (", validation accuracy 50.0% (N=8)" if checked else "")),
    ]  # fmt: skip
    assert curves["steps"] == {"accuracy": [0.75], "cross_entropy": [0.25]}
    assert curves["evaluations"][0]["validation_accuracy"] == (0.5 if checked else None)
