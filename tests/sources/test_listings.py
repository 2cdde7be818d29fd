"""TensorFlow Lite models and checkpoints, against TensorFlow's own readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.open import open_model

from .corpus import SIZE, Module, Written


def test_tflite_tensors_are_those_of_the_interpreter(keras_files: Mapping[str, Path]) -> None:
    opened = open_model(keras_files["tflite"])
    interpreter = tf.lite.Interpreter(str(keras_files["tflite"]))
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    for index, tensor in enumerate(opened.own_tensors):
        assert tensor.name == details[index]["name"]
        assert tensor.dtype == np.dtype(details[index]["dtype"]).name
        signature = details[index]["shape_signature"]
        assert [-1 if d is None else d for d in tensor.shape or ()] == list(signature)
    ops = {d["index"]: d["op_name"] for d in interpreter._get_ops_details()}
    assert {t.op for t in opened.own_tensors} - {"Input", "Const"} == set(ops.values()) - {
        "DELEGATE"
    }
    stated = interpreter.get_signature_list()["serving_default"]
    signature = opened.signatures["serving_default"]
    assert list(signature.inputs) == stated["inputs"]
    assert list(signature.outputs) == stated["outputs"]
    assert next(iter(signature.inputs.values())).shape == (None, SIZE, SIZE, 3)


def test_checkpoint_of_objects(tmp_path: Path) -> None:
    module = Module()
    prefix = tf.train.Checkpoint(network=module).save(str(tmp_path / "ckpt"))
    opened = open_model(prefix)
    assert opened.description == "checkpoint of TensorFlow 2 objects"
    key = "network/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    assert {v.name: (v.dtype, v.shape) for v in opened.variables}[key] == ("float32", (3, 4))
    assert np.array_equal(opened.value(key), module.kernel.numpy())
    with pytest.raises(InputError, match=r"has variables but no graph; pass the \.meta file"):
        opened.freeze()


@pytest.mark.parametrize("name", ["training", "training_v1"])
def test_checkpoint_of_an_unknown_network(name: str, request: pytest.FixtureRequest) -> None:
    written: Written = request.getfixturevalue(name)
    prefix = written.path.with_suffix("")
    opened = open_model(prefix)
    reader: Any = tf.train.load_checkpoint(str(prefix))
    assert {v.name: list(v.shape or ()) for v in opened.variables} == (
        reader.get_variable_to_shape_map()
    )
    assert np.array_equal(opened.value("net/conv/weights"), reader.get_tensor("net/conv/weights"))
    assert opened.details["graph"] == "model.ckpt.meta"


def test_a_slim_network_is_named(tmp_path: Path) -> None:
    from tests.slim.golden import expected_variables

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, shape in expected_variables("mobilenet_v1", 5, 0.25).items():
            v1.get_variable(name, shape)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "m"), write_meta_graph=False)
    opened = open_model(tmp_path)
    assert opened.slim_network == "mobilenet_v1"
    assert opened.description == "checkpoint of slim's mobilenet_v1"
    assert opened.can_freeze


def test_a_checkpoint_without_its_data(training: Written, tmp_path: Path) -> None:
    index = training.path.with_suffix(".index")
    (tmp_path / "m.index").write_bytes(index.read_bytes())
    with pytest.raises(InputError, match="cannot be read"):
        opened = open_model(tmp_path / "m")
        opened.value("net/conv/weights")
