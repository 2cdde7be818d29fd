"""The flags of TensorFlow's own freeze_graph, and its result on the same files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.readers.graph_def import read_graph_def
from tests.features import tiny
from tests.script_process import RunScript
from tests.sources.corpus import Written, close, random_images

SCRIPT = "retrain_tools.freeze_graph"
OUTPUT = "net/probs"


@pytest.fixture
def place(training: Written, tmp_path: Path) -> Path:
    """The graph, the MetaGraph and the checkpoint in folders of their own."""
    source = training.path.parent
    for file in source.glob("model.ckpt.*"):
        folder = tmp_path / ("meta" if file.suffix == ".meta" else "checkpoint")
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder)
    shutil.copy(source / "unfrozen.pb", tmp_path)
    return tmp_path


def probs(path: Path, images: np.ndarray) -> np.ndarray:
    [found] = tiny.run_untouched(path, [f"{OUTPUT}:0"], {"input:0": images})
    return found


GRAPHS = [
    ["--input_graph=unfrozen.pb", "--input_binary=true"],
    ["--input_meta_graph=meta/model.ckpt.meta"],
]


@pytest.mark.parametrize("named", GRAPHS)
def test_a_graph_and_its_checkpoint(
    run_script: RunScript, training: Written, place: Path, named: list[str]
) -> None:
    arguments = [*named, "--input_checkpoint=checkpoint/model.ckpt", "--output_graph=f.pb"]
    unused = ["--checkpoint_version=2", "--restore_op_name=save/restore_all", "--input_saver="]
    done = run_script(SCRIPT, *arguments, *unused, f"--output_node_names={OUTPUT}", cwd=place)
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith(f" nodes; input:0 in, {OUTPUT}:0 out\n")
    assert close(probs(place / "f.pb", training.images), training.results[OUTPUT])
    assert not {n.op for n in read_graph_def(place / "f.pb").proto.node} & {"VariableV2"}


def write_plain(folder: Path) -> None:
    """A graph whose variables are whole, as text and without a Saver, and their checkpoint."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, [None, 12, 12, 3], "input")
        kernel = v1.get_variable("kernel", [3, 3, 3, 5], use_resource=False)
        net = tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "SAME"))
        tf.nn.softmax(tf.reduce_mean(net, [1, 2]), name=OUTPUT)
        tf.io.write_graph(graph.as_graph_def(), str(folder), "plain.pbtxt")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(
                session, str(folder / "plain" / "plain.ckpt"), write_meta_graph=False
            )


def test_tensorflows_own_gives_the_same(run_script: RunScript, place: Path) -> None:
    write_plain(place)
    arguments = [
        "--input_graph=plain.pbtxt",
        "--input_checkpoint=plain/plain.ckpt",
        f"--output_node_names={OUTPUT}",
    ]
    theirs = [sys.executable, "-m", "tensorflow.python.tools.freeze_graph"]
    subprocess.run(
        [*theirs, *arguments, "--output_graph=theirs.pb"],
        cwd=place, check=True, capture_output=True,
    )  # fmt: skip
    done = run_script(SCRIPT, *arguments, "--output_graph=ours.pb", cwd=place)
    assert done.status == 0
    both = [probs(place / name, random_images()) for name in ("ours.pb", "theirs.pb")]
    assert np.array_equal(*both)


def test_a_saved_model(run_script: RunScript, saved_model_1: Written, place: Path) -> None:
    arguments = [f"--input_saved_model_dir={saved_model_1.path}", "--saved_model_tags=serve"]
    named = [f"--output_node_names={OUTPUT}", "--output_graph=f.pb"]
    done = run_script(SCRIPT, *arguments, *named, cwd=place)
    assert (done.status, done.err) == (0, "")
    feeds = {"images:0": saved_model_1.images}
    [found] = tiny.run_untouched(place / "f.pb", [f"{OUTPUT}:0"], feeds)
    assert close(found, saved_model_1.results[OUTPUT])


def test_a_saved_model_without_its_variables(
    run_script: RunScript, saved_model_1: Written, place: Path
) -> None:
    shutil.copytree(saved_model_1.path, place / "m")
    shutil.rmtree(place / "m" / "variables")
    arguments = ["--input_saved_model_dir=m", f"--output_node_names={OUTPUT}"]
    done = run_script(SCRIPT, *arguments, "--output_graph=f.pb", cwd=place)
    assert done.status == 2
    assert done.err.startswith("error: m cannot be frozen: its variables are missing (")


MISTAKES = {
    "no checkpoint": (
        ["--input_graph=unfrozen.pb"],
        "--input_graph takes the values of its variables from --input_checkpoint; name it as well.",
    ),
    "no graph": (
        ["--input_checkpoint=checkpoint/model.ckpt"],
        "Name one of --input_graph, --input_meta_graph, --input_saved_model_dir.",
    ),
    "two graphs": (
        ["--input_graph=unfrozen.pb", "--input_saved_model_dir=x"],
        "Name one of --input_graph, --input_meta_graph, --input_saved_model_dir.",
    ),
    "both ways": (
        ["--input_graph=unfrozen.pb", "--graph=g.pb"],
        "Name the graph by --graph or --checkpoint, or by --input_…, not by both.",
    ),
    "a missing graph": (
        ["--input_graph=none.pb", "--input_checkpoint=checkpoint/model.ckpt"],
        "No such file: none.pb (--input_graph).",
    ),
    "initializers": (
        ["--input_graph=unfrozen.pb", "--initializer_nodes=init"],
        "--initializer_nodes would run nodes; nothing of a graph is run here.",
    ),
    "devices": (
        ["--input_graph=unfrozen.pb", "--noclear_devices"],
        "--noclear_devices: a frozen graph keeps no devices; leave it out.",
    ),
    "a list of variables": (
        ["--input_graph=unfrozen.pb", "--variable_names_denylist=w"],
        "--variable_names_denylist: a frozen graph has no variables left; leave it out.",
    ),
    "a node that is not there": (
        [
            "--input_graph=unfrozen.pb",
            "--input_checkpoint=checkpoint/model.ckpt",
            "--output_node_names=net/prob",
        ],
        "No tensor 'net/prob:0' in unfrozen.pb (",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes(run_script: RunScript, place: Path, what: str) -> None:
    arguments, message = MISTAKES[what]
    done = run_script(SCRIPT, *arguments, "--output_graph=f.pb", cwd=place)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert not (place / "f.pb").exists()
