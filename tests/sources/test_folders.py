"""Folders that are no model, hold a part of one, or several: each is told what it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retrain_tools.errors import InputError
from retrain_tools.sources.open import open_model

from .corpus import Written, tar_of, zip_of


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        open_model(path)
    return str(error.value)


NO_MODEL = (
    "no saved_model.pb, and no GraphDef, checkpoint, Keras or TensorFlow Lite file; name the file "
    "itself."
)


@pytest.fixture
def half(saved_model_2: Written, tmp_path: Path) -> Path:
    """A SavedModel without its graph."""
    folder = tmp_path / "half"
    shutil.copytree(saved_model_2.path, folder)
    (folder / "saved_model.pb").unlink()
    return folder


def test_the_variables_of_a_saved_model_without_its_graph(half: Path) -> None:
    assert refusal(half) == (
        f"{half} has no saved_model.pb: it holds the variables of a SavedModel, but not its graph; "
        f"copy the whole folder, or name {half}/variables to see the variables alone."
    )
    assert len(open_model(half / "variables").variables) == 3


def test_what_else_a_saved_model_has_without_its_graph(half: Path) -> None:
    shutil.rmtree(half / "variables")
    (half / "variables").mkdir()
    (half / "keras_metadata.pb").write_bytes(b"\x0a\x08\x10\x00\x1a\x01r\x22\x01kZ")
    assert refusal(half) == (
        f"{half} has no saved_model.pb: it holds what lies beside a SavedModel's graph (assets, "
        "fingerprint.pb, keras_metadata.pb, variables), but not the graph; copy the whole folder."
    )


def test_assets_alone(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "words.txt").write_text("cat\n")
    assert refusal(tmp_path) == (
        f"{tmp_path} has no saved_model.pb: it holds what lies beside a SavedModel's graph "
        "(assets), but not the graph; copy the whole folder."
    )


def test_an_empty_folder_and_one_of_other_files(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} holds no model (it is empty): {NO_MODEL}"
    for number in range(14):
        (tmp_path / f"{number:02}.txt").write_text("cat\n")
    first = ", ".join(f"{number:02}.txt" for number in range(12))
    said = f"{tmp_path} holds no model (there is {first} and 2 more): {NO_MODEL}"
    assert refusal(tmp_path) == said


def test_versions_as_tensorflow_serving_keeps_them(saved_model_2: Written, tmp_path: Path) -> None:
    shutil.copytree(saved_model_2.path, tmp_path / "1")
    assert open_model(tmp_path).description.startswith("SavedModel")
    shutil.copytree(saved_model_2.path, tmp_path / "2")
    assert refusal(tmp_path) == f"{tmp_path} holds 2 models: 1, 2; name one, as {tmp_path}/1."


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_half_a_saved_model_in_an_archive(half: Path, tmp_path: Path, pack: object) -> None:
    """Of an archive, what is in it counts: the variables can be seen."""
    archive = pack(half, tmp_path / "half.archive")  # type: ignore[operator]
    assert len(open_model(archive).variables) == 3
