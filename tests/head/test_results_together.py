"""The results of trainings into one folder: always of one training, whatever ends it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.note import read_labels
from retrain_tools.quiet_tensorflow import tf

CLASSES = (("blue", "red"), ("green", "red", "white"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("together")
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.reduce_mean(pixels, [1, 2], name="mean_colour")
    (root / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    numbers = np.random.default_rng(0)
    for which, names in enumerate(CLASSES):
        for name in names:
            folder = root / f"photos_{which}" / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = numbers.integers(0, 256, (9, 9, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def command(root, which, folder):
    return [
        sys.executable, "-m", "retrain_tools.retrain", f"--graph={root}/graph.pb",
        f"--image_dir={root}/photos_{which}", "--input_mean=0", "--input_std=255",
        "--bottleneck_tensor=mean_colour:0", "--how_many_training_steps=20", "--noself_check",
        f"--output_dir={folder}", f"--bottleneck_dir={root}/cache_{which}",
    ]  # fmt: skip


def check_of_one_training(folder):
    """The graph's own labels are those of the file beside it, and of no training that is gone."""
    graph = schema.GraphDef.FromString((folder / "output_graph.pb").read_bytes())
    listed = (folder / "output_labels.txt").read_text().splitlines()
    assert read_labels(graph) == listed
    assert tuple(listed) in CLASSES
    [weights] = [n for n in graph.node if n.name == "final_training_ops/weights/final_weights"]
    assert weights.attr["value"].tensor.tensor_shape.dim[1].size == len(listed)
    return listed


def test_killed_while_it_ends_a_training_leaves_the_results_of_one(root, tmp_path):
    subprocess.run(command(root, 0, tmp_path), check=True, capture_output=True)
    assert check_of_one_training(tmp_path) == ["blue", "red"]
    chance = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(
            command(root, 1, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for line in process.stderr:
            if line.startswith("step 19"):  # the last one; the results are written from now on
                break
        time.sleep(chance.uniform(0, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        check_of_one_training(tmp_path)
    subprocess.run(command(root, 1, tmp_path), check=True, capture_output=True)
    assert check_of_one_training(tmp_path) == ["green", "red", "white"]
    assert not [path for path in tmp_path.rglob("*") if ".retrain_tools" in path.name]


def test_two_trainings_into_one_folder_both_end_well(root, tmp_path):
    both = [
        subprocess.Popen(command(root, which, tmp_path), stderr=subprocess.PIPE, text=True)
        for which in (0, 1)
    ]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0, err
    check_of_one_training(tmp_path)
    assert sorted(path.name for path in (tmp_path / "saved_model").iterdir()) == ["1", "2"]
