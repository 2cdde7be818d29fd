"""Which pixels go in, judged by running the graph on black and white images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.note import Note, write_note
from retrain_tools.graphdef.pixel_range import arithmetic, shown_scaling
from retrain_tools.graphdef.summarize import summarize
from retrain_tools.graphdef.view import view_of
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import own

CAFFE, TORCH = [103.939, 116.779, 123.68], [0.485, 0.456, 0.406]
STDS = [0.229, 0.224, 0.225]
Build = Callable[[Any], Any]


def graph_of(build: Build) -> Any:
    """A network whose first layer takes what `build` makes of pixels."""
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "pixels")
        prepared = tf.identity(build(pixels), name="prepared")
        h = tf.nn.conv2d(prepared, np.ones((3, 3, 3, 4), "f"), 1, "SAME")
        tf.reduce_mean(h, [1, 2], name="features")
        return own(graph.as_graph_def())


CASES: dict[str, tuple[Build, tuple[float, float] | None, str]] = {
    "bytes to -1 to 1": (
        lambda x: x / 127.5 - 1, (0, 1),
        "0 to 255 at pixels:0, of which the graph makes -1 to 1",
    ),
    "bytes to 0 to 1": (
        lambda x: x * (1 / 255), (0, 1), "0 to 255 at pixels:0, of which the graph makes 0 to 1"
    ),
    "the other way round": (
        lambda x: 1 - x / 127.5, (0, 1), "0 to 255 at pixels:0, of which the graph makes -1 to 1"
    ),
    "0 to 1 to -1 to 1": (
        lambda x: x * 2 - 1, (0, 255), "0 to 1 at pixels:0, of which the graph makes -1 to 1"
    ),
    "the same, subtracted first": (
        lambda x: tf.pad((x - 0.5) * 2, [[0, 0], [1, 1], [1, 1], [0, 0]]), (0, 255),
        "0 to 1 at pixels:0, of which the graph makes -1 to 1",
    ),
    "Caffe's": (
        lambda x: tf.nn.bias_add(x[..., ::-1], [-m for m in CAFFE]), (0, 1),
        "0 to 255 at pixels:0, of which the graph makes BGR minus a mean for each colour, as "
        "Caffe's networks take them",
    ),
    "Caffe's, subtracted first": (
        lambda x: tf.reverse(x - CAFFE[::-1], [-1]), (0, 1),
        "0 to 255 at pixels:0, of which the graph makes BGR minus a mean for each colour, as "
        "Caffe's networks take them",
    ),
    "Caffe's, stacked": (
        lambda x: tf.stack([x[..., 2], x[..., 1], x[..., 0]], -1) + [-m for m in CAFFE], (0, 1),
        "0 to 255 at pixels:0, of which the graph makes BGR minus a mean for each colour, as "
        "Caffe's networks take them",
    ),
    "stacked in another order": (
        lambda x: tf.stack([x[..., 1], x[..., 2], x[..., 0]], -1) / 255, None, ""
    ),
    "torch's": (
        lambda x: (x / 255 - TORCH) / np.sqrt(np.square(STDS)), (0, 1),
        "0 to 255 at pixels:0, of which the graph makes -2.118 to 2.249, -2.036 to 2.429, -1.804 "
        "to 2.64 (each colour)",
    ),
    "torch's of 0 to 1": (
        lambda x: (x - TORCH) / tf.maximum(tf.sqrt(tf.constant(np.square(STDS), tf.float32)), 1e-7),
        (0, 255),
        "0 to 1 at pixels:0, of which the graph makes -2.118 to 2.249, -2.036 to 2.429, -1.804 "
        "to 2.64 (each colour)",
    ),
    "as they are": (lambda x: x, None, ""),
    "what is no product and sum": (lambda x: tf.sqrt(x / 127.5), None, ""),
    "too little to tell": (lambda x: x * 0.01 * 0.01, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_arithmetic_before_the_first_layer(case: str, tmp_path: Path) -> None:
    build, scaling, said = CASES[case]
    graph_def = graph_of(build)
    nodes = nodes_by_name(graph_def)
    assert shown_scaling(graph_def, nodes, "pixels:0") == scaling
    text = str(summarize(graph_def, tmp_path / "g.pb").pixels)
    if scaling is None:
        assert text == (
            "unknown: nothing in the file says it; -1 to 1 is fed unless --input_mean and "
            "--input_std say otherwise"
        )
    else:
        assert text == f"{said}: its own arithmetic before the first layer shows it"


@pytest.mark.parametrize("case", [case for case, row in CASES.items() if row[1] is not None])
def test_the_arithmetic_is_what_the_graph_computes(case: str) -> None:
    graph_def = graph_of(CASES[case][0])
    found = arithmetic(graph_def, nodes_by_name(graph_def), "pixels:0")
    assert found is not None
    colour = np.array([10.0, 100.0, 200.0])
    with tf.Graph().as_default():
        (prepared,) = tf.graph_util.import_graph_def(
            tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()),
            return_elements=["prepared:0"],
        )
        with tf.compat.v1.Session() as session:
            fed = np.broadcast_to(colour, (1, 8, 8, 3))
            made = session.run(prepared, {"import/pixels:0": fed})[0, 4, 4]
    mine = np.array(found.scale) * (colour[::-1] if found.is_reversed else colour)
    np.testing.assert_allclose(mine + np.array(found.offset), made, rtol=1e-5, atol=1e-5)


def noted(build: Build, **said: Any) -> Any:
    graph_def = graph_of(build)
    note = Note("a test", "resize", bottleneck=None, final=None, end_points={}, **said)
    write_note(graph_def, "pixels:0", note)
    return graph_def


def test_a_note_wins_over_the_arithmetic(tmp_path: Path) -> None:
    graph_def = noted(lambda x: x * 2 - 1, mean=0.0, std=255.0, scaled_by="Hub's convention")
    assert str(summarize(graph_def, tmp_path / "g.pb").pixels) == (
        "0 to 1 at pixels:0, of which the graph makes -1 to 1: Hub's convention"
    )
    graph_def = noted(lambda x: x, mean=128.0, std=128.0)
    text = "-1 to 1 at pixels:0: what its note says"
    assert str(summarize(graph_def, tmp_path / "g.pb").pixels) == text
    graph_def = noted(lambda x: x, mean=(123.68, 116.779, 103.939), std=1.0)
    assert str(summarize(graph_def, tmp_path / "g.pb").pixels) == (
        "-123.7 to 131.3, -116.8 to 138.2, -103.9 to 151.1 (each colour) at pixels:0: what its "
        "note says"
    )


def test_what_the_user_says_wins_over_all(tmp_path: Path) -> None:
    graph_def = noted(lambda x: x, mean=128.0, std=128.0)
    said = {"input_mean": 0.0, "input_std": 255.0}
    text = str(summarize(graph_def, tmp_path / "g.pb", said=said).pixels)
    assert text == "0 to 1 at pixels:0: as you said"
    raw = summarize(graph_def, tmp_path / "g.pb", said={"preprocess": "none"})
    assert str(raw.pixels) == "0 to 255 at pixels:0: as you said"


def test_commands_need_no_scaling_where_it_is_shown(tmp_path: Path) -> None:
    shown = summarize(graph_of(CASES["0 to 1 to -1 to 1"][0]), tmp_path / "g.pb")
    assert "input_mean" not in shown.commands[0]
    hidden = summarize(graph_of(CASES["as they are"][0]), tmp_path / "g.pb")
    assert " --input_mean=127.5 --input_std=127.5" in hidden.commands[0]


def test_a_view_is_looked_at_as_its_graph() -> None:
    graph_def = graph_of(CASES["bytes to -1 to 1"][0])
    view = view_of(graph_def)
    assert shown_scaling(view, nodes_by_name(view), "pixels:0") == (0, 1)
