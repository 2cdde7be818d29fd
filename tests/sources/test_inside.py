"""The layers of Keras files, SavedModels and modules, each tensor against Keras's own layer."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Layer
from tests.sources.corpus import Written

SIDE = 12
IMAGES = np.random.default_rng(0).normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
# What Keras calls layers by itself, two of a kind in a model and one in the model inside.
NAMES = {
    "conv2d": 112, "conv2d_1": 148, "conv2d_2": 148, "add": 0, "re_lu": 0, "inner": 246,
    "inner/conv2d_3": 222, "inner/batch_normalization": 24, "inner/re_lu_1": 0, "re_lu_2": 0,
    "global_average_pooling2d": 0, "dense": 21,
}  # fmt: skip


def build(library: Any) -> Any:
    """A model with layers of the same class, a model in it, and dropout that gives nothing new."""
    layers = library.layers
    library.backend.clear_session()
    library.utils.set_random_seed(4)
    images = library.Input((SIDE, SIDE, 3), name="images")
    first = layers.Conv2D(4, 3, activation="relu")(images)
    one = layers.Conv2D(4, 3, padding="same")(first)
    other = layers.Conv2D(4, 3, padding="same")(first)
    both = layers.ReLU()(layers.Add()([one, other]))
    inner = library.Sequential(
        [
            library.Input((SIDE - 2, SIDE - 2, 4)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(moving_mean_initializer="uniform"),
            layers.ReLU(),
        ],
        name="inner",
    )
    after = layers.ReLU()(layers.Dropout(0.5)(inner(both)))
    return library.Model(images, layers.Dense(3)(layers.GlobalAveragePooling2D()(after)), name="m")


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"3": build(keras), "2": build(tf_keras)}


@pytest.fixture(scope="module")
def files(
    models: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("inside")
    for name in ("3.keras", "3.h5", "2.h5"):
        models[name[0]].save(folder / name)
    models["2"].save(folder / "2.saved", save_format="tf")
    models["3"].export(folder / "3.export", verbose=False)
    return {path.name: path for path in folder.iterdir()}


def values(library: Any, model: Any, name: str) -> Any:
    """What Keras itself has for a layer, or for one of the model inside."""
    outer, _, inner = name.partition("/")
    layer = model.get_layer(outer)
    if outer != "inner":
        return library.Model(model.inputs, layer.output)(IMAGES).numpy()
    given = values(library, model, "re_lu")
    wanted = layer.get_layer(inner).output if inner else layer.outputs
    return library.Model(layer.inputs, wanted)(given).numpy()


def check_values(path: Path, model: Any, library: Any, tensors: Mapping[str, str | None]) -> None:
    """Assert that each tensor is what the layer of its name gives."""
    opened = rt.load(path)
    names = [name for name in tensors.values() if name is not None]
    (entrance,) = opened.usual.inputs.values()
    got = rt.run(opened, names, {entrance: IMAGES})
    for layer, tensor in tensors.items():
        assert tensor is not None, layer
        expected = values(library, model, layer)
        np.testing.assert_allclose(got[tensor], expected, atol=1e-5, err_msg=layer)


def told(layers: list[Layer]) -> dict[str, Layer]:
    return {layer.name.removeprefix("m/"): layer for layer in layers}


@pytest.mark.parametrize("name", ["3.keras", "3.h5", "2.h5", "2.saved"])
def test_layers_and_what_they_give(
    files: Mapping[str, Path], models: Mapping[str, Any], name: str
) -> None:
    layers = told(rt.load(files[name]).layers())
    assert {key: layers[key].parameters for key in NAMES} == NAMES
    assert (layers["m"].parameters, layers["m"].kind) == (675, "Functional")
    assert [layer for layer in layers if layer in NAMES] == list(NAMES)  # as they are called
    kinds = {key: layers[key].kind for key in ("conv2d", "inner", "inner/re_lu_1", "dropout")}
    assert kinds == {
        "conv2d": "Conv2D", "inner": "Sequential", "inner/re_lu_1": "ReLU", "dropout": "Dropout",
    }  # fmt: skip
    assert layers["images"].shape == (None, SIDE, SIDE, 3)
    assert layers["conv2d_1"].shape == (None, 10, 10, 4)
    library = keras if name[0] == "3" else tf_keras
    tensors = {key: layers[key].tensor for key in NAMES}
    check_values(files[name], models[name[0]], library, tensors)


def test_an_export_of_keras_3_tells_layers_by_their_variables(
    files: Mapping[str, Path], models: Mapping[str, Any]
) -> None:
    layers = told(rt.load(files["3.export"]).layers())
    with_weights = {name: count for name, count in NAMES.items() if count and name != "inner"}
    assert {name: layer.parameters for name, layer in layers.items()} == with_weights
    assert {layer.kind for layer in layers.values()} == {None}
    tensors = {key: layer.tensor for key, layer in layers.items()}
    check_values(files["3.export"], models["3"], keras, tensors)


class Block(tf.Module):  # type: ignore[misc]
    """Two variables whose names say nothing of their place."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.full((1, 1, 3, depth), 0.5, np.float32), name="kernel")
        self.bias = tf.Variable(np.ones(depth, np.float32), name="bias")

    def __call__(self, x: Any) -> Any:
        return tf.nn.conv2d(x, self.kernel, 1, "SAME") + self.bias


class Network(tf.Module):  # type: ignore[misc]
    """A module with blocks by name and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Block(3)
        self.blocks = [Block(3), Block(5)]

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="x")])
    def __call__(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return tf.reduce_mean(x, [1, 2])


def test_a_module_tells_its_parts_by_their_place(tmp_path: Path) -> None:
    network = Network()
    tf.saved_model.save(network, str(tmp_path / "module"))
    model = rt.load(tmp_path / "module")
    layers = model.layers()
    assert [(layer.name, layer.parameters, layer.shape) for layer in layers] == [
        ("stem", 12, (None, SIDE, SIDE, 3)),
        ("blocks/0", 12, (None, SIDE, SIDE, 3)),
        ("blocks/1", 20, (None, SIDE, SIDE, 5)),
    ]
    x = IMAGES
    (entrance,) = model.usual.inputs.values()
    got = rt.run(model, [str(layer.tensor) for layer in layers], {entrance: x})
    for layer, block in zip(layers, [network.stem, *network.blocks], strict=True):
        x = block(x).numpy()
        np.testing.assert_allclose(got[str(layer.tensor)], x, atol=1e-5)


def test_a_module_of_hub_1_tells_scopes(hub_module: Written) -> None:
    layers = {layer.name: layer for layer in rt.load(hub_module.path).layers()}
    assert {name: layer.parameters for name, layer in layers.items()} == {
        "net/conv": 216,
        "net/bn": 32,
        "net/fc": 48,  # in two parts
        "net": 24,  # a table of its own
    }
    assert layers["net/conv"].tensor == "net/conv/Conv2D:0"


HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_035_096/feature_vector/5"


@tf_keras.utils.register_keras_serializable("tests")
class KerasLayer(tf_keras.layers.Layer):  # type: ignore[misc]
    """What stands for hub.KerasLayer: variables under names of their own, and a handle."""

    def __init__(self, handle: str, **rest: Any) -> None:
        super().__init__(**rest)
        self._handle = handle

    def build(self, _: Any) -> None:
        self.first = self.add_weight("MobilenetV2/Conv/weights", (1, 1, 3, 4))
        self.second = self.add_weight("MobilenetV2/Conv/BatchNorm/beta", (4,))

    def call(self, x: Any) -> Any:
        return tf.nn.conv2d(x, self.first, 1, "SAME") + self.second

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "handle": self._handle}


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a layer of Hub's, saved in both ways of Keras 2."""
    folder = tmp_path_factory.mktemp("hiding")
    layers = [
        KerasLayer(HANDLE, name="hub", input_shape=(SIDE, SIDE, 3)),
        tf_keras.layers.GlobalMaxPooling2D(name="pool"),
        tf_keras.layers.Dense(2, name="top"),
    ]
    model = tf_keras.Sequential(layers, name="m")
    model.save(folder / "m.h5")
    model.save(folder / "saved", save_format="tf")
    return folder


@pytest.mark.parametrize("name", ["m.h5", "saved"])
def test_what_a_layer_of_hub_hides(hiding: Path, name: str) -> None:
    layers = told(rt.load(hiding / name).layers())
    shown = {key: (layer.kind, layer.parameters) for key, layer in layers.items()}
    assert shown["hub"] == (f"tests>KerasLayer of {HANDLE}", 16)
    inside = {key.removeprefix("hub/"): row for key, row in shown.items() if "hub/" in key}
    assert inside == {
        "MobilenetV2/Conv": (None, 12),
        "MobilenetV2/Conv/BatchNorm": (None, 4),
    }
    assert shown["top"] == ("Dense", 10)


def test_a_file_that_cannot_be_frozen_tells_layers_without_tensors(hiding: Path) -> None:
    layers = rt.load(hiding / "m.h5").layers()
    assert {(layer.tensor, layer.shape) for layer in layers} == {(None, None)}


def test_a_saved_model_tells_what_a_layer_of_hub_gives(hiding: Path) -> None:
    opened = rt.load(hiding / "saved")
    layers = told(opened.layers())
    assert layers["hub"].shape == (None, SIDE, SIDE, 4)
    assert layers["pool"].shape == (None, 4)
    summary = opened.summary()
    assert summary.pooling[0].answer == (
        "yes, a vector of 4 (global maximum of [12, 12, 4]); no GlobalAveragePooling2D is needed"
    )


def test_metadata_in_the_tree_itself_as_tensorflow_2_3_wrote_it(
    files: Mapping[str, Path], tmp_path: Path
) -> None:
    from tf_keras.protobuf import saved_metadata_pb2

    from retrain_tools.graphdef import schema

    folder = tmp_path / "old"
    shutil.copytree(files["2.saved"], folder)
    held = saved_metadata_pb2.SavedMetadata.FromString((folder / "keras_metadata.pb").read_bytes())
    (folder / "keras_metadata.pb").unlink()
    saved = schema.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for node in held.nodes:
        user_object = saved.meta_graphs[0].object_graph_def.nodes[node.node_id].user_object
        user_object.metadata = node.metadata
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert rt.load(folder).layers() == rt.load(files["2.saved"]).layers()


@pytest.mark.parametrize("spoil", [lambda data: data[:50], lambda _: b"", lambda _: b"\xff" * 40])
def test_damaged_metadata_are_left_out(
    files: Mapping[str, Path], tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(files["2.saved"], folder)
    metadata = folder / "keras_metadata.pb"
    metadata.write_bytes(spoil(metadata.read_bytes()))
    found = sum(layer.parameters for layer in rt.load(folder).layers() if layer.kind is None)
    assert found == 675  # by the variables alone


def test_a_wrapper_has_the_parameters_of_what_it_wraps(tmp_path: Path) -> None:
    layers = [
        keras.Input((5, 4)),
        keras.layers.TimeDistributed(keras.layers.Dense(3, name="each"), name="times"),
        keras.layers.Bidirectional(keras.layers.GRU(2), name="both"),
    ]
    keras.Sequential(layers, name="m").save(tmp_path / "m.keras")
    found = told(rt.load(tmp_path / "m.keras").layers())
    assert found["times"].parameters == 15
    assert found["times/each"].kind == "Dense"
    assert found["both"].parameters == 2 * 3 * 2 * (3 + 2 + 2)
    assert found["times"].shape == (None, 5, 3)


@pytest.mark.parametrize("kind", ["graph", "tflite", "checkpoint", "keras weights"])
def test_what_describes_no_layers_says_so(kinds: Mapping[str, Path], kind: str) -> None:
    model = rt.load(kinds[kind])
    with pytest.raises(InputError) as caught:
        model.layers()
    assert str(caught.value) == (
        f"{model.path} describes no layers: it is a {model.description}. list_tensors --tree folds "
        "the scopes of a graph."
    )


def test_a_model_of_models_of_models_is_cut_off(tmp_path: Path) -> None:
    inner: dict[str, Any] = {"class_name": "Dense", "config": {"name": "d"}}
    for number in range(60):
        config = {"name": f"m{number}", "layers": [inner]}
        inner = {"class_name": "Sequential", "module": "keras", "config": config}
    path = tmp_path / "deep.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(inner))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0"}))
    from retrain_tools.sources.inside.described import described_model

    part, depth = described_model(inner, [], is_zip=True), 0
    while part.parts:
        part, depth = part.parts[0], depth + 1
    assert depth == 20
