"""The schema and the ops that are shipped, against the TensorFlow that runs the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from retrain_tools.graphdef import ops, schema
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import (
    NEAR_REAL,
    empty_graph,
    inception_like,
    pixels_graph,
    real,
    theirs as in_theirs,
)

ROOT = Path(__file__).resolve().parents[2]
READ = (
    "from retrain_tools.graphdef import schema\n"
    "mine = schema.GraphDef.FromString(data); assert mine.node[0].name == 'x', mine\n"
)
IMPORT = (
    "import tensorflow as tf\n"
    "theirs = tf.compat.v1.GraphDef.FromString(data); assert theirs.node[0].name == 'x'\n"
    "assert tf.constant([1, 2]).shape == (2,)\n"
)


@pytest.mark.parametrize("code", [READ + IMPORT + READ, IMPORT + READ + IMPORT])
def test_tensorflow_can_be_imported_before_and_after(code: str) -> None:
    graph_def = empty_graph()
    graph_def.node.add(name="x", op="NoOp")
    start = f"data = {graph_def.SerializeToString()!r}\n"
    command = [sys.executable, "-c", start + code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_a_graph_is_the_same_in_both_classes(make: object) -> None:
    theirs = in_theirs(make())  # type: ignore[operator]
    data = theirs.SerializeToString(deterministic=True)
    mine = schema.GraphDef.FromString(data)
    assert mine.SerializeToString(deterministic=True) == data
    assert not isinstance(mine, type(theirs))
    text = text_format.MessageToString(theirs)
    assert text_format.Parse(text, schema.GraphDef()) == mine
    assert text_format.MessageToString(mine) == text


def test_the_real_graph_is_the_same_in_both_classes() -> None:
    data = real(NEAR_REAL).read_bytes()
    mine = schema.GraphDef.FromString(data)
    theirs = tf.compat.v1.GraphDef.FromString(data)
    assert [node.name for node in mine.node] == [node.name for node in theirs.node]
    assert mine.ByteSize() == theirs.ByteSize()


def fields(descriptor: object, seen: dict[str, dict[str, tuple[int, int]]]) -> None:
    """All messages reachable from one, with number and type of each of their fields."""
    name = descriptor.full_name  # type: ignore[attr-defined]
    if name in seen:
        return
    seen[name] = {f.name: (f.number, f.type) for f in descriptor.fields}  # type: ignore[attr-defined]
    for field in descriptor.fields:  # type: ignore[attr-defined]
        if field.message_type is not None:
            fields(field.message_type, seen)


def test_every_field_of_the_installed_tensorflow_is_in_the_schema() -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    mine: dict[str, dict[str, tuple[int, int]]] = {}
    theirs: dict[str, dict[str, tuple[int, int]]] = {}
    fields(schema.SavedModel.DESCRIPTOR, mine)
    fields(saved_model_pb2.SavedModel.DESCRIPTOR, theirs)
    for name, wanted in theirs.items():  # an older TensorFlow has fewer
        assert wanted.items() <= mine[name].items()
    assert {"tensorflow.NodeDef", "tensorflow.SavedObjectGraph"} <= set(mine)


def test_the_ops_are_those_of_the_installed_tensorflow() -> None:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    tf.constant(0)
    buffer = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    theirs = {op.name: op for op in op_def_pb2.OpList.FromString(buffer).op}
    mine = ops.registry()
    assert len(mine) > 1500
    shared = [op for name, op in theirs.items() if name in mine]
    assert len(shared) > 0.98 * len(theirs)
    for op in shared:
        here = mine[op.name]
        assert {a.name for a in op.attr} <= {a.name for a in here.attr}
        assert here.deprecation.version == op.deprecation.version
        assert [a.name for a in here.input_arg] == [a.name for a in op.input_arg]
        if len(op.attr) < len(here.attr):  # an older TensorFlow's, before more types were allowed
            assert not tf.__version__.startswith("2.21.")
            continue
        assert [a.type_attr for a in here.output_arg] == [a.type_attr for a in op.output_arg]
        assert [a.number_attr for a in here.output_arg] == [a.number_attr for a in op.output_arg]


def test_the_generator_writes_the_files_that_are_shipped(tmp_path: Path) -> None:
    if not tf.__version__.startswith("2.21."):
        pytest.skip("the shipped files come from TensorFlow 2.21")
    command = [sys.executable, "tools/make_schema.py", "--output_dir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    for name in ("schema.binpb", "ops.binpb"):
        assert (tmp_path / name).read_bytes() == (schema.DATA / name).read_bytes()


def test_deprecated_ops_say_since_when() -> None:
    version, advice = ops.deprecation("BatchNormWithGlobalNormalization") or (0, "")
    assert version == 9
    assert advice == "Use tf.nn.batch_normalization()"
    assert ops.deprecation("Conv2D") is None
    assert ops.deprecation("NoSuchOp") is None
