"""Event files against TensorFlow's own messages, records and np.histogram."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.head.event_file import EventFile, histogram, scalar, spread_of

from .graphs import graph_2015

VALUES = {
    "weights": np.random.default_rng(0).normal(0, 0.01, (2048, 20)).astype(np.float32),
    "weights, class by class": np.random.default_rng(1).normal(0, 1, (3, 500)).T.astype(np.float32),
    "many on edges": (np.arange(600) % 31).astype(np.float32),
    "very many on edges": (np.arange(60_000) % 31).astype(np.float32),
    "far from zero": np.random.default_rng(2).normal(1e4, 10, 999).astype(np.float32),
    "scores": np.random.default_rng(3).dirichlet([0.1] * 5, 100).astype(np.float32),
    "tiny": np.array([1e-40, 3e-40, 2e-39], np.float32),
    "two": np.array([-3, 5], np.float32),
    "one": np.array([[0.25]], np.float32),
    "the same": np.full((4, 5), -7.5, np.float32),
    "zeros": np.zeros(8, np.float32),
}


def events_in(folder):
    [file] = folder.iterdir()
    assert file.name.startswith("events.out.tfevents.")
    records = tf.compat.v1.io.tf_record_iterator(str(file))
    return [tf.compat.v1.Event.FromString(record) for record in records]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_counts_edges_and_moments_are_numpys(values):
    spread = spread_of(values)
    counts, edges = np.histogram(values, bins=30)
    np.testing.assert_array_equal(spread.counts, counts)
    np.testing.assert_array_equal(spread.edges, edges)
    doubles = values.astype(np.float64)
    assert (spread.count, spread.low, spread.high) == (values.size, values.min(), values.max())
    assert spread.total == pytest.approx(doubles.sum(), rel=1e-12, abs=1e-12)
    assert spread.squares == pytest.approx(np.square(doubles).sum(), rel=1e-12)
    assert spread.mean == pytest.approx(doubles.mean(), rel=1e-12, abs=1e-15)
    assert spread.stddev == pytest.approx(doubles.std(), rel=1e-6, abs=1e-7)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_of_a_training_that_diverges_are_taken(bad):
    spread = spread_of(np.array([1, bad, 2], np.float32))
    assert spread.counts.sum() == spread.count == 3
    value = tf.compat.v1.Summary.FromString(histogram("weights", spread)).value[0]
    assert not np.isfinite(value.histo.sum)


@pytest.mark.parametrize("step", [0, 1, 127, 128, 3999, 1 << 40])
def test_what_is_written_are_the_messages_that_tensorflow_writes(tmp_path, step):
    file = EventFile(tmp_path / "train")
    tag, values = "a tag of more than 127 bytes: " + "ä" * 100, VALUES["weights"]
    spread = spread_of(values)
    file.add(step, [scalar("accuracy_1", 0.1), histogram(tag, spread), scalar("zero", 0.0)])
    file.close()
    first, event = events_in(tmp_path / "train")
    assert first == tf.compat.v1.Event(wall_time=first.wall_time, file_version="brain.Event:2")
    counts, edges = np.histogram(values, bins=30)
    histo = tf.compat.v1.HistogramProto(
        min=values.min(),
        max=values.max(),
        num=values.size,
        sum=spread.total,
        sum_squares=spread.squares,
        bucket_limit=edges[1:],
        bucket=counts,
    )
    value = tf.compat.v1.Summary.Value
    assert event == tf.compat.v1.Event(
        wall_time=event.wall_time,
        step=step,
        summary=tf.compat.v1.Summary(
            value=[
                value(tag="accuracy_1", simple_value=0.1),
                value(tag=tag, histo=histo),
                value(tag="zero", simple_value=0.0),
            ]
        ),
    )
    assert 0 <= event.wall_time - first.wall_time < 60


def test_a_graph_is_written_as_its_bytes(tmp_path):
    file, shown = EventFile(tmp_path), graph_2015()
    file.add_graph(shown)
    file.close()
    assert events_in(tmp_path)[1].graph_def == shown.SerializeToString()
