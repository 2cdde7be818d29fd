"""The scaling that is attached to a graph is what Keras's own preprocess_input does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from retrain_tools.graphdef.make_spec import make_spec
from retrain_tools.graphdef.note import read_note
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.open import open_model

from .corpus import SIZE, close, run


def photo(size: int) -> Any:
    return np.random.default_rng(1).integers(0, 256, (1, size, size, 3)).astype(np.float32)


def network(name: str, *first: Any) -> Any:
    """A small network under the name of a known one, which is what tells its scaling."""
    keras.utils.set_random_seed(2)
    layers = [*first, keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()]
    inputs = outputs = keras.Input((SIZE, SIZE, 3), name="pixels")
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name=name)


APPLICATIONS = keras.applications


@pytest.mark.parametrize(
    ("model", "module"),
    [
        (network("mobilenetv2_1.00_224"), APPLICATIONS.mobilenet_v2),
        (network("resnet50v2"), APPLICATIONS.resnet_v2),
        (network("vgg16"), APPLICATIONS.vgg16),
        (network("resnet50"), APPLICATIONS.resnet),
        (network("densenet121"), APPLICATIONS.densenet),
        (network("efficientnetb0", keras.layers.Rescaling(1 / 255)), APPLICATIONS.efficientnet),
        (network("own", keras.layers.Normalization(mean=9.0, variance=4.0)), None),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_pixels_of_0_to_255_give_what_keras_gives(
    model: Any, module: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    pixels = photo(SIZE)
    theirs = pixels if module is None else module.preprocess_input(pixels.copy())
    expected = model.predict(theirs, verbose=0)
    for path in (tmp_path / "model.keras", tmp_path / "exported"):
        caplog.clear()
        frozen = open_model(path).freeze()
        assert read_note(frozen.graph_def) is not None
        spec, _ = make_spec(frozen.graph_def, "it", None, SpecOverrides())
        prepared = ((pixels - np.array(spec.mean)) / spec.std).astype(np.float32)
        result = next(iter(frozen.outputs))
        assert close(run(frozen, theirs, [result])[0], expected)  # the old input still works
        old_input = next(iter(frozen.inputs.values()))
        if [
            line for line in caplog.messages if "takes RGB pixels" in line
        ]:  # what to know before feeding it
            assert spec.pixel_input == old_input.replace(":0", "/rgb:0")
            frozen = frozen._replace(inputs={"rgb": spec.pixel_input})
        assert close(run(frozen, prepared, [result])[0], expected)


def test_other_peoples_scopes_mean_nothing(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
        with tf.name_scope("vgg16"):
            out = tf.nn.conv2d(images, np.ones((3, 3, 3, 2), np.float32), 1, "SAME")
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": images}, {"y": out})
    assert read_note(open_model(tmp_path / "m").freeze().graph_def) is None


def test_networks_of_unknown_scaling_get_no_note(keras_files: Any) -> None:
    frozen = open_model(keras_files["keras"]).freeze()
    assert read_note(frozen.graph_def) is None
