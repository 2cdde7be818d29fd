"""Retrain on a folder of bottlenecks without the images."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from head.graphs import DEPTH, drawn_image, graph_2015, jpeg, pixel_graph, read_graph, run
from head.photos import write_photos
from head.scripts import run_script
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SCRIPT = "retrain_tools.retrain"
MODULE = "_https~tfhub.dev~google~imagenet~mobilenet_v2~feature_vector~3"
STEPS = "--how_many_training_steps=30"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with photos, graphs, and what retrain made of the photos, split by file name."""
    root = tmp_path_factory.mktemp("alone")
    write_photos(root / "photos", count=30)
    (root / "graph.pb").write_bytes(graph_2015().SerializeToString())
    (root / "pixels.pb").write_bytes(pixel_graph([1, 20, 20, 3]).SerializeToString())
    done = run_script(
        SCRIPT, "--graph=graph.pb", "--image_dir=photos", "--split_key=basename", STEPS,
        "--output_dir=images", "--bottleneck_dir=cache", cwd=root,
    )  # fmt: skip
    assert done.status == 0, done.err
    return root


def splits_of(path):
    with path.open(newline="") as file:
        return {row["image"]: (row["label"], row["split"]) for row in csv.DictReader(file)}


def below(folder, splits):
    return {image.removeprefix(folder): where for image, where in splits.items()}


def renamed(cache, to, suffix):
    """A copy of a cache as an older retrain.py named it: without a manifest, with a suffix."""
    for file in cache.rglob("*.txt"):
        target = to / file.parent.name / f"{file.name.removesuffix('.txt')}{suffix}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return to


@pytest.mark.parametrize("suffix", ["", "_mobilenet_0.50_224", MODULE])
def test_split_and_layer_are_those_that_the_images_give(run_script, home, tmp_path, suffix):
    cache = renamed(home / "cache", tmp_path / "old", suffix)
    done = run_script(SCRIPT, "--bottleneck_dir=old", "--output_dir=out", STEPS, cwd=tmp_path)
    assert done.status == 0, done.err
    out, images = tmp_path / "out", home / "images"
    assert splits_of(out / "splits.csv") == below("photos/", splits_of(images / "splits.csv"))
    ours, theirs = (json.loads((f / "metrics.json").read_text()) for f in (out, images))
    for key in ("labels", "images", "test", "steps", "evaluations"):
        assert ours[key] == theirs[key], key
    head = np.load(out / "head.npz")
    nodes = {node.name: node for node in read_graph(images / "output_graph.pb").node}
    for name in ("weights", "biases"):
        value = nodes[f"final_training_ops/{name}/final_{name}"].attr["value"].tensor
        assert np.array_equal(head[name], tf.make_ndarray(value))
    assert head["labels"].tolist() == ours["labels"] == ["red rose ", "daisy", "tulip"]
    reader = tf.train.load_checkpoint(str(out / "head.ckpt"))
    kept = reader.get_tensor("final_retrain_ops/weights/final_weights")
    assert np.array_equal(kept, head["weights"])
    assert (out / "output_labels.txt").read_text().splitlines() == ours["labels"]
    assert sorted(path.name for path in out.iterdir()) == [
        "head.ckpt.data-00000-of-00001", "head.ckpt.index", "head.npz", "logs", "metrics.json",
        "output_labels.txt", "splits.csv",
    ]  # fmt: skip
    assert len(list(cache.rglob("*"))) == 93  # nothing was added
    assert done.out.splitlines()[-1] == (
        "Results: out/output_labels.txt, out/head.npz, out/head.ckpt, out/metrics.json"
    )
    lines = done.err.splitlines()
    assert lines[:2] == [
        "no graph is given, and none is written: only the new layer, out/head.npz",
        "90 images in 3 classes: red rose  (30), daisy (30), tulip (30)",
    ]
    assert "bottlenecks: 0 computed, 90 reused, 0 failed: old" in lines


def test_with_the_graph_the_retrained_graph_is_the_same_to_the_byte(run_script, home):
    done = run_script(
        SCRIPT, "--bottleneck_dir=cache", "--graph=graph.pb", "--output_dir=both", STEPS, cwd=home
    )
    assert done.status == 0, done.err
    graph, expected = (home / out / "output_graph.pb" for out in ("both", "images"))
    assert graph.read_bytes() == expected.read_bytes()
    data = jpeg(drawn_image(3))
    model = tf.saved_model.load(str(home / "both/saved_model/1"))
    served = model.signatures["serving_default"](image_bytes=tf.constant([data]))["scores"]
    scores = run(read_graph(graph), "final_result:0", {"DecodeJpeg/contents:0": data})
    np.testing.assert_allclose(served, scores, atol=1e-4)
    assert (home / "both/head.npz").exists()
    assert (home / "both/head.ckpt.index").exists()
    assert "warning" not in done.err


def test_a_cache_without_manifest_is_compared_by_its_length_alone(run_script, home, tmp_path):
    renamed(home / "cache", tmp_path / "old", "")
    done = run_script(
        SCRIPT, "--bottleneck_dir=old", f"--graph={home}/graph.pb", STEPS, cwd=tmp_path
    )
    assert done.status == 0, done.err
    assert (
        "warning: old has no manifest that says what made its bottlenecks: whether they are this "
        "graph's can only be told by their length" in done.err.splitlines()
    )
    assert (tmp_path / "retrained/output_graph.pb").exists()


def test_damaged_files_are_named_and_the_others_keep_their_places(run_script, home, tmp_path):
    cache = renamed(home / "cache", tmp_path / "old", "")
    damaged = {
        "daisy/03.jpg": ("", "an empty file"),
        "tulip/04.jpg": ("1,two,3", "not comma-separated numbers"),
        "tulip/05.jpg": ("1,2,3", f"3 values instead of {DEPTH}"),
    }
    for image, (text, _) in damaged.items():
        (cache / f"{image}.txt").write_text(text)
    done = run_script(SCRIPT, "--bottleneck_dir=old", STEPS, cwd=tmp_path)
    assert done.status == 1, done.err
    warned = [line for line in done.err.splitlines() if "cannot be used" in line]
    assert warned == [
        f"warning: old/{image}.txt cannot be used: {reason}"
        for image, (_, reason) in damaged.items()
    ]
    assert "bottlenecks: 0 computed, 87 reused, 3 failed: old" in done.err.splitlines()
    splits = splits_of(tmp_path / "retrained/splits.csv")
    whole = below("photos/", splits_of(home / "images/splits.csv"))
    assert splits == {image: where for image, where in whole.items() if image not in damaged}
    metrics = json.loads((tmp_path / "retrained/metrics.json").read_text())
    assert dict(metrics["bottlenecks"]["failed"]) == {
        image: reason for image, (_, reason) in damaged.items()
    }
    # An answer of its own: the layer's answers for the good files, read by plain NumPy.
    head = np.load(tmp_path / "retrained/head.npz")
    wrong = {}
    for image, (label, split) in splits.items():
        vector = np.array((cache / f"{image}.txt").read_text().split(","), np.float32)
        given = head["labels"][(vector @ head["weights"] + head["biases"]).argmax()]
        if split == "testing" and given != label:
            wrong[image] = given
    assert {entry["image"]: entry["given"] for entry in metrics["misclassified"]} == wrong
    fail = run_script(SCRIPT, "--bottleneck_dir=old", "--on_error=fail", STEPS, cwd=tmp_path)
    assert fail.status == 2
    assert fail.err.splitlines()[-1] == (
        "error: old/daisy/03.jpg.txt cannot be used: an empty file."
    )


def test_the_naming_that_the_command_says_is_taken(run_script, home, tmp_path):
    renamed(home / "cache", tmp_path / "old", "_mobilenet_0.50_224")
    for number, file in enumerate(renamed(home / "cache", tmp_path / "new", MODULE).rglob("*.txt")):
        file.write_text(",".join([str(number)] * 9))
    shutil.copytree(tmp_path / "new", tmp_path / "old", dirs_exist_ok=True)
    depths = {
        "--architecture=mobilenet_0.50_224": DEPTH,
        f"--bottleneck_suffix={MODULE}": 9,
        "--tfhub_module=https://tfhub.dev/google/imagenet/mobilenet_v2/feature_vector/3": 9,
    }
    for number, (flag, depth) in enumerate(depths.items()):
        out = f"--output_dir=out{number}"
        done = run_script(SCRIPT, "--bottleneck_dir=old", flag, out, STEPS, cwd=tmp_path)
        assert done.status == 0, done.err
        assert np.load(tmp_path / f"out{number}/head.npz")["weights"].shape == (depth, 3)
        events = EventAccumulator(str(tmp_path / f"out{number}/logs/train"))
        events.Reload()
        hub = "final_retrain_ops/weights/summaries/mean_1" in events.Tags()["scalars"]
        assert hub == ("tfhub_module" in flag)


def test_the_naming_whose_length_is_the_graphs_is_taken(run_script, home, tmp_path):
    renamed(home / "cache", tmp_path / "old", "_mine")
    for file in renamed(home / "cache", tmp_path / "new", "_another").rglob("*.txt"):
        file.write_text("1,2,3")
    shutil.copytree(tmp_path / "new", tmp_path / "old", dirs_exist_ok=True)
    command = ["--bottleneck_dir=old", f"--graph={home}/graph.pb", STEPS]
    done = run_script(SCRIPT, *command, cwd=tmp_path)
    assert done.status == 0, done.err
    assert "bottlenecks: 0 computed, 90 reused, 0 failed: old" in done.err.splitlines()


def test_the_naming_of_the_graphs_own_manifest_is_taken(run_script, home, tmp_path):
    cache = tmp_path / "mixed"
    shutil.copytree(home / "cache", cache)
    renamed(home / "cache", cache, "_other")
    done = run_script(
        SCRIPT, "--bottleneck_dir=mixed", f"--graph={home}/graph.pb", STEPS, cwd=tmp_path
    )
    assert done.status == 0, done.err
    assert (tmp_path / "retrained/output_graph.pb").exists()
    assert "manifest" not in done.err


GOOD = ["--bottleneck_dir={0}/cache"]
ERRORS = {
    "no folder": (
        ["--bottleneck_dir={0}/no"],
        "No such folder: {0}/no (--bottleneck_dir). To make bottlenecks, name the images with "
        "--image_dir.",
    ),
    "images for bottlenecks": (
        ["--bottleneck_dir={0}/photos"],
        "No bottlenecks in {0}/photos: no file is called like IMAGE.jpg.txt.",
    ),
    "one class": (
        ["--bottleneck_dir={0}/one"],
        "Training takes at least two classes, one folder of images each, below --bottleneck_dir; "
        "there is only one ('daisy').",
    ),
    "several namings": (
        ["--bottleneck_dir={0}/mixed"],
        "{0}/mixed holds bottlenecks of several namings: ['', '_x']. Choose one with "
        "--bottleneck_suffix.",
    ),
    "another naming": (
        ["--bottleneck_dir={0}/mixed", "--architecture=inception_v3"],
        "No bottlenecks of naming '_inception_v3' in {0}/mixed. There is '', '_x'.",
    ),
    "two lengths": (
        ["--bottleneck_dir={0}/lengths"],
        "{0}/lengths holds 3 bottlenecks of 2 values and as many of 3: they were made by two "
        "graphs or from two tensors. Name the right one with --graph, or remove the others.",
    ),
    "all damaged": (
        ["--bottleneck_dir={0}/damaged"],
        "None of the 6 bottlenecks in {0}/damaged can be used.",
    ),
    "another length than the graph's": (
        ["--bottleneck_dir={0}/plain", "--graph={0}/graph.pb"],
        "{0}/plain holds 6 bottlenecks of 2 values and none of 6, which 'pool/_reshape:0' of this "
        "graph has: they were made by another graph, or from another tensor. Use another "
        "--bottleneck_dir or another --bottleneck_suffix, or remove them.",
    ),
    "distortions": (
        [*GOOD, "--flip_left_right"],
        "Only images are distorted; name them with --image_dir.",
    ),
    "split by path": (
        [*GOOD, "--split_key=path"],
        "--split_key=path takes the paths of images, which their bottlenecks do not tell: name the "
        "images with --image_dir, or split by basename.",
    ),
    "neither": ([], "--image_dir must be given; see --help."),
    "head.npz is a folder": (
        [*GOOD, "--metrics={0}/full/metrics.json"],
        "{0}/full/head.npz is a folder; it should be a file to write.",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def refusals(run_commands, home, tmp_path_factory):
    root = tmp_path_factory.mktemp("refused")
    for name in ("cache", "photos"):
        (root / name).symlink_to(home / name)
    shutil.copy(home / "graph.pb", root)
    (root / "full/head.npz").mkdir(parents=True)
    texts = {"plain": "1,2", "mixed": "1,2", "damaged": "", "lengths": "1,2", "one": "1"}
    for name, text in texts.items():
        for label in ("daisy", "tulip")[: 1 if name == "one" else 2]:
            (root / name / label).mkdir(parents=True)
            for number in range(3):
                more = ",3" if name == "lengths" and label == "tulip" else ""
                (root / name / label / f"{number}.jpg.txt").write_text(text + more)
                if name == "mixed":
                    (root / name / label / f"{number}.jpg_x.txt").write_text(text)
    before = sorted(root.rglob("*"))
    commands = [[part.format(root) for part in command] for command, _ in ERRORS.values()]
    results = run_commands(SCRIPT, commands, cwd=root)
    assert sorted(root.rglob("*")) == before
    return root, dict(zip(ERRORS, results, strict=True))


@pytest.mark.parametrize("what", ERRORS)
def test_a_wrong_command_says_what_is_wrong_and_exits_with_2(refusals, what):
    root, results = refusals
    assert results[what].err.splitlines()[-1] == f"error: {ERRORS[what][1].format(root)}"
    assert (results[what].status, results[what].out) == (2, "")


def test_bottlenecks_of_another_graph_are_refused_by_their_manifest(run_script, home):
    command = ["--bottleneck_dir=cache", "--graph=pixels.pb", "--output_dir=no"]
    done = run_script(SCRIPT, *command, cwd=home)
    assert done.status == 2
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    message = r"error: The bottlenecks in cache were made by another graph or in another way \(.*"
    assert re.fullmatch(message, line)
    assert not (home / "no").exists()


DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.mark.skipif(not (DATA / "orchids").is_dir(), reason=f"no orchids in {DATA}")
def test_the_published_bottlenecks_of_2016_train_as_they_are(run_script, tmp_path):
    cache = DATA / "orchids/bottlenecks"
    done = run_script(SCRIPT, f"--bottleneck_dir={cache}", "--seed=1", cwd=tmp_path)
    assert done.status == 0, done.err
    metrics = json.loads((tmp_path / "retrained/metrics.json").read_text())
    assert metrics["bottlenecks"]["reused"] == 566
    assert metrics["test"]["accuracy"] > 0.6
    assert np.load(tmp_path / "retrained/head.npz")["weights"].shape == (2048, 7)
