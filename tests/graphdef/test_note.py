"""The note of a frozen graph: it comes back, TensorFlow skips it, and a stranger's does no harm."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from retrain_tools.graphdef.note import Note, read_labels, read_note, write_labels, write_note
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import own, theirs

KEY = "_retrain_tools"
NOTE = Note(
    source="vgg_16",
    preprocess="slim",
    mean=(123.68, 116.78, 103.94),
    std=1.0,
    bottleneck="features:0",
    final="result:0",
    end_points={"fc7": "features:0", "prédictions/\n ": "result:0"},
)


def graph_def():
    graph = tf.Graph()
    with graph.as_default():
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 2, 2, 3], "input")
        features = tf.reduce_mean(pixels, [1, 2], name="features")
        tf.multiply(features, 2.0, name="result")
    return own(graph.as_graph_def())


def noted(note: Note = NOTE, pixel_input: str = "input:0"):
    made = graph_def()
    write_note(made, pixel_input, note)
    return made


def with_text(text: bytes):
    made = graph_def()
    made.node[0].attr[KEY].s = text
    return made


@pytest.mark.parametrize(
    "note",
    [NOTE, dataclasses.replace(NOTE, mean=127.5, std=127.5, bottleneck=None, final=None)],
)
def test_a_note_comes_back_from_the_bytes_of_a_file(note):
    made = tf.compat.v1.GraphDef.FromString(noted(note).SerializeToString())
    assert read_note(made) == note


def test_a_note_may_be_on_any_node():
    assert read_note(noted(pixel_input="features:0")) == NOTE


def test_a_second_note_replaces_the_first():
    made = noted()
    write_note(made, "input:0", dataclasses.replace(NOTE, source="resnet_v1_50"))
    found = read_note(made)
    assert found is not None
    assert found.source == "resnet_v1_50"


def test_tensorflow_runs_a_graph_with_a_note_as_it_ran_without():
    made = noted()
    pixels = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(theirs(made), name="")
        with tf.compat.v1.Session(graph=graph) as session:
            found = session.run("result:0", {"input:0": pixels})
    np.testing.assert_allclose(found, 2 * pixels.mean((1, 2)), atol=1e-6)
    assert read_note(own(graph.as_graph_def())) == NOTE  # and keeps it


def test_what_was_cut_off_is_not_in_the_note_any_more():
    made = noted()
    for name in ("result", "result/y"):
        made.node.remove(next(node for node in made.node if node.name == name))
    assert read_note(made) == dataclasses.replace(
        NOTE, final=None, end_points={"fc7": "features:0"}
    )


def test_a_graph_without_a_note():
    assert read_note(graph_def()) is None
    assert read_note(tf.compat.v1.GraphDef()) is None
    assert all(KEY not in node.attr for node in graph_def().node)


def changed(**values) -> bytes:
    return json.dumps(dataclasses.asdict(NOTE) | values).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b"\xff\xfe",
        changed(mean=[1, 2]),
        changed(mean=[1, 2, 3, 4]),
        changed(mean="grey"),
        changed(mean=None),
        changed(std="x"),
        changed(std=None),
        changed(bottleneck=5),
        changed(bottleneck=["features:0"]),
        changed(final={}),
        changed(end_points=None),
        changed(end_points=["features:0"]),
        changed(end_points={"a": 5}),
    ],
)
def test_a_note_of_another_form_counts_as_none(text):
    assert read_note(with_text(text)) is None


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, changed(mean=10**400), changed(std=10**400)],
    ids=["deep", "mean", "std"],
)
def test_a_note_that_python_cannot_take_counts_as_none(text):
    assert read_note(with_text(text)) is None


@pytest.mark.parametrize("std", [0, float("nan"), float("inf")])
def test_a_note_that_scales_by_nothing_counts_as_none(std):
    assert read_note(with_text(changed(std=std))) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=9)
    | st.sampled_from(["features:0", "result:0", "gone:0", "^input", ":", ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(Note)]), values))
@settings(max_examples=200, deadline=None)
def test_a_note_of_anything_is_none_or_names_only_what_is_there(fields):
    made = with_text(changed(**fields))
    nodes = {node.name for node in made.node}
    found = read_note(made)
    if found is None:
        return
    assert isinstance(found.source, str)
    assert isinstance(found.std, float)
    for tensor in (found.bottleneck, found.final, *found.end_points.values()):
        assert tensor is None or tensor.lstrip("^").split(":")[0] in nodes


@given(st.binary(max_size=60))
def test_a_note_of_any_bytes_is_none(text):
    assert read_note(with_text(text)) is None


LABELS = ["daisy", "", " ", "Löwenzahn", "a\nb", "no UTF-8: \udcff"]


def test_labels_come_back_from_the_bytes_of_a_file_and_leave_the_note_alone():
    made = noted()
    write_labels(made, "result:0", LABELS)
    read = tf.compat.v1.GraphDef.FromString(made.SerializeToString())
    assert read_labels(read) == LABELS
    assert read_note(read) == NOTE


def test_other_labels_replace_the_first_and_none_take_them_away():
    made = graph_def()
    write_labels(made, "features:0", LABELS)
    write_labels(made, "result:0", ["a"])
    assert read_labels(made) == ["a"]
    write_labels(made, "result:0", [])
    assert read_labels(made) is None
    assert made == graph_def()


def test_tensorflow_keeps_labels():
    made = graph_def()
    write_labels(made, "result:0", LABELS)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(theirs(made), name="")
    assert read_labels(own(graph.as_graph_def())) == LABELS


def test_labels_of_another_form_count_as_none():
    made = graph_def()
    made.node[0].attr["_retrain_tools_labels"].s = b"a,b"
    assert read_labels(made) is None
    assert read_labels(graph_def()) is None
