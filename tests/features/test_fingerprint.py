"""Fingerprints: what counts and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf import text_format

from retrain_tools.graphdef.fingerprint import fingerprint
from retrain_tools.quiet_tensorflow import tf
from tests.opening import load_graph

from . import tiny


def changed(path: Path, target: Path, name: str) -> Path:
    """Write a copy of a graph in which one constant is different."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    tensor = next(node for node in graph_def.node if node.name == name).attr["value"].tensor
    array = tf.make_ndarray(tensor)
    tensor.CopyFrom(tf.make_tensor_proto(array + np.ones_like(array)))
    target.write_bytes(graph_def.SerializeToString())
    return target


def test_a_fingerprint_is_of_the_nodes_before_the_tensor_only(graph_2015, tmp_path):
    def of(path, tensor=tiny.BOTTLENECK_2015):
        return fingerprint(load_graph(str(path)).graph_def, [tensor])

    original = of(graph_2015)
    assert original != of(graph_2015, "conv/relu:0")
    graph_def = tf.compat.v1.GraphDef.FromString(graph_2015.read_bytes())
    [head] = [n.input[1] for n in graph_def.node if n.name == "softmax/logits/MatMul"]
    assert of(changed(graph_2015, tmp_path / "head.pb", head)) == original
    mean = "conv/batchnorm/moving_mean"
    assert of(changed(graph_2015, tmp_path / "body.pb", mean)) != original


def test_a_fingerprint_is_the_same_for_text_and_any_order_of_nodes(graph_2015, tmp_path):
    original = fingerprint(load_graph(str(graph_2015)).graph_def, [tiny.BOTTLENECK_2015])
    graph_def = tf.compat.v1.GraphDef.FromString(graph_2015.read_bytes())
    text = tmp_path / "graph.pbtxt"
    text.write_text(text_format.MessageToString(graph_def))
    assert fingerprint(load_graph(str(text)).graph_def, [tiny.BOTTLENECK_2015]) == original
    nodes = list(graph_def.node)
    del graph_def.node[:]
    graph_def.node.extend(reversed(nodes))
    turned = tmp_path / "reversed.pb"
    turned.write_bytes(graph_def.SerializeToString())
    assert fingerprint(load_graph(str(turned)).graph_def, [tiny.BOTTLENECK_2015]) == original
