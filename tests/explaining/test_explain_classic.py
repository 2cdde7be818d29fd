"""The classic question: Keras, Keras with a reader of one's own, and the graph itself, at 150."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.explaining.explain import explain
from retrain_tools.explaining.explanation import Explanation, Runnable
from retrain_tools.features.extractor import Extractor
from tests.features import tiny

SIDE, COUNT = 150, 8


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.jpg" for number in range(COUNT)]
    for number, path in enumerate(paths):
        image = tiny.photo(170 + 9 * number, 260 - 7 * number, seed=number)
        path.write_bytes(tiny.encoded(image, "JPEG", quality=92))
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def keras_maps(photos: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What `predict` gives, [n, 3, 3, 2048]: without the application's preprocessing, and with."""
    import keras
    from keras.applications import inception_v3

    from retrain_tools.sources.applications.seeded import seed_weights

    model = inception_v3.InceptionV3(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
    seed_weights(model, 0)
    images = [keras.utils.load_img(path, target_size=(SIDE, SIDE)) for path in photos]
    pixels = np.stack([keras.utils.img_to_array(image) for image in images])
    with_preprocessing = inception_v3.preprocess_input(pixels.copy())
    return model.predict(pixels, verbose=0), model.predict(with_preprocessing, verbose=0)


@pytest.fixture(scope="module")
def native(photos: list[str], tmp_path_factory: pytest.TempPathFactory):
    """The frozen graph of the same weights, and its pooled features, [n, 2048]."""
    place: Path = tmp_path_factory.mktemp("models")
    size = {"input_height": SIDE, "input_width": SIDE}
    model = rt.load("keras:InceptionV3", model_dir=place, weights="none", weights_seed=0, **size)
    frozen = rt.load(rt.freeze(model, place / "native.pb")).frozen()
    with Extractor(frozen, [frozen.spec.bottleneck], "avg") as extractor:
        rows = [result for _, result in extractor.extract(photos)]
    return Runnable(frozen, frozen.spec.bottleneck, "avg"), np.stack([row[0] for row in rows])


def causes(found: Explanation) -> dict[str, str]:
    assert found.verdict == "explained", found.sentence
    return {cause.slot: cause.name for cause in found.causes}


def test_pooling_for_the_shape(native, keras_maps, photos) -> None:
    runnable, pooled = native
    assert pooled.shape == (COUNT, 2048) and keras_maps[1].shape == (COUNT, 3, 3, 2048)
    found = explain(runnable, pooled, keras_maps[1], photos)
    assert causes(found) == {"pooling": "avg"}
    assert found.sentence.startswith("A is B with average pooling: mean error ")


def test_missing_preprocessing_for_the_values(native, keras_maps, photos) -> None:
    runnable, pooled = native
    found = explain(runnable, pooled, keras_maps[0].mean((1, 2)), photos)
    assert causes(found) == {"scale": "raw"}
    assert found.sentence.startswith("B is A with pixels of 0 to 255: mean error ")
    assert found.command is not None and " --preprocess=none --tensors=" in found.command
    assert found.notes == ()


def test_both_at_once(native, keras_maps, photos) -> None:
    runnable, pooled = native
    found = explain(runnable, pooled, keras_maps[0], photos)
    assert causes(found) == {"scale": "raw", "pooling": "none"}
    assert "pixels of 0 to 255 and no pooling" in found.sentence
    assert found.notes == ()
