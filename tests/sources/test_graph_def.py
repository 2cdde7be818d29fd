from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.check import check_graph
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.graphdef.tensors import list_tensors
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.kinds import Kind
from retrain_tools.sources.open import open_model
from tests.graphdef.tiny_graphs import (
    MOBILENET,
    add,
    add_constant,
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
from tests.opening import load_graph, read_graph_def

TINY = inception_like()
DATA = TINY.SerializeToString()


def refusal(path: Path) -> str:
    """The message without the path that it begins with."""
    with pytest.raises(InputError) as error:
        read_graph_def(path)
    message = str(error.value)
    assert message.startswith(f"{path} ")
    return message.removeprefix(f"{path} ")


# Graphs


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


def test_while_loops_are_no_circles(tmp_path: Path) -> None:
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


# Damage


def test_a_name_twice(tmp_path: Path) -> None:
    graph_def = inception_like()
    add(graph_def, "Mul", "NoOp")
    path = write(graph_def, tmp_path / "g.pb")
    assert refusal(path) == "is damaged: two nodes are called 'Mul'."


@pytest.mark.parametrize("name", ["nowhere", "nowhere:1", "^nowhere"])
def test_an_input_that_no_node_makes(tmp_path: Path, name: str) -> None:
    graph_def = inception_like()
    add(graph_def, "a", "Relu", [name])
    path = write(graph_def, tmp_path / "g.pb")
    assert refusal(path) == f"is damaged: node 'a' takes {name!r}, which no node makes."


def test_a_circle(tmp_path: Path) -> None:
    graph_def = empty_graph()
    for name, source in (("a", "c"), ("b", "a"), ("c", "b")):
        add(graph_def, name, "Identity", [source])
    message = refusal(write(graph_def, tmp_path / "g.pb"))
    assert message.startswith("is damaged: its nodes form a cycle: ")
    names = message.removesuffix(".").rpartition(": ")[2].split(" → ")
    assert all(f"{a}{b}" in "cacbabca" for a, b in itertools.pairwise(names))
    assert names[0] == names[-1]
    assert set(names) == {"a", "b", "c"}


def without_value(node: Any) -> None:
    node.attr.pop("value")


def of_another_type(node: Any) -> None:
    """TensorFlow takes this one for a number of its own type, and aborts the process."""
    node.attr["value"].tensor.dtype = tf.uint8.as_datatype_enum


def of_no_type(node: Any) -> None:
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = 95


def of_another_size(node: Any) -> None:
    node.attr["value"].tensor.tensor_shape.dim[0].size = 7


def of_unknown_size(node: Any) -> None:
    node.attr["value"].tensor.tensor_shape.dim[0].size = -1


@pytest.mark.parametrize(
    "damage", [without_value, of_another_type, of_no_type, of_another_size, of_unknown_size]
)
def test_constants_that_are_not_what_they_say(
    tmp_path: Path, damage: Callable[[Any], None]
) -> None:
    graph_def = empty_graph()
    damage(add_constant(graph_def, "c", np.arange(6, dtype=np.float32)))
    assert refusal(write(graph_def, tmp_path / "g.pb")) == (
        "is damaged: the constant 'c' does not hold what its type and shape say."
    )


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((0, 3), np.float32),
        np.full((4, 5), 2.5, np.float32),
        np.array([b"a", b"bc"]),
        np.array([True]),
        np.float16(1),
        np.int64(3),
        1 + 2j,
    ],
)
def test_sound_constants(tmp_path: Path, value: Any) -> None:
    graph_def = empty_graph()
    add_constant(graph_def, "c", value)
    # One value for all, as older versions write it.
    old = add_constant(graph_def, "old", np.float32(1))
    old.attr["value"].tensor.tensor_shape.dim.add().size = 40
    assert read_graph_def(write(graph_def, tmp_path / "g.pb")) == graph_def


@pytest.mark.parametrize("op", ["Variable", "VariableV2", "VarHandleOp"])
def test_variables(tmp_path: Path, op: str) -> None:
    graph_def = inception_like()
    add(graph_def, "w", op)
    add(graph_def, "v", op)
    path = write(graph_def, tmp_path / "g.pb")
    model = open_model(path)
    assert model.stored_graph == graph_def
    assert [variable.name for variable in model.variables] == ["w", "v"]
    with pytest.raises(InputError) as error:
        model.frozen()
    assert str(error.value).startswith(f"{path} cannot be frozen: its variables have no values: ")
    add(graph_def, "w", op)  # damage is seen all the same
    write(graph_def, path)
    with pytest.raises(InputError, match="is damaged: two nodes are called 'w'"):
        open_model(path)


def test_graphs_are_checked_without_a_file() -> None:
    graph_def = inception_like()
    add(graph_def, "w", "VariableV2")
    check_graph(graph_def, "memory")
    add(graph_def, "b", "Relu", ["a"])
    add(graph_def, "a", "Relu", ["b"])
    with pytest.raises(InputError) as error:
        check_graph(graph_def, "memory")
    assert str(error.value) == "memory is damaged: its nodes form a cycle: b → a → b."


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "graph.pb"


def read_or_refuse(path: Path, content: bytes) -> str | None:
    path.write_bytes(content)
    try:
        read_graph_def(path)
    except InputError as error:
        return str(error)
    return None


def ends_of_nodes() -> set[int]:
    graph_def, ends = schema.GraphDef(), set()
    for node in TINY.node:
        graph_def.node.add().CopyFrom(node)
        ends.add(len(graph_def.SerializeToString()))
    return ends


ENDS = ends_of_nodes()


@settings(deadline=None)
@given(cut=st.integers(0, len(DATA) - 1) | st.sampled_from(sorted(ENDS)))
def test_a_cut_file_is_refused_unless_it_is_a_smaller_graph(scratch: Path, cut: int) -> None:
    message = read_or_refuse(scratch, DATA[:cut])
    if cut in ENDS:  # the nodes before are complete, and only take what is there
        assert message is None
    else:
        assert message is not None
        expected = "is empty" if not cut else "is cut off" if cut > min(ENDS) else "is not a"
        assert message.startswith(f"{scratch} {expected}")


@settings(deadline=None)
@given(cut=st.integers(1, len(DATA) - 1))
def test_a_cut_file_in_another_order_is_always_refused(scratch: Path, cut: int) -> None:
    data = reverse_nodes(TINY).SerializeToString()
    message = read_or_refuse(scratch, data[:cut])
    versions = len(data) - TINY.versions.ByteSize() - 2
    assert message is not None or cut == versions


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(scratch: Path, content: bytes) -> None:
    assert read_or_refuse(scratch, content) is not None


# The same bytes each time: should TensorFlow abort on one, the whole run would end.
@settings(deadline=None, derandomize=True)
@given(position=st.integers(0, len(DATA) - 1), byte=st.integers(0, 255))
def test_a_wrong_byte_is_no_crash(scratch: Path, position: int, byte: int) -> None:
    content = DATA[:position] + bytes([byte]) + DATA[position + 1 :]
    if read_or_refuse(scratch, content) is None:
        list_tensors(read_graph_def(scratch))
        with contextlib.suppress(InputError):
            load_graph(str(scratch))


@settings(deadline=None)
@given(content=st.text(max_size=80))
def test_random_text_is_refused(scratch: Path, content: str) -> None:
    assert read_or_refuse(scratch, f"node {{ {content}".encode()) is not None


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_loading_does_not_add_attributes(tmp_path: Path, make: Callable[[], Any]) -> None:
    graph_def = make()
    frozen = load_graph(str(write(graph_def, tmp_path / "g.pb")))
    assert frozen.graph_def.SerializeToString(deterministic=True) == (
        graph_def.SerializeToString(deterministic=True)
    )
