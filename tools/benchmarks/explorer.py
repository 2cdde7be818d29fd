"""Whole processes that look into a graph, against those that use TensorFlow for it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.processes import measured, script, whole
from benchmarks.records import Record
from benchmarks.setting import Setting
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.readers.graph_def import read_graph_def

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


def sections(setting: Setting) -> Iterator[list[Record]]:
    """Measure each way to look into the graph, against importing TensorFlow."""
    work = setting.work_dir / "explorer"
    if not (work / "ready").exists():
        measured("explorer.write_files", graph=setting.graph, to=str(work), nodes=setting.nodes)
    graph, trained = setting.graph, work / "trained"
    cli = Path(sys.executable).with_name("saved_model_cli")

    def listing(path: object, *flags: str) -> list[str]:
        return script("list_tensors", f"--graph={path}", *flags)

    commands = {
        "import tensorflow": [sys.executable, "-c", "import tensorflow"],
        "TensorFlow's own list": [sys.executable, "-c", _TENSORFLOW, graph],
        "saved_model_cli show --all": [
            *(str(cli), "show", "--all", "--dir"),
            str(work / "saved_model"),
        ],
        "list_tensors": listing(graph),
        "list_tensors --summary": listing(graph, "--summary"),
        "list_tensors --summary, SavedModel": listing(trained / "saved_model", "--summary"),
        "list_tensors --signatures, SavedModel": listing(trained / "saved_model", "--signatures"),
        "list_tensors --summary, MetaGraph": listing(trained / "model.ckpt.meta", "--summary"),
        "list_tensors --variables, checkpoint": listing(trained / "model.ckpt", "--variables"),
        "list_tensors --diff (itself)": listing(graph, f"--diff={graph}"),
        f"list_tensors, {setting.nodes:,} nodes": listing(work / "chain.pb"),
    }
    ways = {name: partial(whole, command) for name, command in commands.items()}
    yield setting.compare("explorer", Path(graph).name, "s", ways)


def write_files(graph: str, to: str, nodes: int) -> bool:
    """Write what is looked into, besides the graph."""
    folder = Path(to)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_saved_model(graph, str(folder / "saved_model"))
    _write_trained(folder / "trained")
    (folder / "chain.pb").write_bytes(_chain(nodes).SerializeToString())
    (folder / "ready").touch()
    return True


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


def _write_trained(folder: Path) -> None:
    """Write a network of 23 million values in variables: a SavedModel, and a training graph."""
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
        v1.train.Saver().save(session, str(folder / "model.ckpt"))


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
