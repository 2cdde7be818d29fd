"""Keras 1 and 2: told by name, opened by the right Keras or by none; real files of others."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.keras_library import generation_of, reason_of

from .corpus import real

KERAS_1 = Path(__file__).with_name("keras_files") / "keras-1.2.2.zip"
RELEASE = ".".join(tf.__version__.split(".")[:2])
CONVERTED = (
    "load it with Keras 2.2 (pip install 'keras==2.2.5' 'tensorflow<2' 'h5py<3' in Python 3.7), "
    "which translates it, save it again, and pass that."
)


def old_file(path: Path, version: str | None, *layers: Mapping[str, Any], **more: Any) -> Path:
    """A whole model's HDF5 file without weights."""
    config = {"class_name": "Sequential", "config": list(layers)}
    with h5py.File(path, "w") as file:
        file.attrs.update({"model_config": json.dumps(config), **more})
        if version is not None:
            file.attrs["keras_version"] = version
        file.create_group("model_weights").attrs["layer_names"] = []
    return path


def file_of_keras_2(path: Path) -> Path:
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    layers = [tf_keras.Input((3,)), tf_keras.layers.Dense(2, name="last")]
    tf_keras.Sequential(layers).save(path)
    return path


def dense(**config: Any) -> dict[str, Any]:
    made = {"name": "dense", "batch_input_shape": [None, 3], **config}
    return {"class_name": "Dense", "config": made}


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_files_of_keras_1_are_named_and_refused(backend: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(KERAS_1) as archive:
        path = Path(archive.extract(f"{backend}.h5", tmp_path))
    opened = open_model(path)
    assert (opened.description, opened.details["written by Keras"]) == (
        "Keras 1 model (HDF5)",
        "1.2.2",
    )
    assert "convolution2d_1 (Convolution2D)" in opened.details["layers"]
    with pytest.raises(InputError) as error:
        opened.freeze()
    assert str(error.value) == (
        f"{path} cannot be frozen: the layers of Keras 1 have other arguments, and often kernels "
        f"in another order, than those of any Keras that runs on this TensorFlow; {CONVERTED}"
    )


def test_files_without_a_version_go_by_their_layers(tmp_path: Path) -> None:
    """Keras 3 always writes its version, so these are older."""
    one = open_model(old_file(tmp_path / "1.h5", None, dense(output_dim=2)))
    assert (one.description, "written by Keras" in one.details) == ("Keras 1 model (HDF5)", False)
    path = file_of_keras_2(tmp_path / "2.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs["keras_version"]
    assert list(open_model(path).freeze().outputs) == ["last"]


@pytest.mark.parametrize(
    ("version", "layer", "generation"),
    [
        ("0.3.3", dense(units=2), 1),
        ("1.2.2", dense(output_dim=2), 1),
        ("2.2.4-tf", dense(units=2), 2),
        ("2.15.0", dense(units=2), 2),
        ("3.0.0.dev2023", dense(units=2), 3),
        ("4.1", dense(units=2), 3),
        (None, dense(units=2), 2),
        (None, {"class_name": "Embedding", "config": {"output_dim": 2}}, 2),
        (None, {"class_name": "Embedding", "config": {"output_dim": 2, "init": "uniform"}}, 2),
        (None, {"class_name": "Convolution2D", "config": {"nb_filter": 2}}, 1),
    ],
)
def test_the_generation_of_a_file(
    version: str | None, layer: Mapping[str, Any], generation: int
) -> None:
    assert generation_of(version, {"class_name": "Model", "config": [layer]}, "it") == generation


@pytest.mark.parametrize("channels", ["first", "last"])
def test_a_model_that_ran_on_theano_gives_what_it_gave_there(channels: str, tmp_path: Path) -> None:
    """Recorded by tools/record_theano_files.py, with Keras 2.2.5 on Theano 1.0.5."""
    pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    with zipfile.ZipFile(KERAS_1.with_name("theano-2.2.5.zip")) as archive:
        path = Path(archive.extract(f"{channels}_model.h5", tmp_path))
        numbers = np.load(io.BytesIO(archive.read("numbers.npz")))
    result = frozen_and_run(path, numbers[f"{channels}/input"])
    np.testing.assert_allclose(result, numbers[f"{channels}/output"], rtol=0, atol=1e-6)


PADS = (
    "pads images on other sides than on TensorFlow (padding 'same' with strides, even kernels or "
    "pooling)"
)
KERNELS = "has kernels in an order that is known of two-dimensional convolutions only"


@pytest.mark.parametrize(
    ("kind", "held", "differs"),
    [
        ("Conv2D", {"padding": "same", "kernel_size": [3, 3], "strides": [2, 2]}, PADS),
        ("Conv2D", {"padding": "same", "kernel_size": [3, 2], "strides": [1, 1]}, PADS),
        ("Conv2D", {"padding": "same", "kernel_size": [3, 5], "strides": [1, 1]}, None),
        ("Conv2D", {"padding": "valid", "kernel_size": [2, 2], "strides": [2, 2]}, None),
        ("Conv2DTranspose", {"padding": "same", "kernel_size": [3, 3]}, PADS),
        ("MaxPooling2D", {"padding": "same", "pool_size": [3, 3]}, PADS),
        ("AveragePooling2D", {"padding": "valid", "pool_size": [3, 3]}, None),
        ("ConvLSTM2D", {}, KERNELS),
        ("Conv1D", {}, KERNELS),
        ("Dense", {"units": 2}, None),
    ],
)
def test_what_theano_computed_otherwise_is_refused(
    kind: str, held: Mapping[str, Any], differs: str | None, tmp_path: Path
) -> None:
    layer = {"class_name": kind, "config": {"name": "one", **held}}
    opened = open_model(old_file(tmp_path / "m.h5", "2.0.8", layer, backend="theano"))
    assert opened.can_freeze is (differs is None)
    if differs is not None:
        with pytest.raises(InputError) as error:
            opened.freeze()
        assert str(error.value) == (
            f"{tmp_path / 'm.h5'} cannot be frozen: it ran on Theano, and its layer 'one' ({kind}) "
            f"{differs}; run it with Keras 2.2 on Theano (pip install 'keras==2.2.5' "
            "'theano==1.0.5' 'h5py<3' in Python 3.7)."
        )
    assert open_model(old_file(tmp_path / "t.h5", "2.0.8", layer, backend="tensorflow")).can_freeze


# Which Keras


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_without_tf_keras_one_line_names_the_release(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}
    if path.suffix == ".h5":
        old_file(path, "2.12.0", dense(units=2))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("metadata.json", json.dumps({"keras_version": "2.12.0"}))
    program = (
        "import sys; sys.modules['tf_keras'] = None\n"
        "from retrain_tools import freeze_graph; freeze_graph.script()"
    )
    flags = [f"--graph={path}", f"--output={tmp_path / 'graph.pb'}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *flags], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {path} is of Keras 2.12.0, which is opened with tf_keras {RELEASE}, and it is not "
        f"installed: pip install 'tf_keras=={RELEASE}.*'\n"
    )
    assert not (tmp_path / "graph.pb").exists()


def test_a_tf_keras_for_another_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    monkeypatch.setattr(tf_keras, "__version__", "2.16.0")
    with pytest.raises(InputError) as error:
        open_model(old_file(tmp_path / "m.h5", "2.1.3", dense(units=2))).freeze()
    assert "and tf_keras 2.16.0 is here, for another TensorFlow: pip install 'tf_" in str(
        error.value
    )


def test_each_generation_is_opened_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the Keras of the other generation")

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "3.keras")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "3.h5")
    for name in ("2.keras", "2.h5"):
        file_of_keras_2(tmp_path / name)
    import tf_keras

    for name, other in (("3", tf_keras), ("2", keras)):
        with monkeypatch.context() as patched:
            patched.setattr(other.saving, "load_model", never)
            for ending in ("keras", "h5"):
                frozen = open_model(tmp_path / f"{name}.{ending}").freeze()
                assert any(node.op == "MatMul" for node in frozen.graph_def.node)


def test_nothing_is_printed_by_either_keras(tmp_path: Path) -> None:
    path = file_of_keras_2(tmp_path / "model.h5")
    done = subprocess.run(
        [sys.executable, "-m", "retrain_tools.freeze_graph", f"--graph={path}", "--output=g.pb"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "/BiasAdd:0 out" in done.stdout


# Messages


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Unknown layer: 'Mine'. Please ensure you are using a `keras.utils.custom_object_scope`"
            " and that this object is included in the scope. See https://x for details.",
            "Unknown layer: 'Mine'",
        ),
        (
            "Object arrays cannot be loaded when allow_pickle=False",
            "Object arrays cannot be loaded",
        ),
        (
            "Error when deserializing class 'Attention' using config={'a': 1}.\n\n"
            "Exception encountered: Invalid value for argument score_mode. Expected 'dot'.",
            "Invalid value for argument score_mode. Expected 'dot'",
        ),
        (
            "Exception encountered when calling layer 'd' (type Dense).\n\nDimensions must be "
            "equal, but are 3 and 120 for '{{node d/MatMul}} = MatMul[T=DT_FLOAT](a, b)' with input"
            " shapes: [?,3], [120,2].\n\nCall arguments received by layer 'd' (type Dense):\n  • x",
            "Exception encountered when calling layer 'd' (type Dense). Dimensions must be equal, "
            "but are 3 and 120 for '{{node d/MatMul}} = MatMul[T=DT_FLOAT](a, b)' with input "
            "shapes: [?,3], [120,2]",
        ),
        ("", "ValueError"),
    ],
)
def test_what_keras_says_is_one_line_without_its_advice(message: str, said: str) -> None:
    assert reason_of(ValueError(message)) == said


def test_what_is_missing_from_a_description_is_told() -> None:
    lacks = "its description lacks 'query_shape', which this Keras looks for"
    assert reason_of(KeyError("query_shape")) == lacks


def test_a_layer_that_keras_cannot_build(tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    path = old_file(tmp_path / "m.h5", "2.2.4", dense(units=2, colour="red"))
    with pytest.raises(InputError) as error:
        open_model(path).freeze()
    assert str(error.value) == (
        f"tf_keras {tf_keras.__version__} cannot open {path}: ('Keyword argument not "
        "understood:', 'colour'). Export it as a SavedModel (model.export, or "
        "tf.saved_model.save) with the Keras that made it, and pass that."
    )


# Files of others


def frozen_and_run(path: Path, fed: Any) -> Any:
    frozen = open_model(path).freeze()
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        theirs = tf.compat.v1.GraphDef.FromString(frozen.graph_def.SerializeToString())
        tf.compat.v1.import_graph_def(theirs, name="")
        (result,) = session.run(
            list(frozen.outputs.values()), {next(iter(frozen.inputs.values())): fed}
        )
    return result


def test_an_old_lstm_gives_its_recorded_predictions() -> None:
    start = "wild/simple_flatten_lstm_tf_keras_2"
    with h5py.File(real(f"{start}_inputs_and_outputs.h5")) as file:
        fed, expected = file["inputs/lstm_1_input"][()], file["predictions/dense_1"][()]
    result = frozen_and_run(real(f"{start}_model.h5"), fed)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["rnn_238", "rnn_145", "cnn2d_53"])
def test_old_files_give_what_tensorflow_2_12_gives(name: str) -> None:
    """What it gave is in wild-2.12.npz: `predict` of the loaded model on random inputs."""
    numbers = np.load(Path(__file__).with_name("keras_files") / "wild-2.12.npz")
    result = frozen_and_run(real(f"wild/{name}.h5"), numbers[f"{name}/input"])
    np.testing.assert_allclose(result, numbers[f"{name}/output"], rtol=0, atol=1e-5)
