"""A network is built once; after that Keras is not started, nor TensorFlow to look at it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.sources.applications.seeded import seed_weights

WITHOUT = """
import sys
sys.argv = ["list_tensors", *sys.argv[1:]]
from retrain_tools import list_tensors
try:
    list_tensors.script()
finally:
    names = ("keras", "tensorflow.python.tf2")
    print([name for name in names if name in sys.modules], file=sys.stderr)
"""


def looked_at(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *flags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def graphs(folder: Path) -> set[str]:
    return {path.name for path in (folder / "frozen").glob("*.pb")}


def test_a_second_start_needs_no_keras(tmp_path: Path) -> None:
    rt.load("keras:VGG16", weights="none", input_height=32, model_dir=tmp_path).frozen()
    before = graphs(tmp_path)
    flags = ["--graph=keras:vgg16", "--weights=none", "--input_height=32", "--pattern=network_in"]
    done = looked_at(*flags, f"--model_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "network_input:0  float32  [?, 32, 32, 3]  Identity" in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"
    assert graphs(tmp_path) == before


def test_what_is_asked_for_tells_graphs_apart(tmp_path: Path, monkeypatch: Any) -> None:
    from retrain_tools.sources.applications import kept_application
    from retrain_tools.sources.applications.application import Application

    keys = []
    monkeypatch.setattr(kept_application, "kept_graph", lambda _, key, *__: keys.append(key))
    weights = []
    for number in range(2):
        weights.append(tmp_path / f"{number}.h5")
        weights[-1].write_text(str(number))
    asked = [
        Application("VGG16", "none"),
        Application("VGG19", "none"),
        Application("VGG16", "none", 1),
        Application("VGG16", "none", 0, True),
        Application("VGG16", "none", 0, False, (48, 48)),
        Application("VGG16", "none", 0, False, (48, 50)),
        *(Application("VGG16", str(file)) for file in weights),
    ]
    for one in asked:
        kept_application.frozen_application(one, tmp_path)
    assert len(set(keys)) == len(asked)
    weights[1].write_text("0")  # the same bytes in another file are the same weights
    kept_application.frozen_application(asked[-1], tmp_path)
    assert keys[-1] == keys[-3]
    for name in ("th_kernels.h5", "th_dim_ordering.h5"):  # which says what the bytes do not
        weights.append(tmp_path / name)
        weights[-1].write_text("0")
        asked.append(Application("VGG16", str(weights[-1])))
        kept_application.frozen_application(asked[-1], tmp_path)
    assert len(set(keys)) == len(asked)
    monkeypatch.setattr(kept_application, "keras_version", lambda: "4.0")
    kept_application.frozen_application(asked[0], tmp_path)
    assert len(set(keys)) == len(asked) + 1


@pytest.fixture(scope="module")
def seeded() -> Any:
    model = keras.applications.MobileNetV2(include_top=False, input_shape=(64, 64, 3), weights=None)
    seed_weights(model, 0)
    return model


def test_weights_are_found_where_keras_keeps_them(seeded: Any, tmp_path: Path) -> None:
    """The file is known the second time without Keras; Keras published no hash of this one."""
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    (tmp_path / "models").mkdir()
    save_legacy(seeded, tmp_path / "models" / name)
    flags = ["--graph=keras:MobileNetV2", "--input_height=64", "--format=names", "--inputs"]
    flags.append(f"--model_dir={tmp_path}")
    for expected in ("['keras', 'tensorflow.python.tf2']", "[]"):
        done = looked_at(*flags, KERAS_HOME=str(tmp_path))
        assert (done.returncode, done.stdout) == (0, "rgb:0\n"), done.stderr
        assert done.stderr.splitlines()[-1] == expected
    [graph] = graphs(tmp_path)
    kept = rt.load(tmp_path / "frozen" / graph)
    noted = kept.frozen().spec
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found = rt.run(kept, noted.bottleneck, {"rgb:0": pixels})[noted.bottleneck]
    wanted = seeded.predict(pixels / 127.5 - 1, verbose=0)
    assert np.abs(found - wanted).max() < 1e-4 * wanted.std()


def save_legacy(model: Any, path: Path) -> None:
    """Write weights as Keras 2 did, and as Keras publishes them."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def test_weights_of_a_file(seeded: Any, tmp_path: Path, model_dir: Path) -> None:
    path = tmp_path / "mine.h5"
    save_legacy(seeded, path)
    model = rt.load("keras:MobileNetV2", weights=path, input_height=64, model_dir=model_dir)
    assert model.description == "Keras application with the weights of mine.h5"
    spec = model.frozen().spec
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found = rt.run(model, spec.bottleneck, {"rgb:0": pixels})[spec.bottleneck]
    wanted = seeded.predict(pixels / 127.5 - 1, verbose=0)
    assert np.abs(found - wanted).max() < 1e-4 * wanted.std()


def test_the_summary_says_what_it_is(model_dir: Path) -> None:
    from retrain_tools.listing.modes import Form, summary_of
    from retrain_tools.text_tables import Style

    model = rt.load(
        "keras:VGG16", weights="none", input_height=48, model_dir=model_dir, resize="lanczos"
    )
    text = summary_of(model, Form("table", Style()))
    head, _, tail = text.partition("\nApplication\n")
    assert "Kind     Keras application with random weights (seed 0): " in head
    assert tail == (
        f"  application    VGG16 of Keras {keras.__version__}\n"
        "  weights        none\n"
        "  classifier     left out\n"
        "  preprocessing  caffe: BGR, ImageNet's mean subtracted\n"
        "  size           48 × 48 pixels\n"
        "  resize         lanczos\n"
    )
    assert "--graph=keras:VGG16 --weights=none --input_height=48 --resize=lanczos" in head


def test_models_that_keras_built_before_change_no_names(model_dir: Path, tmp_path: Path) -> None:
    """Keras counts its layers through a process; its own state is as it was, after that."""
    keras.layers.Conv2D(1, 1)
    counted = keras.layers.Conv2D(1, 1).name
    keras.config.set_image_data_format("channels_first")
    try:
        said = {"weights": "none", "input_height": 32}
        fresh = rt.load("keras:MobileNetV3Small", model_dir=tmp_path, **said)
        names = list(fresh.frozen().spec.end_points)
        assert keras.config.image_data_format() == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")
    assert {"input_layer", "activation"} < set(names)
    number = int(counted.rpartition("_")[2])
    assert keras.layers.Conv2D(1, 1).name == f"conv2d_{number + 1}"
