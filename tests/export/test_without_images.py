"""Exports of graphs that take no images: the values in every runtime, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.tiny_graphs import own, write
from tests.script_process import RunScript
from tests.sources.corpus import real

SCRIPT = "retrain_tools.export_graph"
FORMS = ("graphdef", "saved_model", "tflite", "onnx")
SIZE, CLASSES = 300, 70  # a kernel large enough to be held apart
FED = {
    "words": np.array([[1, 2], [0, 3], [9, 9]], np.int32),
    "text/weight": np.array([[0.5], [2.0], [-1.0]], np.float32),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embedded words, weighted and added, through a dense layer that leaves out some of it."""
    random = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        words = tf.compat.v1.placeholder(tf.int32, [None, 2], "words")
        weight = tf.compat.v1.placeholder(tf.float32, [None, 1], "text/weight")
        keep = tf.compat.v1.placeholder(tf.float32, [], "keep_prob")
        table = tf.constant(random.normal(size=(10, SIZE)), tf.float32)
        kernel = tf.constant(random.normal(size=(SIZE, CLASSES)), tf.float32)
        added = tf.reduce_sum(tf.gather(table, words), axis=1) * weight
        left = tf.nn.relu(added, name="added") * keep
        tf.identity(tf.matmul(left, kernel), "logits")
    return write(own(graph.as_graph_def()), tmp_path_factory.mktemp("words") / "words.pb")


def expected(path: Path, tensor: str) -> np.ndarray:
    return rt.run(rt.load(path), tensor, {**FED, "keep_prob": 1.0})[tensor]


def given_by(form: str, path: Path, key: str) -> np.ndarray:
    """An output of an export in its own runtime, written here anew."""
    one = np.array(1, np.float32)
    fed = {"words": FED["words"], "text_weight": FED["text/weight"], "keep_prob": one}
    match form:
        case "graphdef":
            names = {"words": "words", "text_weight": "text/weight", "keep_prob": "keep_prob"}
            feeds = {names[name]: value for name, value in fed.items()}
            return rt.run(rt.load(path), f"{key}:0", feeds)[f"{key}:0"]
        case "saved_model":
            signature = tf.saved_model.load(str(path)).signatures["serving_default"]
            return signature(**{k: tf.constant(v) for k, v in fed.items()})[key].numpy()
        case "tflite":
            interpreter = tf.lite.Interpreter(model_path=str(path))
            return interpreter.get_signature_runner()(**fed)[key]
    return onnxruntime.InferenceSession(str(path)).run([key], fed)[0]


@pytest.mark.parametrize("form", FORMS)
def test_every_input_is_one_of_the_export_and_batches_are_open(
    form: str, path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made = rt.export_graph(rt.load(path), out, form, outputs=["logits", "added:0"])
    assert made.difference < 1e-6 * max(made.largest.values())
    assert min(made.largest.values()) > 1
    assert made.images == "4 sets of random values"
    assert "words (words:0), int32 [?, 2]" in made.told["Inputs"]
    assert "text_weight (text/weight:0), float32 [?, 1]" in made.told["Inputs"]
    for key in ("logits", "added"):
        np.testing.assert_allclose(given_by(form, out, key), expected(path, key), atol=1e-4)


def test_a_saved_model_of_it_can_be_opened_again(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rt.export_graph(rt.load(path), out, "saved_model")
    model = rt.load(out)
    assert set(model.usual.inputs) == {"words", "text_weight", "keep_prob"}
    assert set(model.usual.outputs) == {"logits"}


def test_it_is_seen_where_an_export_differs(path: Path, tmp_path: Path) -> None:
    made = rt.export_graph(rt.load(path), tmp_path / "o.tflite", "tflite", quantize="dynamic")
    assert 1e-3 < made.difference < made.largest["logits:0"]


def test_a_network_for_channels_first_is_exported_as_arrays(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 3, 8, 8], "pixels")
        kernel = tf.constant(np.random.default_rng(1).normal(size=(3, 4)), tf.float32)
        tf.matmul(tf.reduce_max(pixels, [2, 3]), kernel, name="scores")
    file = write(own(graph.as_graph_def()), tmp_path / "first.pb")
    made = rt.export_graph(rt.load(file), tmp_path / "o.onnx", "onnx")
    assert made.difference < 1e-5
    assert made.told["Inputs"] == "pixels (pixels:0), float32 [?, 3, 8, 8]"


def test_the_command_line_says_what_goes_in_and_out(
    run_script: RunScript, path: Path, tmp_path: Path
) -> None:
    done = run_script(SCRIPT, f"--graph={path}", "--to=graphdef", "--output=o.pb", cwd=tmp_path)
    assert done.status == 0
    assert re.fullmatch(
        r"File      o\.pb\n"
        r"Size      [\d,]+ bytes\n"
        r"GraphDef  \d+ nodes, version \d+\n"
        r"Inputs    words .*; keep_prob \(keep_prob:0\), float32 \[\]\n"
        r"Outputs   logits \(logits:0\), float32 \[\?, 70\]\n"
        r"Compared  logits:0: differs by 0 at most \(values to \S+\), on 4 sets of random values\n",
        done.out,
    )


def test_what_goes_with_images_only_is_refused(
    run_script: RunScript, path: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    said = f"error: No tensor of {path} is seen to take images; name it with --input_layer."
    for more in (["--to=keras"], ["--to=saved_model", "--labels=labels.txt"]):
        done = run_script(SCRIPT, f"--graph={path}", "--output=o.keras", *more, cwd=tmp_path)
        assert (done.status, done.err.startswith(said)) == (2, True)
    named = ["--to=onnx", "--output=o", "--input_layer=text/weight"]
    done = run_script(SCRIPT, f"--graph={path}", *named, cwd=tmp_path)
    assert done.status == 2
    assert "'text/weight:0'" in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["labels.txt"]


def test_texts_have_no_random_values(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        record = tf.compat.v1.placeholder(tf.string, [None], "record")
        tf.strings.to_number(record, name="numbers")
    file = write(own(graph.as_graph_def()), tmp_path / "record.pb")
    with pytest.raises(InputError) as raised:
        rt.export_graph(rt.load(file), tmp_path / "o", "saved_model")
    assert str(raised.value) == (
        f"{file} takes 'record:0', string [?], of which there are no random values to run it on."
    )


def test_a_network_that_needs_more_than_images_says_what(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "pixels")
        keep = tf.compat.v1.placeholder(tf.float32, [], "keep_prob")
        kernel = tf.constant(np.ones((3, 3, 3, 4)), tf.float32)
        pooled = tf.reduce_mean(tf.nn.conv2d(pixels, kernel, 1, "SAME"), [1, 2])
        tf.nn.dropout(pooled, 1 - keep, name="dropped")
    graph_def = own(graph.as_graph_def())
    file = write(graph_def, tmp_path / "dropout.pb")
    with pytest.raises(
        InputError, match=r"needs 'keep_prob:0' .*beside images; give it with feed="
    ):
        rt.export_graph(rt.load(file), tmp_path / "o.keras", "keras")


@pytest.mark.parametrize("form", FORMS)
def test_a_session_bundle_by_its_named_signature(form: str, tmp_path: Path) -> None:
    bundle = real("wild/session_bundle_half_plus_two")
    made = rt.export_graph(
        rt.load(bundle, signature="serving_default_from_named"), tmp_path / "o", form
    )
    assert made.difference == 0
    assert made.told["Inputs"] == "x (x:0), float32 [?, 1]"
    assert made.largest["y:0"] == pytest.approx(2 + 0.5 * 0.64, abs=0.2)


@pytest.mark.parametrize("form", FORMS)
def test_a_recurrent_network_of_the_wild(form: str, tmp_path: Path) -> None:
    made = rt.export_graph(rt.load(real("wild/onnx_lstm_frozen.pb")), tmp_path / "o", form)
    assert made.difference < 1e-4
    assert made.largest["output:0"] > 1
