"""What fine-tuning cannot do is said."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.errors import InputError
from retrain_tools.graphdef.schema import GraphDef
from retrain_tools.head.tuned_tail import FineTuning

from .conftest import make_head
from .graphs import DEPTH, constant, node
from .photos import write_photos
from .tail_graphs import CUT, opened, two_layers
from .tuning import prepared, tuned


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("tuning") / "photos")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("small"))


WRONG = [
    ({"fine_tune_steps": 0}, "fine_tune_steps=0 must be at least 1."),
    ({"fine_tune_batch_size": -1}, "fine_tune_batch_size=-1 must be at least 1."),
    ({"fine_tune_learning_rate": 0.0}, "fine_tune_learning_rate=0.0 must be a number above 0."),
    (
        {"fine_tune_momentum": 1.0},
        "fine_tune_momentum=1.0 must be at least 0 and below 1.",
    ),
    ({"fine_tune_optimizer": "rmsprop"}, "fine_tune_optimizer=rmsprop must be adam or sgd."),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_wrong_settings_are_refused(given, message):
    with pytest.raises(InputError) as caught:
        FineTuning(CUT, **given)
    assert str(caught.value) == message


def test_the_learning_rate_goes_with_the_optimizer():
    assert FineTuning(CUT).rate == 1e-4
    assert FineTuning(CUT, fine_tune_optimizer="sgd").rate == 1e-3
    assert FineTuning(CUT, fine_tune_learning_rate=0.5).rate == 0.5


def spliced(before: str, nodes: list) -> GraphDef:
    """`two_layers` with nodes between `shifted` and what takes it; the last of them is `before`."""
    graph_def = two_layers()
    [pool] = [one for one in graph_def.node if one.name == "pool"]
    pool.input[0] = before
    graph_def.node.extend(nodes)
    return graph_def


CANNOT = {
    "no gradient": (
        [
            constant("five", np.array([5, 5], np.int32)),
            node("last", "ResizeArea", "shifted", "five", T=tf.float32),
        ],
        r"fine_tune_from='first/relu:0': .* cannot be trained from there, as TensorFlow has no "
        r"gradient of an operation after it: .*ResizeArea.*\. Choose a tensor after that\.",
    ),
    "gradient of nothing": (
        [node("last", "Rint", "shifted", T=tf.float32)],
        r"fine_tune_from='first/relu:0': .* cannot be trained from there, as an operation on the "
        r"way to 'pool/_reshape:0' has no gradient\. Choose a tensor after that\.",
    ),
    "other values in a batch": (
        [
            constant("axis", np.array([0], np.int32)),
            node("mean", "Mean", "beside/relu", "axis", T=tf.float32, keep_dims=True),
            node("last", "Sub", "shifted", "mean", T=tf.float32),
        ],
        r"This network gives an image other values among others than alone, so it cannot be "
        r"trained in batches; choose a later tensor as fine_tune_from\.",
    ),
    "one image only": (
        [
            constant("flat", np.array([25, DEPTH], np.int32)),
            node("flattened", "Reshape", "shifted", "flat", T=tf.float32),
            constant("zero", np.zeros(DEPTH, np.float32)),
            node("above", "BiasAdd", "flattened", "zero", T=tf.float32),
            constant("whole", np.array([1, 5, 5, DEPTH], np.int32)),
            node("last", "Reshape", "above", "whole", T=tf.float32),
        ],
        r"This network cannot be trained in batches of images: .*; choose a later tensor as "
        r"fine_tune_from\.",
    ),
}


@pytest.mark.parametrize("why", CANNOT)
def test_what_cannot_be_trained_is_refused(photos, tmp_path, why):
    nodes, message = CANNOT[why]
    frozen = opened(tmp_path, spliced("last", nodes))
    settings = FineTuning(CUT, 2, fine_tune_batch_size=4)
    data = prepared(frozen, photos, tmp_path, settings)
    with pytest.raises(InputError) as caught:
        tuned(frozen, data, settings, make_head(DEPTH), 0)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_steps_that_are_too_large_are_said(small, photos, tmp_path):
    settings = FineTuning(CUT, 50, 1e30, "sgd", fine_tune_batch_size=4)
    data = prepared(small, photos, tmp_path, settings)
    with pytest.raises(InputError) as caught, np.errstate(all="ignore"):
        tuned(small, data, settings, make_head(DEPTH), 0)
    assert re.fullmatch(
        r"Fine-tuning has no finite loss any more at step \d+: the steps are too large\. Lower "
        r"fine_tune_learning_rate, which is 1e\+30\.",
        str(caught.value),
    )
