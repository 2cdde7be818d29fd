"""TensorFlow Lite models of our own, and what `tf.lite.Interpreter` says of them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import networkx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tensorflow.lite.python import schema_py_generated as schema

from retrain_tools.errors import InputError
from retrain_tools.listing.choose import Filters, Kinds, chosen, of_kind
from retrain_tools.listing.wiring import wiring_of
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.model import Model
from retrain_tools.sources.open import open_model
from tests.graphdef.tiny_graphs import real

ROOT = Path(__file__).resolve().parents[2]


class Two(tf.Module):
    """Two signatures, one of them with a loop and a conditional."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def encode(self, x: Any) -> dict[str, Any]:
        return {"zb": tf.matmul(x, self.kernel), "a": x + 1}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, name="y"),
            tf.TensorSpec([], tf.int32, name="a_n"),
        ]
    )
    def decode(self, y: Any, a_n: Any) -> dict[str, Any]:
        _, y = tf.while_loop(lambda i, _: i < a_n, lambda i, y: (i + 1, y * 2), [0, y])
        return {"out": tf.cond(a_n > 3, lambda: y + 1, lambda: y - 1)}


def two_signatures(folder: Path) -> Any:
    module = Two()
    signatures = {"encode": module.encode, "decode": module.decode}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(signatures))


def quantised(_: Path) -> Any:
    net = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3), batch_size=1),
            tf.keras.layers.Conv2D(4, 3, activation="relu"),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(2, activation="softmax"),
        ]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    random = np.random.default_rng(0)
    converter.representative_dataset = lambda: (
        [random.random((1, 8, 8, 3), np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter


def recurrent(_: Path) -> Any:
    """An LSTM has variable tensors, and inputs of its operator that are left out."""
    net = tf.keras.Sequential([tf.keras.Input((5, 3), batch_size=1), tf.keras.layers.LSTM(4)])
    return tf.lite.TFLiteConverter.from_keras_model(net)


@pytest.fixture(scope="module", params=[two_signatures, quantised, recurrent])
def lite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Any] = request.param
    folder = tmp_path_factory.mktemp(make.__name__)
    path = folder / f"{make.__name__}.tflite"
    path.write_bytes(make(folder / "model").convert())
    return path


def interpreter_of(path: Path) -> Any:
    return tf.lite.Interpreter(
        str(path),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


def listed(model: Model, **asked: Any) -> list[str]:
    kinds = {key: asked.pop(key) for key in ("inputs", "outputs") if key in asked}
    graph, tensors = model.own_graph, model.all_tensors
    found, _ = of_kind(graph, tensors, Kinds(**kinds), model.path)
    return [t.name for t in chosen(graph, found, Filters(**asked), tensors, model.path)]


def test_inputs_outputs_and_signatures_are_the_interpreters(lite: Path) -> None:
    model, interpreter = open_model(lite), interpreter_of(lite)
    by_name = {tensor.name: tensor for tensor in model.own_tensors}
    for side, details in (
        ("inputs", interpreter.get_input_details()),
        ("outputs", interpreter.get_output_details()),
    ):
        names = listed(model, **{side: True})
        assert names == [detail["name"] for detail in details]
        for name, detail in zip(names, details, strict=True):
            assert by_name[name].dtype == np.dtype(detail["dtype"]).name
            shape = by_name[name].shape or ()
            assert [-1 if d is None else d for d in shape] == list(detail["shape_signature"])
    stated = interpreter.get_signature_list()
    assert {
        key: {"inputs": list(ends.inputs), "outputs": list(ends.outputs)}
        for key, ends in model.signatures.items()
    } == stated


def test_the_ends_of_signatures_are_the_tensors_that_their_runners_use(lite: Path) -> None:
    model, interpreter = open_model(lite), interpreter_of(lite)
    interpreter.allocate_tensors()
    for key, signature in model.signatures.items():
        runner = interpreter.get_signature_runner(key)
        for mine, theirs in (
            (signature.inputs, runner.get_input_details()),
            (signature.outputs, runner.get_output_details()),
        ):
            assert set(mine) == set(theirs)
            for end, detail in theirs.items():
                assert mine[end].name.endswith(detail["name"])
                assert mine[end].dtype == np.dtype(detail["dtype"]).name


def test_consumers_and_walks_follow_the_interpreters_operators(lite: Path) -> None:
    model, interpreter = open_model(lite), interpreter_of(lite)
    names = {d["index"]: d["name"] for d in interpreter.get_tensor_details() if d["name"]}
    graph = networkx.DiGraph()
    consumers: dict[str, list[str]] = {}
    for operator in interpreter._get_ops_details():
        taken = dict.fromkeys(names[int(i)] for i in operator["inputs"] if int(i) in names)
        made = [names[int(i)] for i in operator["outputs"]]
        graph.add_edges_from((source, target) for source in taken for target in made)
        for source in taken:
            consumers.setdefault(source, []).append(made[0])
    main = set(names.values())
    assert model.own_graph is not None
    mine = wiring_of(model.own_graph).consumers
    assert {name: list(mine[name]) for name in mine if name in main} == consumers
    start, end = listed(model, inputs=True)[-1], listed(model, outputs=True)[0]
    assert set(listed(model, upstream=[end])) == {end, *networkx.ancestors(graph, end)}
    assert set(listed(model, downstream=[start])) == {start, *networkx.descendants(graph, start)}
    path = listed(model, path=[start, end])
    assert len(path) == networkx.shortest_path_length(graph, start, end) + 1
    assert all(graph.has_edge(*edge) for edge in itertools.pairwise(path))


def test_a_real_model_as_the_script_prints_it() -> None:
    path = real("wild/sine_float.tflite")
    start, end = "serving_default_dense_input:0", "StatefulPartitionedCall:0"
    command = [sys.executable, "-m", "retrain_tools.list_tensors", f"--graph={path}"]

    def run(*flags: str) -> Any:
        done = subprocess.run([*command, *flags], capture_output=True, text=True, cwd=ROOT)
        return done.stdout or done.stderr

    assert run("--inputs", "--format=names") == f"{start}\n"
    assert run("--outputs", "--format=names") == f"{end}\n"
    steps = json.loads(run(f"--path={start},StatefulPartitionedCall", "--format=json"))
    assert [step["name"] for step in steps[:1] + steps[-1:]] == [start, end]
    assert [step["consumers"] for step in steps] == [*([s["name"]] for s in steps[1:]), []]
    assert run("--downstream=Dense") == (
        f"error: No tensor 'Dense' in {path} (10 tensors). List them: list_tensors --graph={path}\n"
    )
    assert f"Input        {start}  float32  [?, 1]\n" in run("--summary")
    assert json.loads(run("--summary", "--format=json"))["outputs"] == [end]


def rewritten(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The model with something changed, through TensorFlow's own classes."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    change(model)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_model_without_names_and_signatures(tmp_path: Path) -> None:
    def strip(model: Any) -> None:
        model.signatureDefs = []
        for tensor in model.subgraphs[0].tensors:
            tensor.name = None

    path = tmp_path / "nameless.tflite"
    path.write_bytes(rewritten(real("wild/sine_float.tflite").read_bytes(), strip))
    model, interpreter = open_model(path), interpreter_of(path)
    assert interpreter.get_signature_list() == model.signatures == {}
    first, last = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    start, end = f"tensor {first['index']}", f"tensor {last['index']}"
    assert listed(model, inputs=True) == [start]
    assert listed(model, outputs=True) == [end]
    assert len(listed(model, path=[start, end])) == 4


def test_tensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    def rename(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b"same"

    path = tmp_path / "same.tflite"
    path.write_bytes(rewritten(real("wild/sine_float.tflite").read_bytes(), rename))
    model = open_model(path)
    names = [tensor.name for tensor in model.own_tensors]
    assert names == ["same", *(f"same (tensor {index} of 0)" for index in range(1, 10))]
    assert len(listed(model, upstream=listed(model, outputs=True))) == 10


def test_what_is_left_out_and_what_is_not_there(tmp_path: Path) -> None:
    data = real("wild/sine_float.tflite").read_bytes()

    def leave_out_the_bias(model: Any) -> None:
        operator = model.subgraphs[0].operators[0]
        operator.inputs = [*operator.inputs[:2], -1]

    path = tmp_path / "lite.tflite"
    path.write_bytes(rewritten(data, leave_out_the_bias))
    model = open_model(path)
    assert len(listed(model, upstream=listed(model, outputs=True))) == 9
    for wrong in (-2, 10):
        operands = [0, wrong]
        path.write_bytes(
            rewritten(data, lambda m: setattr(m.subgraphs[0].operators[0], "inputs", operands))  # noqa: B023
        )
        with pytest.raises(InputError, match="is a damaged or cut-off TensorFlow Lite model"):
            open_model(path)


def test_variables_are_told(lite: Path) -> None:
    data = schema.ModelT.InitFromObj(schema.Model.GetRootAs(lite.read_bytes(), 0))
    variables = [t.name.decode() for t in data.subgraphs[0].tensors if t.isVariable]
    assert [t.name for t in open_model(lite).own_tensors if t.op == "Variable"] == variables


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_model_is_refused_or_listed(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(real("wild/sine_float.tflite").read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(8, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.tflite"
    path.write_bytes(whole[: data.draw(st.integers(len(whole) // 2, len(whole)))])
    try:
        model = open_model(path)
    except InputError as error:
        assert "damaged or cut-off TensorFlow Lite model" in str(error)
        return
    if model.own_graph is not None:
        names = {tensor.name for tensor in model.own_tensors}
        assert {*listed(model, inputs=True), *listed(model, outputs=True)} <= names
        assert len(names) == len(model.own_tensors)
