"""The networks of Keras by their names, which are read without Keras."""

from __future__ import annotations

import importlib
import inspect

import keras
import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.sources.applications.names import (
    application_modules,
    application_name,
    keras_version,
    preprocessing_mode,
)

NAMES = [name for name, value in vars(keras.applications).items() if inspect.isfunction(value)]


def test_every_network_of_keras_is_known() -> None:
    assert len(NAMES) > 35
    assert sorted(application_modules()) == sorted(NAMES)
    assert keras_version() == keras.__version__


@pytest.mark.parametrize("name", NAMES)
def test_the_mode_is_what_preprocess_input_does(name: str) -> None:
    module = importlib.import_module(application_modules()[name])
    prepared = module.preprocess_input(np.full((1, 1, 1, 3), [0.0, 51.0, 255.0], np.float32))
    expected = {
        "none": [0, 51, 255],
        "tf": [-1, -0.6, 1],
        "caffe": [255 - 103.939, 51 - 116.779, -123.68],
        "torch": [-0.485 / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225],
    }
    np.testing.assert_allclose(prepared.ravel(), expected[preprocessing_mode(name)], rtol=1e-5)


@pytest.mark.parametrize("text", ["keras:InceptionV3", "keras:inceptionv3", "keras:INCEPTIONV3"])
def test_letters_may_be_of_any_case(text: str) -> None:
    assert application_name(text) == "InceptionV3"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keras:", "keras: takes a name of keras.applications. Known names: ConvNeXtBase, "),
        (
            "keras:VGG18",
            "'keras:VGG18' names no network of keras.applications. Did you mean 'keras:VGG1",
        ),
        (
            "keras:Incepton3",
            "'keras:Incepton3' names no network of keras.applications. Did you mean "
            "'keras:InceptionV3'? Known names: ConvNeXtBase, ",
        ),
        ("keras:zzz", "'keras:zzz' names no network of keras.applications. Known names: Conv"),
    ],
)
def test_an_unknown_name_lists_all(text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        application_name(text)
    assert str(error.value).startswith(told)
    assert str(error.value).endswith("VGG16, VGG19, Xception.")
