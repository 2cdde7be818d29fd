"""The whole job in one process, on tiny graphs and on the published orchid bottlenecks."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions
from retrain_tools.head.dataset import make_dataset
from retrain_tools.head.evaluation import evaluate
from retrain_tools.head.retraining import retrain_on as retrain
from retrain_tools.head.settings import RetrainSettings, check_outputs
from retrain_tools.head.training import TrainingSettings, initial_head, sample_rows, train
from retrain_tools.images.distort import Distortions
from retrain_tools.images.folders import find_images, images_by_label
from retrain_tools.images.splits import split_images
from tests.opening import load_graph

from .graphs import drawn_image, jpeg, read_graph, run

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def photos(tmp_path):
    for number in range(24):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(drawn_image(number)))
    return tmp_path / "photos"


def settings_for(photos, steps=5, **changes):
    out = photos.parent / "out"
    training = changes.pop("training", {})
    defaults = {
        "image_dir": str(photos),
        "cache": CacheOptions(str(photos.parent / "bottlenecks")),
        "output_graph": str(out / "graph.pb"),
        "output_labels": str(out / "labels.txt"),
        "metrics": str(out / "metrics.json"),
        "saved_model_dir": str(out / "saved_model"),
        "summaries_dir": str(out / "logs"),
        "training": TrainingSettings(how_many_training_steps=steps, **training),
        "split_key": "basename",
    }
    return RetrainSettings(**(defaults | changes))


def metrics_of(settings):
    return json.loads(Path(settings.metrics).read_text())


def test_metrics_and_graph_tell_of_the_same_head(old, photos):
    settings = settings_for(photos, steps=12)
    result = retrain(old, settings)
    metrics = metrics_of(settings)
    rights = 0
    graph = read_graph(settings.output_graph)
    tested = {
        image.path: label
        for label, parts in split_images(
            images_by_label(find_images(str(photos))), 10, 10, "basename"
        ).items()
        for image in parts["testing"]
    }
    assert tested
    wrong = {entry["image"]: entry["given"] for entry in metrics["misclassified"]}
    for path, label in tested.items():
        data = Path(path).read_bytes()
        scores = run(graph, "final_result:0", {"DecodeJpeg/contents:0": data})[0]
        given = metrics["labels"][scores.argmax()]
        rights += given == label
        assert wrong.get(path, label) == given
    assert metrics["test"]["accuracy"] == pytest.approx(rights / len(tested))
    assert metrics["test"]["accuracy"] == result.test.accuracy
    assert metrics["test"]["images"] == len(tested)
    counts = metrics["images"]
    assert sum(counts[split][label] for split in counts for label in counts[split]) == 24
    assert Path(settings.output_labels).read_text().split() == metrics["labels"] == ["a", "b"]
    assert len(metrics["steps"]["accuracy"]) == len(metrics["steps"]["cross_entropy"]) == 12
    assert [entry["step"] for entry in metrics["evaluations"]] == [0, 10, 11]
    assert metrics["bottlenecks"]["computed"] == 24


@pytest.mark.parametrize(
    ("testing", "validation"), [(0, 20), (20, 0), (0, 0)], ids=["no test", "no validation", "none"]
)
def test_splits_of_zero_percent_are_left_out(old, photos, testing, validation):
    settings = settings_for(photos, testing_percentage=testing, validation_percentage=validation)
    result = retrain(old, settings)
    metrics = metrics_of(settings)
    assert (metrics["test"]["accuracy"] is None) == (testing == 0)
    assert (result.test.accuracy is None) == (testing == 0)
    validated = [entry["validation_accuracy"] is not None for entry in metrics["evaluations"]]
    assert all(validated) == (validation != 0)
    assert any(validated) == (validation != 0)
    assert sum(metrics["images"]["testing"].values()) == 0 or testing
    assert sum(metrics["images"]["validation"].values()) == 0 or validation


def test_a_test_batch_size_draws_so_many_images_as_retrain_py_did(old, photos):
    # retrain.py's default until TensorFlow 1.0 drew 500 images, a class as often as another.
    settings = settings_for(photos, test_batch_size=500, testing_percentage=30)
    result = retrain(old, settings)
    per_class = result.test.confusion.sum(axis=1)
    assert per_class.sum() == 500
    assert abs(per_class[0] - 250) < 60  # 5 standard deviations of a fair coin
    paths = [path for path, _ in result.misclassified]
    assert len(paths) == len(set(paths))  # drawn often, named once


def test_distorted_training_caches_nothing_but_the_plain_bottlenecks(old, photos):
    wanted = Distortions(True, 10, 10, 10)
    training = {"train_batch_size": 7}
    plain = retrain(old, settings_for(photos, training=training))
    cached = {p: p.read_bytes() for p in (photos.parent / "bottlenecks").rglob("*.txt")}
    shutil.rmtree(photos.parent / "out")
    settings = settings_for(photos, training=training, distortions=wanted)
    distorted = retrain(old, settings)
    assert cached == {p: p.read_bytes() for p in (photos.parent / "bottlenecks").rglob("*.txt")}
    assert np.abs(plain.head.weights - distorted.head.weights).max() > 1e-5
    shutil.rmtree(photos.parent / "out")
    again = retrain(old, settings)
    assert np.array_equal(distorted.head.weights, again.head.weights)


def test_intermediate_graphs_are_those_of_their_step(old, photos):
    folder = photos.parent / "intermediate"
    changes = {
        "intermediate_output_graphs_dir": str(folder),
        "intermediate_store_frequency": 3,
    }
    settings = settings_for(photos, steps=8, **changes)
    retrain(old, settings)
    assert sorted(p.name for p in folder.iterdir()) == ["intermediate_3.pb", "intermediate_6.pb"]
    shutil.rmtree(photos.parent / "out")
    shorter = settings_for(photos, steps=4)  # its last step is number 3
    # One evaluation fewer or more would draw other random numbers: both evaluate step 0 only.
    shorter_head = retrain(old, shorter).head
    [weights] = [
        tf.make_ndarray(node.attr["value"].tensor)
        for node in read_graph(folder / "intermediate_3.pb").node
        if node.name == "final_training_ops/weights/final_weights"
    ]
    np.testing.assert_array_equal(weights, shorter_head.weights)


def test_a_checkpoint_is_written_where_it_is_asked_for(old, photos):
    prefix = photos.parent / "checkpoints" / "head"
    result = retrain(old, settings_for(photos, checkpoint_path=str(prefix)))
    reader = tf.train.load_checkpoint(str(prefix))
    weights = reader.get_tensor("final_retrain_ops/weights/final_weights")
    assert np.array_equal(weights, result.head.weights)


def test_the_graph_is_written_as_tensorflow_lite_if_a_file_is_named(old, photos):
    settings = settings_for(photos, tflite_output_file=str(photos.parent / "out" / "g.tflite"))
    result = retrain(old, settings)
    assert settings.tflite_output_file in result.files
    interpreter = tf.lite.Interpreter(model_path=settings.tflite_output_file)
    fed = run(old.graph_def, "Mul:0", {"DecodeJpeg/contents:0": jpeg(drawn_image(3))})
    given = interpreter.get_signature_runner()(pixels=fed)["scores"]
    graph = read_graph(settings.output_graph)
    np.testing.assert_allclose(given, run(graph, "final_result:0", {"Mul:0": fed}), atol=1e-4)


def test_tensorflow_lite_takes_a_graph(photos):
    settings = settings_for(photos, tflite_output_file="g.tflite")
    message = "tflite_output_file takes a graph; name it with graph."
    with pytest.raises(InputError, match=re.escape(message)):
        check_outputs(settings, with_graph=False)


REFUSED = [
    ({"tflite_output_file": "{tmp}"}, "{tmp} is a folder; it should be a file to write."),
    ({"output_graph": "{tmp}"}, "{tmp} is a folder; it should be a file to write."),
    ({"metrics": "{tmp}"}, "{tmp} is a folder; it should be a file to write."),
    (
        {"output_labels": "{tmp}/file/labels.txt"},
        "{tmp}/file is a file; results cannot be written to {tmp}/file.",
    ),
    (
        {"summaries_dir": "{tmp}/file/a/b"},
        "{tmp}/file is a file; results cannot be written to {tmp}/file/a/b.",
    ),
    (
        {"saved_model_dir": "{tmp}"},
        "saved_model_dir={tmp} exists and is not an empty folder.",
    ),
    (
        {"final_tensor_name": "conv/relu"},
        "final_tensor_name='conv/relu' is the name of a node that {graph} or the new layer "
        "needs; choose another.",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_would_fail_in_the_end_fails_before_anything_is_computed(
    old, photos, changes, message
):
    tmp = photos.parent
    (tmp / "file").write_text("mine")
    changes = {name: value.format(tmp=tmp) for name, value in changes.items()}
    with pytest.raises(InputError) as caught:
        retrain(old, settings_for(photos, **changes))
    assert str(caught.value) == message.format(tmp=tmp, graph=old.path)
    assert sorted(path.name for path in tmp.iterdir()) == ["file", "photos"]


def test_a_test_of_no_images_is_refused(photos):
    message = "test_batch_size cannot be 0; a negative number takes all images."
    with pytest.raises(InputError, match=re.escape(message)):
        settings_for(photos, test_batch_size=0)


def test_an_interrupted_training_leaves_bottlenecks_and_no_result(old, photos, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("retrain_tools.head.retraining.train", stop)
    settings = settings_for(photos)
    with pytest.raises(KeyboardInterrupt):
        retrain(old, settings)
    assert [p.name for p in (photos.parent / "out").iterdir()] == ["logs"]
    assert len(list((photos.parent / "bottlenecks").rglob("*.jpg.txt"))) == 24


def test_about_twenty_lines_tell_of_a_long_training(old, photos, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="retrain_tools"):
        retrain(old, settings_for(photos, steps=1000))
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("step ")]
    assert 20 <= len(lines) <= 22
    assert lines[0].startswith("step 0: accuracy ")
    assert lines[-1].startswith("step 999: accuracy ")
    assert "(N=100)" in lines[-1]


@pytest.mark.skipif(not (DATA / "orchids").is_dir(), reason=f"no orchids in {DATA}")
@pytest.mark.parametrize(
    ("testing_percentage", "inverse_penalty"),
    [
        (10, math.inf),  # retrain.py's split, and its objective, which has no penalty
        (40, math.inf),
        (40, 1.0),  # scikit-learn's default; on 41 images it is right about two more
    ],
)
def test_published_orchid_bottlenecks_train_as_well_as_scikit_learns_logistic_regression(
    tmp_path, testing_percentage, inverse_penalty
):
    shutil.copytree(DATA / "orchids" / "bottlenecks", tmp_path / "bottlenecks")
    frozen = load_graph(str(DATA / "inception-2015-12-05" / "near_real_graph_def.pb"))
    images = find_images(str(DATA / "orchids" / "images"))
    split = (testing_percentage, 10, "basename")
    splits = split_images(images_by_label(images), *split)
    cache = CacheOptions(str(tmp_path / "bottlenecks"), trust_cache=True)
    data, report = make_dataset(frozen, splits, split, cache)
    assert (report.reused, report.computed) == (566, 0)
    rows = {name: np.concatenate(per_class) for name, per_class in data.rows.items()}
    assert len(rows["testing"]) > 4 * testing_percentage

    # One BLAS thread: more only get in each other's way here, by a factor of 30 on a busy machine.
    with threadpool_limits(1):
        rng = np.random.default_rng(0)
        start = initial_head(rng, 2048, len(data.labels))
        head = train(
            start,
            TrainingSettings(),
            lambda: data.batch(sample_rows(rng, data.rows["training"], 100)),
            lambda: data.batch(sample_rows(rng, data.rows["validation"], 100)),
            lambda step: None,
        )
        ours = evaluate(head, *data.batch(rows["testing"])).accuracy
        reference = LogisticRegression(C=inverse_penalty, max_iter=5000).fit(
            *data.batch(rows["training"])
        )
        theirs = reference.score(*data.batch(rows["testing"]))
    assert ours > 0.75
    assert abs(ours - theirs) < 0.03
