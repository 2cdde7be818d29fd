"""Event files as TensorBoard reads them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from retrain_tools.graphdef import schema
from retrain_tools.head.summaries import TAGS_OF_HUB, SummaryWriter
from retrain_tools.head.training import Step

from .conftest import make_head
from .graphs import graph_2015

LOGITS = np.random.default_rng(9).normal(0, 2, (10, 3)).astype(np.float32)
CHECKED = np.random.default_rng(10).normal(1, 2, (8, 3)).astype(np.float32)


def write(folder, head, evaluation=(0.75, 0.5, 0.625, 0.875, 8), **more):
    with SummaryWriter(str(folder), **more) as summaries:
        summaries.add(Step(0, head, 1.5, 0.25, evaluation, LOGITS, CHECKED))
        summaries.add(Step(1, head, 1.25, 0.375, None, LOGITS, CHECKED[:0]))
    return summaries.folder


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    events.Reload()
    return events


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_every_step_has_its_batchs_figures(tmp_path):
    events = read(write(tmp_path, make_head(5)) / "train")
    assert scalars(events, "accuracy_1") == [(0, 0.25), (1, 0.375)]
    assert scalars(events, "cross_entropy_1") == [(0, 1.5), (1, 1.25)]


def test_an_evaluated_step_has_its_validation_figures(tmp_path):
    events = read(write(tmp_path, make_head(5)) / "validation")
    assert scalars(events, "accuracy_1") == [(0, 0.625)]
    assert scalars(events, "cross_entropy_1") == [(0, 0.875)]


def test_without_validation_images_the_validation_curve_is_empty(tmp_path):
    folder = write(tmp_path, make_head(5), (0.75, 0.5, None, None, 0))
    assert read(folder / "validation").Tags()["scalars"] == []


@pytest.mark.parametrize("writer", ["train", "validation"])
@pytest.mark.parametrize("part", ["weights", "biases"])
def test_an_evaluated_step_has_the_heads_statistics(tmp_path, part, writer):
    head = make_head(200)
    values = getattr(head, part).astype(np.float64)
    events = read(write(tmp_path, head) / writer)
    prefix = f"final_training_ops/{part}/summaries"
    expected = {
        "mean": values.mean(),
        "stddev_1": values.std(),
        "max": values.max(),
        "min": values.min(),
    }
    for name, value in expected.items():
        [(step, found)] = scalars(events, f"{prefix}/{name}")
        assert step == 0
        assert found == pytest.approx(value, abs=1e-6)
    check_histogram(events, f"{prefix}/histogram", values)


@pytest.mark.parametrize(("writer", "logits"), [("train", LOGITS), ("validation", CHECKED)])
def test_an_evaluated_step_has_what_the_head_gave_for_its_images(tmp_path, writer, logits):
    events = read(write(tmp_path, make_head(5)) / writer)
    logits = logits.astype(np.float64)
    check_histogram(events, "final_training_ops/Wx_plus_b/pre_activations", logits)
    scores = tf.nn.softmax(logits).numpy()
    check_histogram(events, "activations", scores)


def check_histogram(events, tag, values):
    [event] = events.Histograms(tag)
    assert event.step == 0
    histogram = event.histogram_value
    assert histogram.num == sum(histogram.bucket) == values.size
    assert histogram.sum == pytest.approx(values.sum())
    assert histogram.sum_squares == pytest.approx((values**2).sum())
    assert histogram.min == pytest.approx(values.min(), abs=1e-6)
    assert histogram.max == pytest.approx(values.max(), abs=1e-6)
    edges = [-np.inf, *histogram.bucket_limit]  # one more than there are buckets
    for low, high, count in zip(edges, histogram.bucket_limit, histogram.bucket, strict=False):
        assert abs(((values > low) & (values <= high)).sum() - count) <= 1  # one on an edge


def test_the_curves_of_an_earlier_run_are_kept(tmp_path):
    folders = [write(tmp_path, make_head(2)) for _ in range(3)]
    assert folders == [tmp_path, tmp_path / "run_2", tmp_path / "run_3"]
    for folder in folders:
        assert scalars(read(folder / "train"), "accuracy_1") == [(0, 0.25), (1, 0.375)]


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "train").mkdir()
    mine = tmp_path / "train" / "notes.txt"
    mine.write_text("mine")
    assert write(tmp_path, make_head(2)) == tmp_path
    assert mine.read_text() == "mine"


def retrain_py_tags(scope):
    """The tags that today's TensorFlow gives to a graph with the summaries of retrain.py."""
    v1 = tf.compat.v1

    def describe_variable(variable):
        with v1.name_scope("summaries"):
            mean = v1.reduce_mean(variable)
            v1.summary.scalar("mean", mean)
            with v1.name_scope("stddev"):
                deviation = v1.sqrt(v1.reduce_mean(v1.square(variable - mean)))
            v1.summary.scalar("stddev", deviation)
            v1.summary.scalar("max", v1.reduce_max(variable))
            v1.summary.scalar("min", v1.reduce_min(variable))
            v1.summary.histogram("histogram", variable)

    with tf.Graph().as_default(), v1.Session() as session:
        with v1.name_scope(scope):
            with v1.name_scope("weights"):
                weights = v1.Variable(tf.ones([4, 2]), use_resource=False)
                describe_variable(weights)
            with v1.name_scope("biases"):
                biases = v1.Variable(tf.zeros([2]), use_resource=False)
                describe_variable(biases)
            with v1.name_scope("Wx_plus_b"):
                logits = tf.ones([3, 4]) @ weights + biases
                v1.summary.histogram("pre_activations", logits)
        v1.summary.histogram("activations", tf.nn.softmax(logits, name="final_result"))
        with v1.name_scope("cross_entropy"):
            loss = tf.reduce_mean(logits)
        v1.summary.scalar("cross_entropy", loss)
        with v1.name_scope("accuracy"):
            right = tf.reduce_mean(logits)
        v1.summary.scalar("accuracy", right)
        merged = v1.summary.merge_all()
        session.run(v1.global_variables_initializer())
        summary = v1.Summary.FromString(session.run(merged))
    by_kind = {"scalars": set(), "histograms": set()}
    for value in summary.value:
        by_kind["histograms" if value.HasField("histo") else "scalars"].add(value.tag)
    return by_kind


def test_a_step_not_in_detail_has_the_figures_and_no_histograms(tmp_path):
    with SummaryWriter(str(tmp_path)) as summaries:
        step = Step(0, make_head(5), 1.5, 0.25, (0.75, 0.5, 0.625, 0.875, 8), LOGITS, CHECKED)
        summaries.add(step, in_detail=False)
    for writer, accuracy in (("train", 0.25), ("validation", 0.625)):
        events = read(tmp_path / writer)
        assert scalars(events, "accuracy_1") == [(0, accuracy)]
        assert set(events.Tags()["scalars"]) == {"accuracy_1", "cross_entropy_1"}
        assert events.Tags()["histograms"] == []


@pytest.mark.parametrize("writer", ["train", "validation"])
def test_the_tags_of_hub_are_those_of_the_same_graph_in_tensorflow(tmp_path, writer):
    events = read(write(tmp_path, make_head(5), tags=TAGS_OF_HUB) / writer)
    expected = retrain_py_tags("final_retrain_ops")
    assert {kind: set(events.Tags()[kind]) for kind in expected} == expected


@pytest.mark.parametrize("writer", ["train", "validation"])
def test_the_usual_tags_are_those_in_event_files_of_2017(tmp_path, writer):
    # As those files hold them: TensorFlow told capitals apart, and so left mean, max and min alone.
    events = read(write(tmp_path, make_head(5)) / writer)
    variables = [f"final_training_ops/{name}/summaries" for name in ("weights", "biases")]
    numbers = ("mean", "stddev_1", "max", "min")
    assert set(events.Tags()["scalars"]) == {"accuracy_1", "cross_entropy_1"} | {
        f"{scope}/{number}" for scope in variables for number in numbers
    }
    assert set(events.Tags()["histograms"]) == {
        "activations", "final_training_ops/Wx_plus_b/pre_activations",
        *(f"{scope}/histogram" for scope in variables),
    }  # fmt: skip


def test_the_graph_is_in_the_training_events_as_retrain_py_had_it(tmp_path):
    shown = graph_2015()
    folder = write(tmp_path, make_head(5), graph_def=shown)
    events = read(folder / "train")
    assert schema.GraphDef.FromString(events.Graph().SerializeToString()) == shown
    assert not read(folder / "validation").Tags()["graph"]
    assert not read(write(tmp_path, make_head(5)) / "train").Tags()["graph"]
