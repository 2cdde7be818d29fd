"""Whole networks as Keras models: the same values, saved and loaded, and trained a step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.engine.untouched import run_untouched
from retrain_tools.errors import InputError
from retrain_tools.export.exporting import export_frozen
from retrain_tools.export.keras_model import KerasModel, to_keras
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.quiet_tensorflow import import_tensorflow
from tests.export.toys import RESULT, network, values
from tests.graphdef.tiny_graphs import (
    MOBILENET,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    inception_like,
    real,
    write,
)
from tests.opening import freeze_checkpoint, load_graph
from tests.slim.golden import draw_variables, expected_variables
from tests.slim.test_freezing import save

SLIM = {"inception_v1": 64, "resnet_v1_50": 64, "mobilenet_v1": 64}
CLOSE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def _keras() -> None:
    import_tensorflow()


def close(model: Any, frozen: FrozenGraph, tensor: str) -> None:
    """Compare a model, on a batch, with the untouched graph, one image at a time."""
    spec = frozen.spec
    pixels = values(3, *spec.image_size, spec.channels, seed=7)
    found = model.predict(pixels, verbose=0)
    for row, one in zip(found, pixels, strict=True):
        feeds = {spec.pixel_input: one[np.newaxis]}
        [expected] = run_untouched(frozen.graph_def, [tensor], feeds, str(frozen.path))
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(row, expected[0], atol=CLOSE * scale)
    assert np.ptp(found, axis=0).max() > 0  # the images differ


def saved(made: KerasModel, folder: Path) -> Any:
    import keras

    made.model.save(folder / "network.keras")
    return keras.saving.load_model(folder / "network.keras")


def train_a_step(model: Any, size: tuple[int, int], images: int = 4) -> None:
    """Nearly every trainable variable moves."""
    model.compile("sgd", "mse")
    before = [np.array(variable) for variable in model.trainable_variables]
    given = model.output_shape[1:]
    model.fit(values(images, *size, 3), values(images, *given, seed=1), epochs=1, verbose=0)
    after = [np.array(variable) for variable in model.trainable_variables]
    moved = [np.any(a != b) for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.9  # a few are behind a ReLU that never opens


@pytest.mark.parametrize("name", SLIM)
def test_a_slim_network(name: str, tmp_path: Path) -> None:
    size = SLIM[name]
    width = 0.25 if name == "mobilenet_v1" else 1.0
    prefix = save(draw_variables(expected_variables(name, 7, width)), tmp_path / "model.ckpt")
    frozen = freeze_checkpoint(prefix, image_size=size)
    model = saved(to_keras(frozen, [frozen.spec.bottleneck]), tmp_path)  # scores may be 0 and 1
    close(model, frozen, frozen.spec.bottleneck)
    train_a_step(model, (size, size))


def test_the_graph_of_2015(tmp_path: Path) -> None:
    frozen = load_graph(real(NEAR_REAL))
    made = to_keras(frozen, ["pool_3/_reshape:0"])
    model = saved(made, tmp_path)
    close(model, frozen, "pool_3/_reshape:0")
    kinds = Counter(type(layer).__name__ for layer in model.layers)
    assert (kinds["Conv2D"], kinds["BatchNormalization"], kinds["Concatenate"]) == (94, 94, 11)
    assert made.layers["mixed_8/join:0"] == "mixed_8_join"
    assert model.get_layer("mixed_8_join").output.shape == (None, 8, 8, 1280)
    train_a_step(model, frozen.spec.image_size, images=2)


@pytest.mark.parametrize("path", [MOBILENET, MOBILENET_RETRAINED])
def test_the_published_mobilenet(path: str, tmp_path: Path) -> None:
    frozen = load_graph(real(path))
    model = saved(to_keras(frozen, [frozen.spec.final]), tmp_path)
    close(model, frozen, frozen.spec.final)
    kinds = Counter(type(layer).__name__ for layer in model.layers)
    assert kinds["DepthwiseConv2D"] == 13
    assert kinds["BatchNormalization"] == 27


def test_a_frozen_network_of_keras_gets_its_layers_back(tmp_path: Path, model_dir: Path) -> None:
    import keras

    import retrain_tools as rt

    size = {"input_height": 64, "input_width": 64}
    source = rt.load("keras:MobileNetV2", model_dir=model_dir, weights="none", **size)
    frozen = source.frozen()
    made = to_keras(frozen, [frozen.spec.bottleneck])
    original = keras.applications.MobileNetV2(
        input_shape=(64, 64, 3), include_top=False, weights=None
    )
    kinds = ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "Add")
    found, expected = (
        Counter(type(layer).__name__ for layer in model.layers) for model in (made.model, original)
    )
    assert [found[kind] for kind in kinds] == [expected[kind] for kind in kinds]
    close(saved(made, tmp_path), frozen, frozen.spec.bottleneck)


def test_several_outputs_come_in_their_order(tmp_path: Path) -> None:
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    tensors = ["softmax:0", "mixed/conv:0", "pool_3/_reshape:0"]
    made = to_keras(frozen, tensors)
    assert [output.shape for output in made.model.outputs] == [
        (None, 5),
        (None, 4, 4, 20),
        (None, 28),
    ]
    assert made.layers["pool_3/_reshape:0"] == "pool_3__reshape"
    train_a_step(to_keras(frozen, ["softmax:0"]).model, frozen.spec.image_size)


def test_names_that_would_be_alike_stay_apart(tmp_path: Path) -> None:
    from retrain_tools.quiet_tensorflow import tf

    def build(x: Any) -> Any:
        first = tf.nn.relu(tf.nn.relu6(x, name="a/b"), name="a_b")
        return tf.nn.elu(first, name="a/b_1")

    made = to_keras(network(tmp_path, build), [RESULT])
    names = [layer.name for layer in made.model.layers]
    assert len(set(names)) == len(names) == 4


def test_a_tensor_before_the_network_is_no_output(tmp_path: Path) -> None:
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    with pytest.raises(InputError, match="'Sub:0' is not computed from 'Mul:0'"):
        to_keras(frozen, ["Sub:0"])


def test_an_export_tells_what_it_is_and_how_far_from_its_source(tmp_path: Path) -> None:
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    found = export_frozen(frozen, str(tmp_path / "g.keras"), "keras")
    assert found.difference < CLOSE
    assert list(found.differences) == ["softmax:0"]
    assert found.told["Input"] == "float32 [N, 8, 8, 3], (pixels - 128) / 128"
    assert found.told["Bottleneck"] == "the layer pool_3__reshape makes pool_3/_reshape:0"
    assert found.images == "3 drawn photos"
    assert f"{(tmp_path / 'g.keras').stat().st_size:,} bytes" in found.summary()
