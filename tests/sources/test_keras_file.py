"""Keras files of today: what is in them, and what they may not do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.sources.open import open_model
from retrain_tools.sources.readers.keras_config import parse_config
from retrain_tools.sources.readers.keras_safety import refuse_foreign_code

from .corpus import SIZE, close, keras_model, random_images, run


def sequential(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers])


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_lambda_layers_are_listed_and_never_run(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    sequential(keras.layers.Lambda(lambda x: x * 2.0, name="twice")).save(path)
    opened = open_model(path)
    assert "twice (Lambda)" in opened.details["layers"]
    with pytest.raises(InputError) as error:
        opened.freeze()
    assert "has a Lambda layer 'twice': a program stored in the file" in str(error.value)
    assert "pass that" in str(error.value)


@keras.saving.register_keras_serializable("mine")
class Doubling(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x * 2.0


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_layers_of_another_program(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    sequential(Doubling(name="own")).save(path)
    with pytest.raises(InputError, match=r"needs 'mine>Doubling' 'own' of .*not part of Keras"):
        open_model(path).freeze()


@pytest.mark.parametrize(
    "item",
    [
        {"module": "os", "class_name": "system", "config": "id", "registered_name": None},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"module": "keras.utils", "class_name": "function", "config": "get_file"},
        {"module": "keras.src.saving.saving_lib", "class_name": "function", "config": "load_model"},
        {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    ],
)
def test_descriptions_that_would_run_something_else(item: dict[str, Any]) -> None:
    inner = {"name": "m", "layers": [{"class_name": "Dense", "config": {"activation": item}}]}
    for generation in (2, 3):
        with pytest.raises(InputError, match=r"not part of Keras|Lambda"):
            refuse_foreign_code({"class_name": "Sequential", "config": inner}, "it", generation)


def test_plain_descriptions_are_let_through(keras_files: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(keras_files["keras"]) as archive:
        refuse_foreign_code(parse_config(archive.read("config.json"), "it"), "it", 3)
    for build in (keras.applications.EfficientNetV2B0, keras.applications.MobileNetV3Small):
        config = keras.saving.serialize_keras_object(build(weights=None))
        refuse_foreign_code(json.loads(json.dumps(config)), "it", 3)


def test_arrays_from_other_files_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(16)))
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_dataset("dense/w", (4,), "f4", external=[(str(secret), 0, 16)])
    with pytest.raises(InputError, match="not in it but in other files of this computer"):
        open_model(path)


def test_hdf5_files_of_others(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(InputError, match="is an HDF5 file, but not one that Keras wrote"):
        open_model(path)


def test_files_with_another_ending(keras_files: Mapping[str, Path], tmp_path: Path) -> None:
    for form in ("keras", "h5"):
        path = tmp_path / f"{form}.bin"
        path.write_bytes(keras_files[form].read_bytes())
        frozen = open_model(path).freeze()
        (mine,) = run(frozen, random_images(), list(frozen.outputs))
        assert close(mine, np.load(keras_files["results"]))


def test_models_with_several_inputs(tmp_path: Path) -> None:
    left, right = keras.Input((SIZE, SIZE, 3), name="left"), keras.Input((2,), name="right")
    pooled = keras.layers.GlobalAveragePooling2D()(left)
    model = keras.Model([left, right], keras.layers.Concatenate(name="both")([pooled, right]))
    model.save(tmp_path / "two.keras")
    frozen = open_model(tmp_path / "two.keras").freeze()
    assert frozen.inputs == {"left": "left:0", "right": "right:0"}
    numbers = np.ones((2, 2), "f")
    (mine,) = run(frozen, random_images(), ["both"], **{"right:0": numbers})
    assert close(mine, model.predict([random_images(), numbers], verbose=0))


def test_unpacked_too_large(
    keras_files: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain_tools.sources.readers.keras_zip._MOST_BYTES", 1000)
    with pytest.raises(InputError, match="would unpack to more than 1,000 bytes"):
        open_model(keras_files["keras"])


def test_weights_of_a_model_by_name(keras_files: Mapping[str, Path]) -> None:
    opened = open_model(keras_files["weights"])
    shapes = {v.name: v.shape for v in opened.variables}
    assert shapes["layers/conv2d/vars/0"] == (3, 3, 3, 8)
    kernel = keras_model().get_layer("conv1").kernel.numpy()
    assert np.array_equal(opened.value("layers/conv2d/vars/0"), kernel)
