"""The `listing` part of the benchmark: seconds and memory of processes that look into a graph."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.readers.graph_def import read_graph_def

_NODES = 100_000
_IMPORT = "import tensorflow"
# A process starts with the peak of the one that starts it: this one is small.
_PROBE = """
import os, resource, subprocess, sys, time
start = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_TENSORFLOW = """
import sys
import tensorflow as tf
graph_def = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], 'rb').read())
with tf.Graph().as_default() as graph:
    tf.compat.v1.import_graph_def(graph_def, name='')
for operation in graph.get_operations():
    for tensor in operation.outputs:
        print(tensor.name, tensor.dtype.name, tensor.shape)
"""


def compare_listings(graph: str, rounds: int) -> None:
    """Print the seconds and megabytes of each way to look into `graph`, against TensorFlow's."""
    listing = [sys.executable, "-m", "retrain_tools.list_tensors"]
    with tempfile.TemporaryDirectory() as scratch:
        saved_model, chain = Path(scratch, "saved_model"), Path(scratch, "chain.pb")
        _write_saved_model(graph, str(saved_model))
        trained, meta = _write_trained(Path(scratch, "trained"))
        chain.write_bytes(_chain(_NODES).SerializeToString())
        cli = Path(sys.executable).with_name("saved_model_cli")
        commands = {
            "import tensorflow": [sys.executable, "-c", _IMPORT],
            "TensorFlow's own list": [sys.executable, "-c", _TENSORFLOW, graph],
            "saved_model_cli show --all": [str(cli), "show", "--all", "--dir", str(saved_model)],
            "list_tensors": [*listing, f"--graph={graph}"],
            "list_tensors --summary": [*listing, f"--graph={graph}", "--summary"],
            "list_tensors --summary, SavedModel": [*listing, f"--graph={trained}", "--summary"],
            "list_tensors --signatures, SavedModel": [
                *listing,
                f"--graph={trained}",
                "--signatures",
            ],
            "list_tensors --summary, MetaGraph": [*listing, f"--graph={meta}", "--summary"],
            "list_tensors --variables, checkpoint": [
                *listing,
                f"--graph={meta.with_suffix('')}",
                "--variables",
            ],
            "list_tensors --diff (itself)": [*listing, f"--graph={graph}", f"--diff={graph}"],
            f"list_tensors, {_NODES:,} nodes": [*listing, f"--graph={chain}"],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                taken[name].append(_run(command))
    slowest = statistics.median(seconds for seconds, _ in taken["import tensorflow"])
    for name, runs in taken.items():
        seconds = statistics.median(seconds for seconds, _ in runs)
        megabytes = max(megabytes for _, megabytes in runs)
        print(
            f"listing: {name}: {seconds:.2f} s, {megabytes:.0f} MB, "
            f"{slowest / seconds:.1f} times as fast as importing TensorFlow"
        )


def _run(command: Sequence[str]) -> tuple[float, float]:
    """Run a process to its end; return its seconds and its peak of megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *command], stdout=subprocess.PIPE, check=True, text=True
    )
    seconds, kilobytes = map(float, done.stdout.split())
    return seconds, kilobytes * 1024 / 1e6


def _write_saved_model(graph: str, folder: str) -> None:
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(read_graph_def(graph).proto.SerializeToString()),
            name="",
        )
        builder = v1.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(session, [v1.saved_model.tag_constants.SERVING])
        builder.save()


def _write_trained(folder: Path) -> tuple[Path, Path]:
    """Write a network of 23 million values in variables: a SavedModel, and a training graph.

    Returns:
        The SavedModel's folder, and the `.meta` file beside its checkpoint.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = net = v1.placeholder(tf.float32, [None, 64, 64, 3], "images")
        for number in range(50):
            with v1.variable_scope(f"layer_{number}"):
                kernel = v1.get_variable("kernel", [3, 3, net.shape[-1], 224])
                bias = v1.get_variable("bias", [224])
                net = tf.nn.relu(tf.nn.conv2d(net, kernel, 1, "SAME") + bias)
        weights = v1.get_variable("weights", [224, 1000])
        logits = tf.matmul(tf.reduce_mean(net, [1, 2]), weights, name="logits")
        probabilities = tf.nn.softmax(logits, name="probabilities")
        labels = v1.placeholder(tf.int64, [None], "labels")
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(
            session, str(folder / "saved_model"), {"images": images}, {"scores": probabilities}
        )
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        session.run(v1.global_variables_initializer())
        prefix = v1.train.Saver().save(session, str(folder / "model.ckpt"))
    return folder / "saved_model", Path(f"{prefix}.meta")


def _chain(nodes: int) -> tf.compat.v1.GraphDef:
    """Make convolutions one after the other, each with a kernel of its own."""
    graph_def = tf.compat.v1.GraphDef()
    with tf.Graph().as_default() as graph:
        net = tf.compat.v1.placeholder(tf.float32, [None, 32, 32, 8], "input")
        tf.nn.relu(tf.nn.conv2d(net, tf.zeros([1, 1, 8, 8], name="w"), 1, "SAME", name="c"), "r")
    first, kernel, convolution, relu = graph.as_graph_def().node
    graph_def.node.append(first)
    before = first.name
    for number in range(nodes // 3):
        for node in (kernel, convolution, relu):
            added = graph_def.node.add()
            added.CopyFrom(node)
            added.name = f"block_{number // 100}/{node.name}_{number}"
        names = [node.name for node in graph_def.node[-3:]]
        graph_def.node[-2].input[:] = [before, names[0]]
        graph_def.node[-1].input[:] = [names[1]]
        before = names[2]
    return graph_def
