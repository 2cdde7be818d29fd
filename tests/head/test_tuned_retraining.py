"""`retrain --fine_tune_from`: every output tells of the tuned network, for each kind of source."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.head.settings import RetrainSettings
from retrain_tools.head.tuned_tail import FineTuning
from tests.opening import load_graph

from .graphs import read_graph, run
from .photos import write_photos
from .scripts import run_script as run_process
from .tail_graphs import CUT, two_layers, values_in

SCRIPT = "retrain_tools.retrain"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SHORT = ("--how_many_training_steps=40", "--image_dir=photos", "--checkpoint_minutes=0")
TUNED = ("--fine_tune_from=first/relu", "--fine_tune_steps=12", "--fine_tune_learning_rate=0.01")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("tuned")
    write_photos(root / "photos")
    (root / "graph.pb").write_bytes(two_layers().SerializeToString())
    return root


@pytest.fixture(scope="module")
def tuned(home):
    """The script as users run it, in a process of its own."""
    done = run_process(SCRIPT, "--graph=graph.pb", *SHORT, *TUNED, cwd=home)
    assert done.status == 0, done.err
    return home / "retrained", done


def scores_of(graph: Path, image: Path) -> np.ndarray:
    data = image.read_bytes()
    return run(read_graph(graph), "final_result:0", {"DecodeJpeg/contents:0": data})[0]


def test_the_test_is_of_the_graph_that_is_written(home, tuned):
    out, done = tuned
    metrics = json.loads((out / "metrics.json").read_text())
    tested = [
        line.split(",")
        for line in (out / "splits.csv").read_text().splitlines()
        if line.endswith(",testing")
    ]
    rights = 0
    for path, label, _ in tested:
        scores = scores_of(out / "output_graph.pb", home / path)
        rights += metrics["labels"][scores.argmax()] == label
    assert metrics["test"]["images"] == len(tested) > 5
    assert metrics["test"]["accuracy"] == pytest.approx(rights / len(tested))
    alone = metrics["fine_tuning"]["test_of_head_alone"]["accuracy"]
    assert (
        f"test accuracy of the head alone {alone:.1%}, with the tuned layers "
        f"{metrics['test']['accuracy']:.1%}"
    ) in done.err
    assert f"Final test accuracy = {metrics['test']['accuracy']:.1%}" in done.out


def test_people_are_told_what_is_trained(tuned):
    _, done = tuned
    assert (
        "fine-tuning from first/relu:0: 5 constants of 378 values, 12 steps of 32 images, adam, "
        "learning rate 0.01"
    ) in done.err
    assert re.search(
        r"what enters these layers: 66 computed, 0 reused, 0 failed .*"
        r"bottlenecks/fine_tune_first_relu.npy: first/relu:0 \[10, 10, 6\]",
        done.err,
    )
    assert "step 11: accuracy " in done.err


def test_curves_of_both_parts_are_in_the_metrics(tuned):
    out, _ = tuned
    metrics = json.loads((out / "metrics.json").read_text())
    curves = metrics["fine_tuning"]
    assert len(metrics["steps"]["accuracy"]) == 40
    assert len(curves["steps"]["accuracy"]) == len(curves["steps"]["cross_entropy"]) == 12
    assert [entry["step"] for entry in curves["evaluations"]] == list(range(12))
    losses = curves["steps"]["cross_entropy"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert metrics["settings"]["fine_tuning"]["fine_tune_from"] == "first/relu"
    assert list((out / "logs" / "fine_tuning" / "train").glob("events*"))


def test_the_saved_model_gives_the_scores_of_the_graph(home, tuned):
    out, _ = tuned
    image = home / "photos" / "daisy" / "03.jpg"
    [folder] = (out / "saved_model").iterdir()
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = serve(image_bytes=tf.constant([image.read_bytes()] * 2))
    wanted = scores_of(out / "output_graph.pb", image)
    np.testing.assert_allclose(found["scores"][0], wanted, atol=1e-5)
    assert [label.decode() for label in found["labels"][0].numpy()] == [
        "red rose ", "daisy", "tulip",
    ]  # fmt: skip


def test_the_output_graph_is_the_source_up_to_the_tensor(home, tuned):
    out, _ = tuned
    source, graph = (read_graph(path) for path in (home / "graph.pb", out / "output_graph.pb"))
    assert graph.versions == source.versions
    data = {"DecodeJpeg/contents:0": (home / "photos" / "daisy" / "03.jpg").read_bytes()}
    np.testing.assert_array_equal(run(graph, CUT, data), run(source, CUT, data))
    before, after = values_in(source), values_in(graph)
    assert np.array_equal(before["first/kernel"], after["first/kernel"])
    assert np.abs(before["shift"] - after["shift"]).max() > 1e-3
    assert load_graph(out / "output_graph.pb").spec.bottleneck == "pool/_reshape:0"


@pytest.mark.usefixtures("tuned")
def test_the_same_seed_gives_the_same_files(home, run_script):
    again = ("--output_dir=again", "--bottleneck_dir=retrained/bottlenecks")
    done = run_script(SCRIPT, "--graph=graph.pb", *SHORT, *TUNED, *again, cwd=home)
    assert done.status == 0, done.err
    assert "what enters these layers: 0 computed, 66 reused" in done.err
    ours, theirs = (home / name / "output_graph.pb" for name in ("again", "retrained"))
    assert ours.read_bytes() == theirs.read_bytes()
    other = ("--output_dir=other", "--bottleneck_dir=retrained/bottlenecks", "--seed=1")
    done = run_script(SCRIPT, "--graph=graph.pb", *SHORT, *TUNED, *other, cwd=home)
    assert (home / "other" / "output_graph.pb").read_bytes() != theirs.read_bytes()


@pytest.mark.parametrize("pooling", ["max", "flatten"])
def test_a_feature_map_is_pooled_as_without_fine_tuning(home, run_script, pooling):
    out = f"--output_dir=pooled_{pooling}"
    flags = ("--bottleneck_tensor=shifted", f"--pooling={pooling}", out, "--graph=graph.pb")
    done = run_script(SCRIPT, *flags, *SHORT, *TUNED, cwd=home)
    assert done.status == 0, done.err
    metrics = json.loads((home / f"pooled_{pooling}" / "metrics.json").read_text())
    graph = home / f"pooled_{pooling}" / "output_graph.pb"
    wrong = {entry["image"]: entry["given"] for entry in metrics["misclassified"]}
    for line in (home / f"pooled_{pooling}" / "splits.csv").read_text().splitlines():
        path, label, split = line.split(",")
        if split == "testing":
            given = metrics["labels"][scores_of(graph, home / path).argmax()]
            assert given == wrong.get(path, label)


def test_no_validation_and_no_test_are_left_out(home, run_script):
    none = ("--validation_percentage=0", "--testing_percentage=0", "--output_dir=neither")
    done = run_script(SCRIPT, "--graph=graph.pb", *SHORT, *TUNED, *none, cwd=home)
    assert done.status == 0, done.err
    assert "test accuracy" not in done.err
    curves = json.loads((home / "neither" / "metrics.json").read_text())["fine_tuning"]
    assert curves["test_of_head_alone"]["accuracy"] is None
    assert {one["validation_accuracy"] for one in curves["evaluations"]} == {None}


WRONG = [
    (
        ["--fine_tune_from=first"],
        "No tensor 'first:0' in graph.pb (48 nodes). Did you mean 'first/relu:0'? ",
    ),
    (
        ["--fine_tune_from=softmax"],
        "--fine_tune_from='softmax:0' has to lie between",
    ),
    (
        ["--fine_tune_from=pool"],
        "--fine_tune_from='pool:0': there is nothing to train between it and the bottleneck "
        "'pool/_reshape:0' of graph.pb; choose a tensor before a layer.",
    ),
    (
        ["--fine_tune_from=first/relu", "--fine_tune_steps=0"],
        "--fine_tune_steps=0 must be at least 1.",
    ),
    (
        ["--fine_tune_from=first/relu", "--flip_left_right"],
        "--fine_tune_from takes what the first layers give for each image, which is computed "
        "once, so images cannot be distorted; leave out one of the two.",
    ),
    (
        ["--checkpoint_minutes=-1"],
        "--checkpoint_minutes=-1.0 must be a number of minutes; 0 writes no checkpoints.",
    ),
]


@pytest.mark.parametrize(("given", "message"), WRONG)
def test_what_cannot_be_is_said_before_anything_is_computed(home, run_script, given, message):
    out = "--output_dir=refused"
    done = run_script(SCRIPT, "--graph=graph.pb", "--image_dir=photos", *given, out, cwd=home)
    assert done.status == 2
    assert done.err.startswith(f"error: {message}") or f"\nerror: {message}" in done.err, done.err
    assert not (home / "refused").exists()


@pytest.mark.usefixtures("tuned")
def test_bottlenecks_alone_cannot_be_fine_tuned(home, run_script):
    done = run_script(
        SCRIPT, "--graph=graph.pb", "--bottleneck_dir=retrained/bottlenecks",
        "--fine_tune_from=first/relu", "--output_dir=refused", cwd=home,
    )  # fmt: skip
    assert done.status == 2
    assert done.err.endswith(
        "error: --fine_tune_from runs images through layers that bottlenecks come after; name "
        "them with --image_dir.\n"
    )


def test_an_image_that_is_gone_is_named(home, run_script, tmp_path):
    write_photos(tmp_path / "photos", count=12)
    where = ("--graph=" + str(home / "graph.pb"), *SHORT)
    assert run_script(SCRIPT, *where, cwd=tmp_path).status == 0
    (tmp_path / "photos" / "daisy" / "05.jpg").write_bytes(b"no image")
    done = run_script(SCRIPT, *where, *TUNED, "--output_dir=2", "--bottleneck_dir="
                      "retrained/bottlenecks", cwd=tmp_path)  # fmt: skip
    assert done.status == 2
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: photos/daisy/05.jpg ")
    assert line.endswith(
        ". It has a cached bottleneck, but fine-tuning takes the image itself; remove it, or "
        "train the head alone."
    )


def tuned_as_written(frozen_path, choices, start, home, tmp_path, run_script):
    """Fine-tune a graph by the script and return its metrics, once the output graph agrees."""
    flags = [f"--graph={frozen_path}", *choices, f"--fine_tune_from={start}"]
    done = run_script(
        SCRIPT, *flags, *SHORT, "--fine_tune_steps=4", "--fine_tune_batch_size=8",
        f"--output_dir={tmp_path}/out", cwd=home,
    )  # fmt: skip
    assert done.status == 0, done.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    test = [
        line.split(",")[0]
        for line in (tmp_path / "out" / "splits.csv").read_text().splitlines()
        if line.endswith(",testing")
    ]
    wrong = {entry["image"]: entry["given"] for entry in metrics["misclassified"]}
    labelled = run_script(
        "retrain_tools.label_image", f"--graph={tmp_path}/out/output_graph.pb", "--format=json",
        f"--image={test[0]}", cwd=home,
    )  # fmt: skip
    assert labelled.status == 0, labelled.err
    given = json.loads(labelled.out)
    best = re.search(r'"label": "([^"]*)"', json.dumps(given))
    assert best is not None
    folder = Path(test[0]).parent.name
    assert best[1] == wrong.get(test[0], {"Red-Rose!": "red rose "}.get(folder, folder))
    losses = metrics["fine_tuning"]["steps"]["cross_entropy"]
    assert losses[-1] < losses[0]
    return metrics


def test_slim_networks_are_tuned(home, tmp_path, run_script, slim_checkpoints):
    path = slim_checkpoints["V2 prefix"]
    start = "MobilenetV1/Conv2d_11_pointwise/Relu6"
    tuned_as_written(path, [f"--model_dir={tmp_path}"], start, home, tmp_path, run_script)


def test_keras_sources_are_tuned(home, tmp_path, run_script):
    choices = [
        "--weights=none",
        "--input_height=96",
        "--input_width=96",
        f"--model_dir={tmp_path}",
    ]
    tuned_as_written("keras:MobileNetV2", choices, "block_15_add", home, tmp_path, run_script)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA}")
def test_the_published_mobilenet_is_tuned(home, tmp_path, run_script):
    graph = DATA / "mobilenet_v1_0.25_128" / "frozen_graph.pb"
    start = "MobilenetV1/MobilenetV1/Conv2d_11_pointwise/Relu6"
    metrics = tuned_as_written(graph, [], start, home, tmp_path, run_script)
    assert metrics["settings"]["fine_tuning"]["fine_tune_steps"] == 4


def test_settings_have_no_fine_tuning_unless_it_is_asked_for():
    fields = RetrainSettings.__dataclass_fields__
    assert fields["fine_tuning"].default is None
    assert FineTuning("a").fine_tune_steps == 300
