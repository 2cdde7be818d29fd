"""The figures of an evaluation against scikit-learn's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from retrain_tools.head.evaluation import evaluate

from .conftest import make_head
from .graphs import softmax


@pytest.fixture(scope="module")
def tested():
    rng = np.random.default_rng(0)
    head = make_head(6, classes=4)
    vectors = rng.normal(0, 1, (80, 6)).astype(np.float32)
    return head, vectors, rng.integers(4, size=80)


def test_figures_are_those_of_scikit_learn(tested):
    head, vectors, classes = tested
    result = evaluate(head, vectors, classes)
    given = (vectors @ head.weights + head.biases).argmax(axis=1)
    assert np.array_equal(result.predicted, given)
    assert result.accuracy == pytest.approx(metrics.accuracy_score(classes, given))
    scores = softmax(vectors @ head.weights + head.biases)
    assert result.cross_entropy == pytest.approx(metrics.log_loss(classes, scores), rel=1e-5)
    assert np.array_equal(result.confusion, metrics.confusion_matrix(classes, given))


def test_the_dictionary_has_scikit_learns_precision_and_recall_per_label(tested):
    head, vectors, classes = tested
    result = evaluate(head, vectors, classes)
    figures = result.as_dict(["d", "c", "b", "a"])
    precision, recall, _, count = metrics.precision_recall_fscore_support(
        classes, result.predicted, zero_division=0
    )
    for number, label in enumerate("dcba"):
        assert figures["per_class"][label]["precision"] == pytest.approx(precision[number])
        assert figures["per_class"][label]["recall"] == pytest.approx(recall[number])
        assert figures["per_class"][label]["images"] == count[number]
    assert list(figures["per_class"]) == ["d", "c", "b", "a"]
    assert figures["images"] == 80
    assert (
        figures["confusion_matrix"] == metrics.confusion_matrix(classes, result.predicted).tolist()
    )
    assert json.loads(json.dumps(figures)) == figures


def test_a_share_of_nothing_is_none():
    head = make_head(2, classes=3)
    head.weights[:] = 0
    head.biases[:] = [5, 0, 0]
    figures = evaluate(head, np.zeros((2, 2), np.float32), np.array([0, 1])).as_dict("abc")
    assert figures["per_class"]["a"] == {"images": 1, "precision": 0.5, "recall": 1.0}
    assert figures["per_class"]["b"] == {"images": 1, "precision": None, "recall": 0.0}
    assert figures["per_class"]["c"] == {"images": 0, "precision": None, "recall": None}


def test_without_images_there_are_no_figures():
    result = evaluate(make_head(2), np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    assert (result.accuracy, result.cross_entropy) == (None, None)
    assert result.confusion.tolist() == np.zeros((3, 3)).tolist()
    assert len(result.predicted) == 0
    assert result.as_dict("abc")["images"] == 0
