"""Keras files of both generations that hold or name code: none of it is run.

Each file would make a file `ran` if it were.
"""

from __future__ import annotations

import base64
import json
import marshal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest

from retrain_tools.errors import InputError
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.keras_names import only_computes
from retrain_tools.sources.readers.keras_safety import refuse_foreign_code

Config = Mapping[str, Any]
VERSIONS = ("2.12.0", "3.15.1")
ENDINGS = (".h5", ".keras")


def marshalled(ran: Path) -> str:
    """A function that makes a file, as Keras stores the code of a lambda."""
    made = compile(f"lambda x: [open({str(ran)!r}, 'w').close(), x][1]", "it", "eval")
    code = next(constant for constant in made.co_consts if hasattr(constant, "co_code"))
    return base64.b64encode(marshal.dumps(code)).decode()


def layer(kind: str, config: Config, **more: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": "hidden", "trainable": True, **config}, **more}


def lambda_layer(ran: Path) -> dict[str, Any]:
    """Keras 2's, as it stands in HDF5 files; the same in `.keras` files of 2.12."""
    return layer(
        "Lambda",
        {
            "function": [marshalled(ran), None, None],
            "function_type": "lambda",
            "module": "__main__",
            "output_shape": None,
            "output_shape_type": "raw",
            "output_shape_module": None,
            "arguments": {},
        },
        module="keras.layers",
        registered_name=None,
    )


def lambda_object(ran: Path) -> dict[str, Any]:
    value = {"code": marshalled(ran), "defaults": None, "closure": None}
    return {"class_name": "__lambda__", "config": {"value": value}}


def hidings(ran: Path) -> Mapping[str, tuple[dict[str, Any], str]]:
    """Layers with code in them, by where it is; and what the message says."""
    plain = {"units": 2, "activation": "linear"}
    code, thing = lambda_layer(ran), lambda_object(ran)
    cell = {"cell": layer("SimpleRNNCell", {"units": 2})}
    wrapped = {"residual_fn": [marshalled(ran), None, None], "residual_fn_type": "lambda", **cell}
    inner = {"name": "inner", "layers": [layer("Flatten", {}), code]}
    outer = "keras.src.layers.core.lambda_layer"
    lambda_text = "has a Lambda layer"
    return {
        "plain": (code, lambda_text),
        "activation": (layer("Dense", {**plain, "activation": thing}), lambda_text),
        "initializer": (layer("Dense", {**plain, "kernel_initializer": thing}), lambda_text),
        "wrapped": (layer("TimeDistributed", {"layer": code}), lambda_text),
        "backward layer": (
            layer("Bidirectional", {"layer": layer("LSTM", {"units": 2}), "backward_layer": code}),
            lambda_text,
        ),
        "nested": (layer("Sequential", inner), lambda_text),
        "loss of an inner model": (
            {**layer("Sequential", {"layers": []}), "compile_config": {"loss": thing}},
            lambda_text,
        ),
        "by its other name": (
            layer("Dense", plain, module=outer, registered_name="Lambda"),
            lambda_text,
        ),
        "residual function": (
            layer("RNN", {"cell": layer("ResidualWrapper", wrapped)}),
            "needs 'ResidualWrapper' 'hidden' of its own program, which is not part of Keras",
        ),
        "package": (layer("Mine>Dense", plain), "needs 'Mine>Dense' 'hidden' of its own program"),
        "foreign module": (
            layer("system", plain, module="os", registered_name=None),
            "needs 'system' 'hidden' of os, which is not part of Keras and not in the file",
        ),
        "function": (
            layer(
                "Dense",
                {
                    "activation": {
                        "class_name": "function",
                        "module": "keras.utils",
                        "config": "get_file",
                        "registered_name": "get_file",
                    }
                },
            ),
            "needs 'get_file' of keras.utils, which is not part of Keras",
        ),
        "no name": (layer(["Dense"], plain), "the class of its layer 'hidden' is no name"),  # type: ignore[arg-type]
        "words": (
            layer("StringLookup", {"vocabulary": "/etc/passwd"}),
            "reads the words of its layer 'hidden' from '/etc/passwd', a file of this computer",
        ),
    }


HIDINGS = list(hidings(Path("ran")))


def write(path: Path, hidden: Config, version: str) -> Path:
    """A model's file with a layer in it, without weights: code runs before they are read."""
    shape = "batch_shape" if version[0] == "3" else "batch_input_shape"
    start = {"class_name": "InputLayer", "config": {"name": "x", shape: [None, 3]}}
    start |= {"module": "keras.layers", "registered_name": None}
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [start, hidden]}}
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = version, "tensorflow"
            file.attrs["model_config"] = json.dumps(config)
            file.create_group("model_weights").attrs["layer_names"] = []
        return path
    config = {**config, "module": "keras", "registered_name": None}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": version}))
    with h5py.File(path.with_name("weights.h5"), "w"):
        pass
    with zipfile.ZipFile(path, "a") as file:
        file.write(path.with_name("weights.h5"), "model.weights.h5")
    return path


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("version", VERSIONS)
def test_code_is_refused_and_not_run(
    hiding: str, ending: str, version: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    hidden, said = hidings(ran)[hiding]
    opened = open_model(write(tmp_path / f"model{ending}", hidden, version))
    with pytest.raises(InputError) as error:
        opened.freeze()
    if not (hiding == "residual function" and version[0] == "3"):
        assert said in str(error.value)
    assert not ran.exists()


def test_the_hostile_file_is_one_that_keras_2_runs(tmp_path: Path) -> None:
    """So that the test above tests something."""
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    path = write(tmp_path / "model.h5", lambda_layer(tmp_path / "ran"), "2.12.0")
    tf_keras.models.load_model(path, compile=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_keras_is_imported_for_a_refusal(version: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.h5", lambda_layer(tmp_path / "ran"), version)
    program = (
        "import sys\n"
        "from retrain_tools import freeze_graph\n"
        "import atexit\n"
        "names = {'keras', 'tf_keras', 'tensorflow.python.tf2'}\n"
        "atexit.register(lambda: print(sorted(names & set(sys.modules))))\n"
        "freeze_graph.script()\n"
    )
    flags = [f"--graph={path}", f"--output={tmp_path / 'graph.pb'}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert done.stderr.startswith(f"error: {path} has a Lambda layer 'hidden': a program stored")
    assert done.stderr.count("\n") == 1


def op(kind: str, function: Any) -> Config:
    return layer(kind, {"node_def" if kind == "TensorFlowOpLayer" else "function": function})


@pytest.mark.parametrize(
    ("kind", "function", "called"),
    [
        ("TFOpLambda", "py_function", "py_function"),
        ("TFOpLambda", "numpy_function", "numpy_function"),
        ("TFOpLambda", "compat.v1.py_func", "compat.v1.py_func"),
        ("TFOpLambda", "io.write_file", "io.write_file"),
        ("TFOpLambda", "io.gfile.rmtree", "io.gfile.rmtree"),
        ("TFOpLambda", "raw_ops.WriteFile", "raw_ops.WriteFile"),
        ("TFOpLambda", "keras.models.load_model", "keras.models.load_model"),
        ("SlicingOpLambda", "saved_model.load", "saved_model.load"),
        ("TFOpLambda", ["math", "add"], ["math", "add"]),
        ("TensorFlowOpLayer", {"op": "WriteFile"}, "WriteFile"),
        ("TensorFlowOpLayer", "\n\x01a\x12\x08ReadFile", "ReadFile"),
        ("TensorFlowOpLayer", "no node", None),
    ],
)
def test_functions_that_do_more_than_compute(kind: str, function: Any, called: Any) -> None:
    with pytest.raises(InputError) as error:
        refuse_foreign_code(op(kind, function), "m.h5", 2)
    assert str(error.value) == (
        f"m.h5 has a {kind} 'hidden' that calls {called!r} of TensorFlow, which is not among the "
        "functions that are known to do nothing but compute. Export it as a SavedModel "
        "(model.export) with the program that made it, and pass that."
    )


@pytest.mark.parametrize("kind", ["InstanceMethod", "ClassMethod", "DenseFeatures", "TypeSpec"])
def test_layers_that_name_methods_and_files(kind: str) -> None:
    with pytest.raises(InputError, match=f"m.h5 needs '{kind}' 'hidden' of its own program"):
        refuse_foreign_code(layer(kind, {}), "m.h5", 2)


@pytest.mark.parametrize("kind", ["FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"])
def test_programs_of_other_libraries(kind: str) -> None:
    with pytest.raises(InputError, match=f"has a {kind} 'hidden', which runs a program of another"):
        refuse_foreign_code(layer(kind, {}, module="keras.layers"), "m.keras", 3)


def test_functions_that_only_compute_are_let_through() -> None:
    for name in ("math.truediv", "nn.relu6", "__operators__.getitem", "compat.v1.transpose"):
        assert only_computes(name)
    assert only_computes("keras.backend.mean") and not only_computes("keras.backend.function")
    assert not only_computes("nn.fixed_unigram_candidate_sampler")
    refuse_foreign_code(op("TensorFlowOpLayer", {"op": "RealDiv"}), "m.h5", 2)
    refuse_foreign_code(op("TensorFlowOpLayer", "\n\x01a\x12\x07RealDiv"), "m.h5", 2)


def test_every_layer_of_keras_2_is_known_or_left_out_on_purpose() -> None:
    pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    from tf_keras.src.layers import serialization

    from retrain_tools.sources.readers.keras_names import KERAS_2

    serialization.populate_deserializable_objects()
    left_out = set(serialization.LOCAL.ALL_OBJECTS) - KERAS_2
    assert left_out == {
        *("ClassMethod", "InstanceMethod", "InstanceProperty", "Lambda"),
        *("DeviceWrapper", "DropoutWrapper", "ResidualWrapper", "_RNNCellWrapper"),
        *("DenseFeatures", "LinearModel", "SequenceFeatures", "WideDeepModel"),
        *("BaseRandomLayer", "BatchNormalizationBase", "Input", "InputSpec", "Wrapper"),
    }
