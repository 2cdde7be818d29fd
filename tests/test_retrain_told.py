"""What retrain says while it works, and where it writes."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from head.graphs import graph_2015
from head.photos import write_photos
from head.scripts import run_script
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SCRIPT = "retrain_tools.retrain"
CLASSES = {"Red-Rose!": "red rose ", "daisy": "daisy", "tulip": "tulip"}
COMMAND = ["--graph=graph.pb", "--image_dir=photos", "--how_many_training_steps=21"]
SECOND = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A folder with 120 photos, of which one is broken, and what two runs said."""
    root = tmp_path_factory.mktemp("told")
    write_photos(root / "photos", count=40)
    (root / "photos/daisy/39.jpg").write_bytes(b"broken")
    (root / "graph.pb").write_bytes(graph_2015().SerializeToString())
    first = run_script(
        SCRIPT, *COMMAND, "--logging_verbosity=DEBUG", "--print_misclassified_test_images",
        "--intermediate_store_frequency=15", cwd=root,
    )  # fmt: skip
    assert first.status == 1, first.err  # one photo is none
    return root, first, run_script(SCRIPT, *COMMAND, "--output_dir=second",
                                   "--bottleneck_dir=retrained/bottlenecks", cwd=root)  # fmt: skip


def counts(root):
    images = json.loads((root / "retrained/metrics.json").read_text())["images"]
    return {split: sum(per_class.values()) for split, per_class in images.items()}


def test_what_was_found_is_told_before_the_first_step(told):
    root, _, second = told
    lines = second.err.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("step 0: "))
    number = counts(root)
    assert lines[start - 3 : start] == [
        "119 images in 3 classes: red rose  (40), daisy (39), tulip (40)",
        f"splits: {number['training']} training, {number['validation']} validation, "
        f"{number['testing']} testing",
        "bottlenecks: 0 computed, 119 reused, 0 repaired, 1 failed: retrained/bottlenecks",
    ]
    assert "Creating bottleneck" not in second.err


def test_the_first_run_says_what_it_computed(told):
    _, first, _ = told
    [line] = [line for line in first.err.splitlines() if line.startswith("bottlenecks: ")]
    pattern = r"bottlenecks: 119 computed, 0 reused, 0 repaired, 1 failed \(\S+ images/s\): \S+"
    assert re.fullmatch(pattern, line)


def test_splits_csv_has_each_usable_image_once(told):
    root, _, second = told
    with (root / "second/splits.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "label", "split"]
    photos = {str(path.relative_to(root)) for path in (root / "photos").rglob("*.jpg")}
    assert {image for image, _, _ in rows[1:]} == photos - {"photos/daisy/39.jpg"}
    assert all(CLASSES[Path(image).parent.name] == label for image, label, _ in rows[1:])
    assert Counter(split for _, _, split in rows[1:]) == counts(root)
    # An answer of its own: the hash of the path as it was typed, as published in 2017.
    percentages = {"validation": (0, 10), "testing": (10, 20), "training": (20, 101)}
    moved = [line.split("; ")[1].split(" was")[0] for line in second.err.splitlines()
             if "was moved there" in line]  # fmt: skip
    for image, _, split in rows[1:]:
        if not any(image.endswith(name) for name in moved):
            low, high = percentages[split]
            assert low <= hash_of(image) < high


def hash_of(path):
    number = int(hashlib.sha1(path.encode()).hexdigest(), 16)
    return (number % 2**27) * (100.0 / (2**27 - 1))


def test_debug_shows_the_lines_that_retrain_py_wrote(told):
    root, first, second = told
    lines = first.err.splitlines()
    looked = [line for line in lines if line.startswith("Looking for images in ")]
    assert looked == [f"Looking for images in '{name}'" for name in CLASSES]
    made = [line for line in lines if line.startswith("Creating bottleneck at ")]
    cached = {str(path.relative_to(root)) for path in (root / "retrained").rglob("*.jpg.txt")}
    assert len(made) == 119
    assert {line.removeprefix("Creating bottleneck at ") for line in made} == cached
    assert lines.count("100 bottleneck files created.") == 1
    evaluations = json.loads((root / "retrained/metrics.json").read_text())["evaluations"]
    assert [entry["step"] for entry in evaluations] == [0, 10, 20]
    steps = [re.sub(SECOND, "NOW", line) for line in lines if re.match(SECOND, line)]
    assert steps == [
        f"NOW: Step {entry['step']}: {figure}"
        for entry in evaluations
        for figure in (
            f"Train accuracy = {100 * entry['accuracy']:.1f}%",
            f"Cross entropy = {entry['cross_entropy']:f}",
            f"Validation accuracy = {100 * entry['validation_accuracy']:.1f}% (N=100)",
        )
    ]
    assert "Save intermediate result to : retrained/intermediate/intermediate_15.pb" in lines
    assert "Save final result to : retrained/output_graph.pb" in lines
    assert "=== MISCLASSIFIED TEST IMAGES ===" in first.out.splitlines()
    assert re.search(r"^Final test accuracy = \d+\.\d% \(N=\d+\)$", first.out, re.MULTILINE)
    assert not [line for line in second.err.splitlines() if re.match(SECOND, line)]


def test_the_event_files_hold_every_step_and_the_graph(told):
    root, _, _ = told
    train = EventAccumulator(str(root / "retrained/logs/train"), {"scalars": 0, "histograms": 0})
    checked = EventAccumulator(str(root / "retrained/logs/validation"), {"histograms": 0})
    train.Reload()
    checked.Reload()
    metrics = json.loads((root / "retrained/metrics.json").read_text())
    for tag, name in (("accuracy_1", "accuracy"), ("cross_entropy_1", "cross_entropy")):
        curve = train.Scalars(tag)
        assert [event.step for event in curve] == list(range(21))
        assert [event.value for event in curve] == pytest.approx(metrics["steps"][name])
        curve = checked.Scalars(tag)
        assert [event.step for event in curve] == [0, 10, 20]
        expected = [entry[f"validation_{name}"] for entry in metrics["evaluations"]]
        assert [event.value for event in curve] == pytest.approx(expected)
    weights = train.Histograms("final_training_ops/weights/summaries/histogram")
    assert [event.step for event in weights] == [0, 10, 20]
    nodes = {node.name: node.op for node in train.Graph().node}
    assert nodes["final_training_ops/Wx_plus_b/MatMul"] == "MatMul"
    assert nodes["final_result"] == "Softmax"
    assert nodes["conv/kernel"] == "Const"  # its values are left out, as TensorBoard shows none
    assert train.Graph().ByteSize() < 20_000


OWN = {
    "output_graph": "made/a/graph.pb", "output_labels": "made/b/labels.txt",
    "saved_model_dir": "made/c/model", "summaries_dir": "made/d/logs",
    "bottleneck_dir": "made/e/cache", "metrics": "made/f/metrics.json",
    "intermediate_output_graphs_dir": "made/g/between", "checkpoint_path": "made/h/head",
}  # fmt: skip


@pytest.mark.parametrize("alone", [False, True], ids=["images", "bottlenecks alone"])
def test_with_a_flag_for_every_output_nothing_is_made_anywhere_else(told, tmp_path, alone):
    root, _, _ = told
    here, elsewhere, made = tmp_path / "here", tmp_path / "tmp", tmp_path / "made"
    for folder in (here, elsewhere):
        folder.mkdir()
    flags = [f"--{name}={tmp_path / path}" for name, path in OWN.items()]
    flags += ["--how_many_training_steps=4", "--intermediate_store_frequency=2"]
    flags.append(f"--graph={root / 'graph.pb'}")
    if alone:
        cache = root / "retrained/bottlenecks"
        before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
        flags.append(f"--bottleneck_dir={cache}")
    else:
        flags.append(f"--image_dir={root / 'photos'}")
    environment = os.environ | {"TMPDIR": str(elsewhere)}
    done = subprocess.run(
        [sys.executable, "-m", SCRIPT, *flags],
        cwd=here, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if alone else 1), done.stderr  # one photo is none
    assert not list(here.iterdir())
    assert not list(elsewhere.iterdir())
    found = sorted(str(path.relative_to(made)) for path in made.glob("*/*"))
    expected = ["a/graph.pb", "b/labels.txt", "c/model", "d/logs", "e/cache", "f/head.npz",
                "f/metrics.json", "f/splits.csv", "g/between", "h/head.data-00000-of-00001",
                "h/head.index"]  # fmt: skip
    assert found == [name for name in expected if name != ("e/cache" if alone else "f/head.npz")]
    if alone:
        assert before == {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
