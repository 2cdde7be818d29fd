"""The corpus as session fixtures: each file is written once, when a test first asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from . import corpus


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name, numbered=False)


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus.write_frozen(_folder(tmp_path_factory, "frozen"))


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_training(_folder(tmp_path_factory, "training"), resource=False)


@pytest.fixture(scope="session")
def training_resource(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_training(_folder(tmp_path_factory, "training_resource"), resource=True)


@pytest.fixture(scope="session")
def training_v1(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    folder = _folder(tmp_path_factory, "training_v1")
    return corpus.write_training(folder, resource=False, v1_format=True)


@pytest.fixture(scope="session")
def saved_model_1(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_saved_model_1(_folder(tmp_path_factory, "sm1") / "model")


@pytest.fixture(scope="session")
def saved_model_1_resource(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_saved_model_1(_folder(tmp_path_factory, "sm1r") / "model", resource=True)


@pytest.fixture(scope="session")
def hub_module(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_saved_model_1(_folder(tmp_path_factory, "hub") / "module", hub=True)


@pytest.fixture(scope="session")
def saved_model_2(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_saved_model_2(_folder(tmp_path_factory, "sm2") / "model", signatures=True)


@pytest.fixture(scope="session")
def hub_2(tmp_path_factory: pytest.TempPathFactory) -> corpus.Written:
    return corpus.write_saved_model_2(_folder(tmp_path_factory, "hub2") / "model", signatures=False)


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return corpus.write_keras(_folder(tmp_path_factory, "keras"))
