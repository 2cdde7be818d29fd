"""Models that TensorFlow 1.15, 2.4, 2.12 and 2.21 wrote, frozen: the numbers that they had there.

`tools/record_keras_files.py` made the files, each with its inputs and outputs.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.open import open_model

FOLDER = Path(__file__).with_name("keras_files")
VERSIONS = ("1.15", "2.4", "2.12", "2.21")
# What no later Keras can read of TensorFlow 2.4's, and Keras 3 of its own HDF5 files.
REFUSED = {
    "2.4/MultiHeadAttention.h5": "its description lacks 'query_shape', which this Keras looks for",
    "2.21/Attention.h5": "Invalid value for argument score_mode. Expected one of {'dot', 'concat'}",
    "2.21/Attention_scaled.h5": "Invalid value for argument score_mode. Expected one of {'dot', ",
    "2.21/LayerNormalization_axes.h5": "Weight expects shape (2,). Received saved weight with",
    "2.21/ThresholdedReLU.h5": ": Unknown layer: 'ThresholdedReLU'. Export it as a SavedModel (",
    "2.21/scaled.h5": ": Unknown layer: 'TrueDivide'. Export it as a SavedModel (model.export, or ",
    "2.21/shifted.h5": ": Only input tensors may be passed as positional arguments. The following",
    "2.21/sliced.h5": ": Unknown layer: 'GetItem'. Export it as a SavedModel (model.export, or ",
}


def _archive(version: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(FOLDER / f"tensorflow-{version}.zip")


def _models() -> list[str]:
    found = []
    for version in VERSIONS:
        with _archive(version) as archive:
            names = [name for name in archive.namelist() if name != "numbers.npz"]
        found += [f"{version}/{name}" for name in names]
    return found


@functools.cache
def _numbers(version: str) -> Mapping[str, npt.NDArray[Any]]:
    with _archive(version) as archive:
        return dict(np.load(io.BytesIO(archive.read("numbers.npz"))))


def _recorded(version: str, name: str, what: str) -> list[npt.NDArray[Any]]:
    numbers = _numbers(version)
    prefix = f"{Path(name).stem}/{what}/"
    return [numbers[f"{prefix}{i}"] for i in range(sum(key.startswith(prefix) for key in numbers))]


@pytest.mark.parametrize("model", _models())
def test_a_frozen_model_gives_the_numbers_of_the_keras_that_made_it(
    model: str, tmp_path: Path
) -> None:
    version, name = model.split("/")
    with _archive(version) as archive:
        path = Path(archive.extract(name, tmp_path))
    if model in REFUSED:
        with pytest.raises(InputError) as error:
            open_model(path).freeze()
        assert REFUSED[model] in str(error.value)
        assert "\n" not in str(error.value)
        return
    frozen = open_model(path).freeze()
    fed = _recorded(version, name, "input")
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        theirs = v1.GraphDef.FromString(frozen.graph_def.SerializeToString())
        v1.import_graph_def(theirs, name="")
        feeds = dict(zip(frozen.inputs.values(), fed, strict=True))
        mine = session.run(list(frozen.outputs.values()), feeds)
    for computed, expected in zip(mine, _recorded(version, name, "output"), strict=True):
        assert computed.dtype == expected.dtype
        np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-5)


def test_enough_combinations_are_recorded() -> None:
    for version in VERSIONS:
        cases = {key.split("/")[0] for key in _numbers(version)}
        assert len(cases) >= 60, version
