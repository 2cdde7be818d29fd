"""Summaries, trees and differences as text and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from graphdef.tiny_graphs import add, add_constant, empty_graph, inception_like, write

from retrain_tools.graphdef.diff import compare_graphs
from retrain_tools.graphdef.summarize import summarize
from retrain_tools.graphdef.summary import Summary
from retrain_tools.graphdef.tree import scope_tree
from retrain_tools.listing.diff_text import diff_json, diff_text
from retrain_tools.listing.tree_text import tree_json, tree_text
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.text_tables import Style
from tests.opening import read_graph_def

PLAIN = Style()


def small_summary(tmp_path: Path) -> Summary:
    graph_def = inception_like()
    add(graph_def, "odd", "Mystery", ["softmax"], T=tf.float32)
    path = write(graph_def, tmp_path / "g.pb")
    return summarize(read_graph_def(path), path)


def test_a_summary(tmp_path: Path) -> None:
    summary = small_summary(tmp_path)
    text = summary.as_text(PLAIN)
    size = f"{(tmp_path / 'g.pb').stat().st_size:,}"
    assert text.startswith(
        f"File     {tmp_path / 'g.pb'} ({size} bytes)\n"
        f"Kind     frozen GraphDef: {summary.nodes} nodes, {summary.tensors} tensors\n"
        "Network  not in the catalogue, and without a note\n"
        "Version  8: TensorFlow of February 2016; ops that were dropped later still work\n"
        "Images   8×8 pixels\n"
        "Pixels   encoded images go in, which the graph prepares itself; of 0 to 255 it makes "
        "-1 to 1\n"
        "Pooled   yes, a vector of 28 (global average of [4, 4, 28]); no GlobalAveragePooling2D "
        "is needed\n"
        "\nInputs\n"
        "  DecodeJpeg/contents:0  string   unknown       the bytes of one image: "
        "DecodeJpeg takes it\n"
    )
    assert "\nNot in TensorFlow (custom, or tf.contrib)\n  Mystery  1 node\n" in text
    assert (
        "\nDeprecated\n  BatchNormWithGlobalNormalization  2 nodes  "
        "dropped for graphs of version 9 and later  Use tf.nn.batch_normalization()\n"
    ) in text
    assert "  operations  12,312  for one image: two for each multiply-add" in text
    assert text.endswith(" --image=IMAGE.jpg\n")
    assert summary.as_text(Style(True)).count("\x1b[1m") == 9  # one for each section


def test_a_summary_as_json(tmp_path: Path) -> None:
    summary = small_summary(tmp_path)
    values = json.loads(summary.as_json())
    assert values["inputs"][1] == {
        "name": "Mul:0",
        "dtype": "float32",
        "shape": [1, 8, 8, 3],
        "op": "Mul",
        "why": "prepared pixels: what the first layer takes after the decoding",
    }
    assert values["path"] == str(tmp_path / "g.pb")
    assert values["flops"] == summary.flops == 2 * 6156
    assert values["unavailable"] == {"Mystery": 1}
    assert values["versions"]["producer"] == 8
    assert values["bottlenecks"][0]["tensor"] == "pool_3/_reshape:0"
    assert values["pooling"][0] == {
        "tensor": "pool_3/_reshape:0",
        "role": "bottleneck",
        "shape": [1, 28],
        "form": "vector",
        "depth": 28,
        "pooling": "average",
        "how": "global average of [4, 4, 28]",
        "layers": 0,
        "before": "mixed/join:0",
        "before_shape": [1, 4, 4, 28],
    }
    assert values["pixels"]["made"] == "-1 to 1"


def scoped() -> object:
    graph_def = empty_graph()
    add_constant(graph_def, "a/b/w", np.zeros((1000, 3), np.float32))
    add(graph_def, "a/b", "Relu", ["a/b/w"])
    add(graph_def, "c", "NoOp")
    return scope_tree(graph_def.node)


def test_a_tree_is_folded_at_its_depth() -> None:
    root = scoped()
    assert tree_text(root, 1, PLAIN) == (  # type: ignore[arg-type]
        "scope  nodes  parameters   bytes  op\n"
        "(all)      3       3,000  12,000\n"
        "  a/…      2       3,000  12,000\n"
        "  c        1           0       0  NoOp\n"
    )
    assert tree_text(root, 0, PLAIN) == (  # type: ignore[arg-type]
        "scope    nodes  parameters   bytes  op\n"
        "(all)        3       3,000  12,000\n"
        "  a/         2       3,000  12,000\n"
        "    b/       2       3,000  12,000  Relu\n"
        "      w      1       3,000  12,000  Const\n"
        "  c          1           0       0  NoOp\n"
    )


def test_a_tree_as_json() -> None:
    whole = json.loads(tree_json(scoped(), 0))  # type: ignore[arg-type]
    assert whole["children"][0]["children"][0]["children"] == [
        {"name": "a/b/w", "op": "Const", "nodes": 1, "parameters": 3000, "bytes": 12000}
    ]
    folded = json.loads(tree_json(scoped(), 1))  # type: ignore[arg-type]
    assert [child["name"] for child in folded["children"]] == ["a", "c"]
    assert "children" not in folded["children"][0]


def test_a_difference() -> None:
    before, after = empty_graph(), empty_graph(24)
    for graph_def, value, source in ((before, [1.0, 2.0], "c"), (after, [1.0, 4.0], "d")):
        add_constant(graph_def, "c", np.float32(value))
        add_constant(graph_def, "d", np.float32(1))
        add(graph_def, "y", "Relu" if source == "c" else "Elu", [source], T=tf.float32)
    add(before, "old", "NoOp")
    add(after, "new", "NoOp")
    difference = compare_graphs(before, after)
    assert diff_text(difference, PLAIN) == (
        "~ version 8 → 24\n"
        "- old\n"
        "+ new\n"
        "~ y\n"
        "    op: Relu → Elu\n"
        "~ y takes\n"
        "    - c:0\n"
        "    + d:0\n"
        "~ c holds other values (float32 [2]): 1 of 2 differ, by 1 on average and 2 at most, "
        "1 of its largest value\n"
        "1 node removed, 1 added, 1 with other attributes, 1 with other inputs, "
        "1 constant changed, 1 the same\n"
    )
    coloured = diff_text(difference, Style(True))
    assert "\x1b[31m- old\x1b[0m\n\x1b[32m+ new\x1b[0m\n" in coloured
    values = json.loads(diff_json(difference))
    assert values["added"] == ["new"]
    assert values["versions"] == [8, 24]
    assert values["values_changed"][0]["largest"] == 2.0


def test_no_difference() -> None:
    difference = compare_graphs(inception_like(), inception_like())
    count = len(inception_like().node)
    assert diff_text(difference, PLAIN) == f"no difference in {count} nodes\n"
