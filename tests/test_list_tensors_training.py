"""What the script says of a training graph: its parts, in every form."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.tiny_graphs import real
from tests.listing_script import Runner

v1 = tf.compat.v1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of one layer with all that trains, saves and watches it."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        labels = v1.placeholder(tf.int64, [None], "labels")
        kernel = v1.get_variable("kernel", [4, 3], use_resource=False)
        logits = tf.matmul(x, kernel, name="logits")
        tf.nn.softmax(logits, name="scores")
        with v1.name_scope("loss"):
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        v1.train.AdamOptimizer().minimize(loss)
        v1.summary.scalar("cost", loss)
        v1.train.Saver()
        path = tmp_path_factory.mktemp("trained") / "trained.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_outputs_leave_parts_out_and_inputs_mark_them(script: Runner, trained: Path) -> None:
    names, _ = script.listed("--graph", trained, "--outputs", "--format=names")
    assert names == "scores:0\n"
    table, said = script.listed("--graph", trained, "--inputs")
    assert [line.split() for line in table.splitlines()] == [
        ["name", "dtype", "shape", "op", "consumers", "part"],
        ["x:0", "float32", "[?,", "4]", "Placeholder", "2"],
        ["labels:0", "int64", "[?]", "Placeholder", "2", "loss"],
    ]
    assert said.endswith("2 of " + said.split()[-2] + " tensors\n")


def test_programs_find_the_part_in_every_list_of_the_graph(script: Runner, trained: Path) -> None:
    rows = json.loads(script.listed("--graph", trained, "--format=json")[0])
    parts = {row["name"]: row["part"] for row in rows}
    assert parts["save/RestoreV2:0"] == "saving"
    assert parts["kernel/Adam:0"] == "gradients"
    assert parts["kernel/Assign:0"] == "initialising"
    assert parts["cost:0"] == "summaries"
    assert parts["loss/Mean:0"] == "loss"
    assert parts["logits:0"] is parts["kernel:0"] is parts["scores:0"] is None
    (row,) = json.loads(script.listed("--graph", trained, "--outputs", "--format=json")[0])
    assert row["part"] is None
    text, _ = script.listed("--graph", trained, "--glob=logits", "--format=csv")
    assert next(csv.DictReader(io.StringIO(text)))["part"] == ""
    table, _ = script.listed("--graph", trained, "--glob=logits")
    assert "part" not in table  # it would be empty


def test_the_tree_marks_scopes_that_only_serve_training(script: Runner, trained: Path) -> None:
    text, _ = script.listed("--graph", trained, "--tree", "--depth=1")
    ends = {line.split()[0]: line.split()[-1] for line in text.splitlines()}
    assert ends["scope"] == "part"
    assert ends["save/…"] == "saving"
    assert ends["gradients/…"] == "gradients"
    assert ends["loss/…"] == "loss"
    assert ends["logits"] == "MatMul"
    tree = json.loads(script.listed("--graph", trained, "--tree", "--format=json")[0])
    save = next(child for child in tree["children"] if child["name"] == "save")
    assert save["parts"] == {"saving": save["nodes"]}
    assert "parts" not in next(child for child in tree["children"] if child["name"] == "logits")


def test_the_summary_counts_parts(script: Runner, trained: Path) -> None:
    text, _ = script.listed("--graph", trained, "--summary")
    section = text.partition("\nOnly for training\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in section] == [
        *("loss", "gradients", "summaries", "saving", "initialising"),
    ]
    assert section[3].split("  ")[-1] == "writing and reading checkpoints"
    assert "labels:0  int64" in text.replace("   ", "  ")
    assert "does not need, which only serves training (loss)" in text
    counts = json.loads(script.listed("--graph", trained, "--summary", "--format=json")[0])
    tree = json.loads(script.listed("--graph", trained, "--tree", "--format=json")[0])
    assert counts["parts"] == {part: tree["parts"][part] for part in counts["parts"]}


def test_a_network_without_training_is_listed_as_ever(script: Runner, tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf.nn.softmax(v1.placeholder(tf.float32, [None, 4], "x"), name="scores")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    rows = json.loads(script.listed("--graph", path, "--format=json")[0])
    assert [sorted(row) for row in rows] == [
        ["bytes", "consumers", "dtype", "name", "op", "shape"]
    ] * 2
    assert "Only for training" not in script.listed("--graph", path, "--summary")[0]


def test_logits_that_only_the_loss_takes_are_a_result(script: Runner, tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        logits = tf.matmul(x, v1.get_variable("kernel", [4, 3]), name="logits")
        labels = v1.placeholder(tf.float32, [None, 3], "labels")
        loss = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        v1.train.GradientDescentOptimizer(0.1).minimize(loss)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    assert script.listed("--graph", path, "--outputs", "--format=names")[0] == "logits:0\n"
    summary, _ = script.listed("--graph", path, "--summary")
    assert "a MatMul that nothing but the training takes" in summary


def test_a_real_training_graph_with_queues(script: Runner) -> None:
    path = real("wild/unique_mnist_graph.pbtxt")
    names, _ = script.listed("--graph", path, "--outputs", "--format=names")
    assert names == "ArgMax:0\nsoftmax_tensor:0\n"
    found, _ = script.listed(
        "--graph", path, "--bottlenecks", "--input_layer=Reshape", "--format=names"
    )
    assert found.splitlines()[0] == "Reshape_1:0"
    for flag in ("--bottlenecks", "--summary", "--outputs", "--inputs"):
        ended = script.run("--graph", path, flag)
        assert "EnqueueMany:0" not in ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
