"""Event files as TensorBoard reads them."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from retrain_tools.head.summaries import SummaryWriter
from retrain_tools.head.training import Step

from .conftest import make_head


def write(folder, head, evaluation=(0.75, 0.5, 0.625, 0.875, 8)):
    with SummaryWriter(str(folder)) as summaries:
        summaries.add(Step(0, head, 1.5, 0.25, evaluation))
        summaries.add(Step(1, head, 1.25, 0.375, None))
    return summaries.folder


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    events.Reload()
    return events


def scalars(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_every_step_has_its_batchs_figures(tmp_path):
    events = read(write(tmp_path, make_head(5)) / "train")
    assert scalars(events, "accuracy") == [(0, 0.25), (1, 0.375)]
    assert scalars(events, "cross_entropy") == [(0, 1.5), (1, 1.25)]


def test_an_evaluated_step_has_its_validation_figures(tmp_path):
    events = read(write(tmp_path, make_head(5)) / "validation")
    assert sorted(events.Tags()["scalars"]) == ["accuracy", "cross_entropy"]
    assert scalars(events, "accuracy") == [(0, 0.625)]
    assert scalars(events, "cross_entropy") == [(0, 0.875)]


def test_without_validation_images_the_validation_curve_is_empty(tmp_path):
    folder = write(tmp_path, make_head(5), (0.75, 0.5, None, None, 0))
    assert read(folder / "validation").Tags()["scalars"] == []


@pytest.mark.parametrize("part", ["weights", "biases"])
def test_an_evaluated_step_has_the_heads_statistics(tmp_path, part):
    head = make_head(200)
    values = getattr(head, part).astype(np.float64)
    events = read(write(tmp_path, head) / "train")
    prefix = f"final_training_ops/{part}/summaries"
    expected = {
        "mean": values.mean(),
        "stddev": values.std(),
        "max": values.max(),
        "min": values.min(),
    }
    for name, value in expected.items():
        [(step, found)] = scalars(events, f"{prefix}/{name}")
        assert step == 0
        assert found == pytest.approx(value, abs=1e-6)
    [event] = events.Histograms(f"{prefix}/histogram")
    histogram = event.histogram_value
    assert histogram.num == sum(histogram.bucket) == values.size
    assert histogram.sum == pytest.approx(values.sum())
    assert histogram.sum_squares == pytest.approx((values**2).sum())
    assert (histogram.min, histogram.max) == (values.min(), values.max())
    edges = [-np.inf, *histogram.bucket_limit]  # one more than there are buckets
    for low, high, count in zip(edges, histogram.bucket_limit, histogram.bucket, strict=False):
        assert abs(((values > low) & (values <= high)).sum() - count) <= 1  # one on an edge


def test_the_curves_of_an_earlier_run_are_kept(tmp_path):
    folders = [write(tmp_path, make_head(2)) for _ in range(3)]
    assert folders == [tmp_path, tmp_path / "run_2", tmp_path / "run_3"]
    for folder in folders:
        assert scalars(read(folder / "train"), "accuracy") == [(0, 0.25), (1, 0.375)]


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "train").mkdir()
    mine = tmp_path / "train" / "notes.txt"
    mine.write_text("mine")
    assert write(tmp_path, make_head(2)) == tmp_path
    assert mine.read_text() == "mine"
