"""Features of Keras's networks are those of `model.predict` on Keras's own loading path.

`tools/check_applications.py` does the same for all networks, in their own size and on real photos.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import retrain_tools as rt
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.images.folders import find_images
from retrain_tools.sources.applications.names import application_modules
from retrain_tools.sources.applications.seeded import seed_weights

Values = npt.NDArray[np.float32]
SIZE = {"VGG16": (48, 56), "MobileNetV2": (64, 64)}


def keras_model(name: str, **arguments: Any) -> Any:
    """The network with its weights of seed 0, built by the caller's own hand."""
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(*SIZE[name], 3), **arguments)
    seed_weights(model, 0)
    return model


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: keras_model(name, include_top=False) for name in SIZE}


def opened(name: str, model_dir: Path, **more: Any) -> rt.Model:
    height, width = SIZE[name]
    said = {"input_height": height, "input_width": width, "model_dir": model_dir, **more}
    return rt.load(f"keras:{name}", weights="none", **said)


def paths(photos: Path) -> list[str]:
    return [image.path for image in find_images(photos)]


def loaded(photos: Path, size: tuple[int, int], resize: str) -> Values:
    """Pixels of 0 to 255 as Keras loads them."""
    if resize == "tf_bilinear":
        data = keras.utils.image_dataset_from_directory(
            photos, image_size=size, shuffle=False, batch_size=1, verbose=False
        )
        assert [str(Path(path)) for path in data.file_paths] == paths(photos)
        return np.concatenate([images.numpy() for images, _ in data])
    images = [
        keras.utils.load_img(path, target_size=size, interpolation=resize) for path in paths(photos)
    ]
    return np.stack([keras.utils.img_to_array(image) for image in images])


def prepared(name: str, pixels: Values) -> Values:
    return importlib.import_module(application_modules()[name]).preprocess_input(pixels.copy())


def close(found: Values, wanted: Values) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4 * wanted.std()


@pytest.mark.parametrize("name", SIZE)
def test_features_are_those_of_predict(
    name: str, models: dict[str, Any], photos: Path, model_dir: Path
) -> None:
    pixels = prepared(name, loaded(photos, SIZE[name], "nearest"))
    wanted = models[name].predict(pixels, verbose=0)
    found = rt.fetch(
        opened(name, model_dir), opened(name, model_dir).frozen().spec.bottleneck, str(photos)
    )
    [values] = found.values.values()
    close(values, wanted)


@pytest.mark.parametrize("resize", ["nearest", "bilinear", "bicubic", "lanczos", "tf_bilinear"])
def test_pixels_are_exactly_those_that_keras_loads(
    resize: str, photos: Path, model_dir: Path
) -> None:
    said = {} if resize == "nearest" else {"resize": resize}  # the default
    model = opened("VGG16", model_dir, **said)
    with ImagePreparation(model.frozen()) as side:
        pixels = np.stack([side.prepare(path) for path in paths(photos)])
    wanted = loaded(photos, SIZE["VGG16"], resize)
    np.testing.assert_array_equal(pixels, wanted)
    network_input = rt.fetch(model, "network_input:0", str(photos)).values["network_input:0"]
    np.testing.assert_allclose(network_input, prepared("VGG16", wanted), atol=1e-4)


@pytest.mark.parametrize("pooling", ["none", "avg", "max"])
def test_bottlenecks_are_what_pooling_gives_in_keras(
    pooling: str, models: dict[str, Any], photos: Path, model_dir: Path, tmp_path: Path
) -> None:
    model = keras_model("VGG16", include_top=False, pooling=None if pooling == "none" else pooling)
    wanted = model.predict(prepared("VGG16", loaded(photos, SIZE["VGG16"], "nearest")), verbose=0)
    images = find_images(photos)
    options = CacheOptions(str(tmp_path), pooling=pooling)
    filled = fill_cache(opened("VGG16", model_dir).frozen(), images, options)
    found = np.stack([np.asarray(filled.cache.read(image)) for image in images])
    close(found, wanted.reshape(len(wanted), -1))


@pytest.mark.parametrize("name", ["VGG16", "MobileNetV2"])
def test_every_layer_is_an_end_point_by_its_name(
    name: str, models: dict[str, Any], photos: Path, model_dir: Path
) -> None:
    model = models[name]
    pixels = prepared(name, loaded(photos, SIZE[name], "nearest"))
    names = [layer.name for layer in model.layers[1:]]
    every = keras.Model(model.inputs, [layer.output for layer in model.layers[1:]])
    wanted = dict(zip(names, every.predict(pixels, verbose=0), strict=True))
    found = rt.fetch(opened(name, model_dir), names, str(photos)).values
    for layer, values in wanted.items():
        close(found[layer], values)


def test_with_the_top_the_bottleneck_is_what_it_classifies(photos: Path, model_dir: Path) -> None:
    model = keras_model("MobileNetV2", include_top=True)
    pixels = prepared("MobileNetV2", loaded(photos, SIZE["MobileNetV2"], "nearest"))
    tapped = keras.Model(model.inputs, [model.layers[-2].output, model.output])
    features, scores = tapped.predict(pixels, verbose=0)
    ours = opened("MobileNetV2", model_dir, include_top=True)
    spec = ours.frozen().spec
    found = rt.fetch(ours, [spec.bottleneck, str(spec.final)], str(photos)).values
    close(found[spec.bottleneck], features)
    close(found[str(spec.final)], scores)
    best = rt.label(ours, paths(photos)[0], top_k=1, labels=[str(n) for n in range(1000)])[0]
    assert best.best[0][0] == str(scores[0].argmax())


def test_forgetting_preprocess_input_is_a_choice(
    models: dict[str, Any], photos: Path, model_dir: Path
) -> None:
    """preprocess=none: pixels of 0 to 255 go past it, loaded as they are otherwise."""
    wanted = models["VGG16"].predict(loaded(photos, SIZE["VGG16"], "nearest"), verbose=0)
    ours = opened("VGG16", model_dir, preprocess="none")
    close(rt.fetch(ours, "block5_pool", str(photos)).values["block5_pool"], wanted)
    spec = ours.frozen().spec
    assert spec.preprocessing() == {
        **{"by": "Pillow", "to": "network_input:0", "image_size": [48, 56]},
        **{"mean": 0.0, "std": 1.0, "resize": "nearest"},
    }


def test_another_scaling_is_a_choice(models: dict[str, Any], photos: Path, model_dir: Path) -> None:
    pixels = loaded(photos, SIZE["VGG16"], "lanczos") / 255
    wanted = models["VGG16"].predict(pixels, verbose=0)
    said = {"input_layer": "network_input", "input_mean": 0, "input_std": 255}
    ours = opened("VGG16", model_dir, resize="lanczos", **said)
    close(rt.fetch(ours, "block5_pool", str(photos)).values["block5_pool"], wanted)


def test_a_retrained_network_labels_as_the_features_say(
    photos: Path, model_dir: Path, tmp_path: Path
) -> None:
    """The output graph decodes, resizes and prepares images itself, with TensorFlow's ops."""
    model = opened("MobileNetV2", model_dir)
    done = rt.retrain(
        model,
        photos,
        output_dir=tmp_path,
        how_many_training_steps=5,
        testing_percentage=0,
        validation_percentage=0,
    )
    bottleneck = model.frozen().spec.bottleneck
    features = rt.fetch(model, bottleneck, str(photos), pooling="avg").values[bottleneck]
    wanted = done.head.scores(features)
    labelled = rt.label(rt.load(done.output_graph), paths(photos), top_k=2)
    for found, scores in zip(labelled, wanted, strict=True):
        expected = dict(zip(done.labels, scores, strict=True))
        assert dict(found.best) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("resize", [None, "tf_bilinear", "lanczos"])
def test_a_frozen_file_is_the_network_with_its_image_side(
    resize: str | None, models: dict[str, Any], photos: Path, model_dir: Path, tmp_path: Path
) -> None:
    file = rt.freeze(opened("VGG16", model_dir, resize=resize), tmp_path / "vgg16.pb")
    wanted = models["VGG16"].predict(
        prepared("VGG16", loaded(photos, SIZE["VGG16"], resize or "nearest")), verbose=0
    )
    model = rt.load(file)
    spec = model.frozen().spec
    assert (spec.encoded_input, spec.resize) == ("DecodeJpeg/contents:0", None)
    found = rt.fetch(model, "block5_pool", str(photos)).values["block5_pool"]
    if resize == "lanczos":  # a few pixels differ by one level
        assert 0 < np.abs(found - wanted).max() < 0.02 * wanted.std()
    else:
        close(found, wanted)
    again = rt.load(file, input_layer="network_input").frozen().spec
    assert again.resize == (resize or "nearest")  # as the file notes it
