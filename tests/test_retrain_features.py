"""The script `retrain` on what fetch_tensors wrote, and on parts."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from head.graphs import graph_2015
from head.photos import write_photos

import retrain_tools as rt
from retrain_tools.features.cache import Identity
from tests.features.stored import write_parts

SCRIPT = "retrain_tools.retrain"
STEPS = "--how_many_training_steps=30"


@pytest.fixture(scope="module")
def home(run_script, tmp_path_factory):
    """Photos, a graph, what retrain made of them by way of an npy cache, and their features."""
    root = tmp_path_factory.mktemp("features")
    write_photos(root / "photos", count=30)
    (root / "graph.pb").write_bytes(graph_2015().SerializeToString())
    (root / "photos" / "daisy" / "broken.jpg").write_bytes(b"no image")
    done = run_script(
        SCRIPT, "--graph=graph.pb", "--image_dir=photos", "--split_key=basename", STEPS,
        "--output_dir=images", "--bottleneck_dir=cache", "--cache_format=npy", cwd=root,
    )  # fmt: skip
    assert done.status == 1, done.err  # for the broken one
    done = run_script(
        "retrain_tools.fetch_tensors", "--graph=graph.pb", "--image_dir=photos",
        "--output=features.npz", cwd=root,
    )  # fmt: skip
    assert done.status == 1, done.err
    return root


def splits_of(path):
    with path.open(newline="") as file:
        return {row["image"]: (row["label"], row["split"]) for row in csv.DictReader(file)}


def as_parts(home, folder):
    found = rt.read_features(home / "features.npz")
    record = json.loads((home / "features.npz.json").read_text())
    [(name, values)] = found.values.items()
    told = {key: value for key, value in record["tensors"][name].items() if key != "shape"}
    made = {name: Identity(**told)}
    labels = found.labels
    return write_parts(str(folder), found.images, labels, {name: values}, 16, made)


@pytest.mark.parametrize("kind", ["file", "parts"])
def test_the_retrained_graph_is_that_of_a_cache_to_the_byte(run_script, home, kind):
    store = "features.npz" if kind == "file" else as_parts(home, home / "parts")
    done = run_script(
        SCRIPT, f"--features={store}", "--graph=graph.pb", STEPS, f"--output_dir={kind}", cwd=home
    )
    assert done.status == 0, done.err
    out, images = home / kind, home / "images"
    assert (out / "output_graph.pb").read_bytes() == (images / "output_graph.pb").read_bytes()
    assert splits_of(out / "splits.csv") == splits_of(images / "splits.csv")
    ours, theirs = (json.loads((one / "metrics.json").read_text()) for one in (out, images))
    for key in ("labels", "images", "test", "steps", "evaluations", "misclassified"):
        assert ours[key] == theirs[key], key
    assert "warning: " not in done.err
    assert f"bottlenecks: 0 computed, 90 reused, 0 failed: {store}" in done.err.splitlines()
    assert (out / "saved_model/1/saved_model.pb").exists()


def test_without_the_graph_the_layer_alone_is_written(run_script, home, tmp_path):
    store = f"--features={home}/features.npz"
    done = run_script(SCRIPT, store, STEPS, "--bottleneck_dir=there", cwd=tmp_path)
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == (
        "Results: retrained/output_labels.txt, retrained/head.npz, retrained/head.ckpt, "
        "retrained/metrics.json"
    )
    assert "no graph is given, and none is written: only the new layer, retrained/head.npz" in (
        done.err.splitlines()
    )
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["packed_features.npz.npy"]
    assert "packed in " in done.err
    before = np.load(tmp_path / "retrained/head.npz")
    done = run_script(SCRIPT, store, STEPS, "--bottleneck_dir=there", cwd=tmp_path)
    assert done.status == 0, done.err
    packed = "packed already: 90 vectors of 6 values: there/packed_features.npz.npy"
    assert packed in done.err.splitlines()
    after = np.load(tmp_path / "retrained/head.npz")
    for name in ("weights", "biases", "labels"):
        np.testing.assert_array_equal(before[name], after[name])
    assert json.loads((tmp_path / "retrained/metrics.json").read_text())["settings"][
        "features"
    ].endswith("/features.npz")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--flip_left_right"], "Only images are distorted; name them with --image_dir."),
        (["--random_crop=10"], "Only images are distorted; name them with --image_dir."),
        (["--fine_tune_from=conv/relu", "--graph=graph.pb"],
         "--fine_tune_from runs images through layers that bottlenecks come after; name them with "
         "--image_dir."),
        (["--image_dir=photos"],
         "--features are trained on in place of images; leave out --image_dir, or --features."),
        (["--features=none.npz"], "No such file: none.npz"),
        (["--features=cache"],
         "cache is no folder of parts as fetch_many writes it: it has no manifest.json of theirs; "
         "a folder of bottlenecks is named with --bottleneck_dir."),
        (["--features_tensor=pool"], "No tensor 'pool' in features.npz. It has 'pool/_reshape:0'."),
        (["--tflite_output_file=x.tflite"],
         "--tflite_output_file takes a graph; name it with --graph."),
        (["--testing_percentage=100"],
         "--testing_percentage=100 and --validation_percentage=10 must not be negative and must "
         "add up to less than 100."),
        (["--bottleneck_dir=graph.pb"],
         "graph.pb is a file; --bottleneck_dir takes a folder."),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line(run_script, home, tmp_path, flags, message):
    done = run_script(
        SCRIPT, "--features=features.npz", f"--output_dir={tmp_path}/out", *flags, cwd=home
    )
    assert (done.status, done.err.splitlines()[-1]) == (2, f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_in_python_it_takes_features_too(home, tmp_path):
    features = home / "features.npz"
    alone = rt.retrain(features=features, output_dir=tmp_path / "a", how_many_training_steps=30)
    model = rt.load(home / "graph.pb")
    whole = rt.retrain(
        model, features=features, output_dir=tmp_path / "b", how_many_training_steps=30
    )
    np.testing.assert_array_equal(alone.head.weights, whole.head.weights)
    assert alone.labels == ["red rose ", "daisy", "tulip"]
    assert (tmp_path / "b/output_graph.pb").read_bytes() == (
        home / "images/output_graph.pb"
    ).read_bytes()
    with pytest.raises(rt.InputError) as error:
        rt.retrain()
    assert str(error.value) == "Images take a model; without one, name features to train on."
