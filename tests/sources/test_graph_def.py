from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from retrain_tools.errors import InputError
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.open import open_model
from tests.graphdef.tiny_graphs import (
    MOBILENET,
    add,
    empty_graph,
    inception_like,
    jpeg,
    own,
    pixels_graph,
    real,
    reverse_nodes,
    run,
    write,
)
from tests.opening import load_graph, read_graph_def, refusal

TINY = inception_like()
DATA = TINY.SerializeToString()


@pytest.mark.parametrize("name", ["graph.pb", "graph.pbtxt", "graph"])
@pytest.mark.parametrize("as_text", [False, True])
def test_binary_and_text_are_told_apart_by_content(
    tmp_path: Path, name: str, as_text: bool
) -> None:
    path = tmp_path / name
    text = f"# a comment\n{text_format.MessageToString(TINY)}"
    path.write_bytes(text.encode() if as_text else DATA)
    assert read_graph_def(path) == TINY
    assert read_graph_def(str(path)) == TINY


def test_nodes_may_be_in_any_order(tmp_path: Path) -> None:
    graph_def = reverse_nodes(TINY)
    assert read_graph_def(write(graph_def, tmp_path / "g.pb")) == graph_def


@pytest.mark.parametrize(("saved_by", "read"), [(0, 0), (8, 8), (9, 8), (27, 8), (2474, 8)])
def test_old_batch_norms_keep_a_version_that_runs(tmp_path: Path, saved_by: int, read: int) -> None:
    path = write(inception_like(producer=saved_by), tmp_path / "g.pb")
    graph_def = read_graph_def(path)
    assert graph_def.versions.producer == read
    feeds = {"DecodeJpeg/contents:0": jpeg()}
    np.testing.assert_array_equal(run(graph_def, "softmax:0", feeds), run(TINY, "softmax:0", feeds))


def test_other_graphs_keep_their_version(tmp_path: Path) -> None:
    graph_def = pixels_graph()
    assert graph_def.versions.producer > 8
    assert read_graph_def(write(graph_def, tmp_path / "g.pb")) == graph_def


def test_unknown_ops_are_read(tmp_path: Path) -> None:
    graph_def = empty_graph()
    add(graph_def, "a", "ImageFromTheFuture>V2")
    assert read_graph_def(write(graph_def, tmp_path / "g.pb")) == graph_def


def test_while_loops_are_no_cycles(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.disable_control_flow_v2()
        tf.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
        tf.compat.v1.enable_control_flow_v2()
    graph_def = own(graph.as_graph_def())
    assert "NextIteration" in {node.op for node in graph_def.node}
    assert read_graph_def(write(graph_def, tmp_path / "g.pb")) == graph_def


def test_a_loaded_graph_is_as_in_the_file(tmp_path: Path) -> None:
    path = write(TINY, tmp_path / "g.pb")
    frozen = load_graph(str(path), overrides=SpecOverrides(bottleneck_tensor="pool_3"))
    assert frozen.graph_def == TINY
    assert frozen.path == path
    assert frozen.entry is None
    assert frozen.spec.bottleneck == "pool_3:0"
    assert frozen.spec.pixel_input == "Mul:0"


def test_a_catalogued_name_gives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.toml").write_text(
        'description = "toy"\narchive = {url = "http://127.0.0.1:9/t.tgz", name = "t.tgz"}\n'
        'graph = {path = "toy.pb"}\n'
        'input = {pixel = "Mul:0", image_size = [8, 8], mean = 128, std = 128}\n'
        'output = {bottleneck = "conv:0", depth = 8, pooling = "max", final = "softmax:0"}\n'
    )
    monkeypatch.setenv("RETRAIN_TOOLS_CATALOG", str(tmp_path))
    write(TINY, tmp_path / "toy.pb")
    frozen = load_graph("toy", model_dir=tmp_path)
    assert frozen.entry is not None
    assert frozen.entry.name == "toy"
    assert (frozen.spec.bottleneck, frozen.spec.final) == ("conv:0", "softmax:0")
    assert (frozen.spec.mean, frozen.spec.std) == (128.0, 128.0)


def test_a_real_graph_is_the_same_as_text(tmp_path: Path) -> None:
    graph_def = read_graph_def(real(MOBILENET))
    path = tmp_path / "mobilenet.pb"
    path.write_text(text_format.MessageToString(graph_def))
    assert read_graph_def(path) == graph_def


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_loading_does_not_add_attributes(tmp_path: Path, make: Callable[[], Any]) -> None:
    graph_def = make()
    frozen = load_graph(str(write(graph_def, tmp_path / "g.pb")))
    assert frozen.graph_def.SerializeToString(deterministic=True) == (
        graph_def.SerializeToString(deterministic=True)
    )


# Files that are something else


def test_no_such_file(tmp_path: Path) -> None:
    for read in (read_graph_def, load_graph, open_model):
        with pytest.raises(InputError) as error:
            read(str(tmp_path / "none.pb"))
        assert str(error.value) == f"No such file: {tmp_path / 'none.pb'}"


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module = tf.Module()
    module.v = tf.Variable([1.0, 2.0])
    module.f = tf.function(lambda x: x * module.v, input_signature=[tf.TensorSpec([2])])
    folder = tmp_path_factory.mktemp("saved") / "model"
    tf.saved_model.save(module, str(folder))
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `v2` as Saver fills it, and a checkpoint in one file, `v1/model.ckpt`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", initializer=np.ones((40, 3), np.float32), use_resource=False)
        session.run(v1.global_variables_initializer())
        for name, version in (("v1", v1.train.SaverDef.V1), ("v2", v1.train.SaverDef.V2)):
            (folder / name).mkdir()
            saver = v1.train.Saver(write_version=version)
            saver.save(session, str(folder / name / "model.ckpt"))
    return folder


def test_saved_models(saved_model: Path) -> None:
    for path in (saved_model, saved_model / "saved_model.pb"):
        assert open_model(path).kind is Kind.SAVED_MODEL
    assert open_model(saved_model / "variables" / "variables.index").kind is Kind.CHECKPOINT


def test_checkpoints(checkpoints: Path) -> None:
    for name in (
        "v2",
        "v2/model.ckpt",
        "v2/model.ckpt.index",
        "v2/model.ckpt.data-00000-of-00001",
        "v2/checkpoint",
        "v1/model.ckpt",
    ):
        model = open_model(checkpoints / name)
        assert model.kind is Kind.CHECKPOINT
        assert [(v.name, v.shape) for v in model.variables] == [("w", (40, 3))]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_meta_graphs(checkpoints: Path, version: str) -> None:
    path = checkpoints / version / "model.ckpt.meta"
    assert open_model(path).kind is Kind.META_GRAPH
    with pytest.raises(InputError):  # whose message is another
        read_graph_def(path)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("graph.pb", DATA)
    return file.getvalue()


def test_packed_files_are_opened(tmp_path: Path) -> None:
    for name, content in (("graph.gz", gzip.compress(DATA)), ("graph.zip", zipped())):
        (tmp_path / name).write_bytes(content)
        model = open_model(tmp_path / name)
        assert (model.kind, model.stored_graph) == (Kind.GRAPH_DEF, TINY)


NO_KIND = (
    "is none of the kinds of file that can be opened: GraphDef, MetaGraph, checkpoint, "
    "SavedModel, Keras, TensorFlow Lite, or an archive of one."
)


@pytest.mark.parametrize(
    ("content", "message", "read"),
    [
        (b"", "is empty; download or copy it again.", "is empty; download or copy it again."),
        (
            jpeg(),
            "is an image; pass it as an image and a .pb file as the graph.",
            "is an image; pass it as an image and a .pb file as the graph.",
        ),
        (b"not a graph at all", NO_KIND, "is not a GraphDef."),
        (b"\x80", NO_KIND, "is not a GraphDef."),
        (b"\x22\x02\x08\x08", NO_KIND, "is not a GraphDef, or one without nodes."),
        # a node without op
        (b"\x0a\x03\x0a\x01a", NO_KIND, "is not a GraphDef, or one without nodes."),
        (b"daisy\nroses\n", NO_KIND, "is not a GraphDef."),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str, read: str) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(content)
    assert refusal(path) == read
    with pytest.raises(InputError) as error:
        open_model(path)
    assert str(error.value) == f"{path} {message}"


def test_text_with_a_mistake_says_where(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_text('node {\n  name: "a"\n  opp: "Const"\n}\n')
    assert refusal(path) == (
        'is a text GraphDef that cannot be read: 3:3 : Message type "tensorflow.NodeDef" has '
        'no field named "opp".'
    )


def test_text_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(b'node {\n  name: "\xff"\n}')
    assert refusal(path).startswith("is a text GraphDef that cannot be read: 'utf-8' codec")
