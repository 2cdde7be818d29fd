"""A SavedModel's protobuf under another name: the file that is named is the one that is opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.sources.kinds import Kind, kind_of
from retrain_tools.sources.open import open_model
from tests.head.scripts import run_script

from .corpus import Written, close, run, tar_of, zip_of

FORMS = ("other.pb", "other.pbtxt", "no_ending")


def as_text(data: bytes) -> str:
    return str(text_format.MessageToString(schema.SavedModel.FromString(data)))


@pytest.fixture(params=FORMS)
def renamed(request: pytest.FixtureRequest, saved_model_1: Written, tmp_path: Path) -> Path:
    """A SavedModel's folder whose graph has another name."""
    folder = tmp_path / "model"
    shutil.copytree(saved_model_1.path, folder)
    data = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").unlink()
    path = folder / request.param
    if path.suffix == ".pbtxt":
        path.write_text("# as somebody kept it\n" + as_text(data))
    else:
        path.write_bytes(data)
    return path


def check(opened: object, written: Written) -> None:
    frozen = opened.freeze()  # type: ignore[attr-defined]
    (mine,) = run(frozen, written.images, ["net/probs"])
    assert close(mine, written.results["net/probs"])


def test_alone_with_its_variables(renamed: Path, saved_model_1: Written) -> None:
    assert kind_of(renamed) is Kind.SAVED_MODEL
    opened = open_model(renamed)
    assert opened.path == renamed
    assert opened.summary().path == renamed
    check(opened, saved_model_1)
    folder = open_model(renamed.parent)  # there is no other
    assert folder.path == renamed
    check(folder, saved_model_1)


def test_without_variables_beside_it(renamed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / renamed.name
    alone.parent.mkdir()
    shutil.copy(renamed, alone)
    opened = open_model(alone)
    assert opened.signatures
    with pytest.raises(InputError) as error:
        opened.freeze()
    assert str(error.value) == (
        f"{alone} cannot be frozen: its variables are missing "
        f"({alone.parent}/variables/variables.index); copy the whole folder."
    )


@pytest.mark.parametrize("neighbour", ["saved_model.pb", "saved_model.pbtxt"])
def test_beside_another_saved_model(
    renamed: Path, neighbour: str, hub_2: Written, saved_model_1: Written
) -> None:
    """The neighbour has another graph; the named file's variables are those of the folder."""
    data = (hub_2.path / "saved_model.pb").read_bytes()
    place = renamed.with_name(neighbour)
    place.write_bytes(as_text(data).encode() if place.suffix == ".pbtxt" else data)
    opened = open_model(renamed)
    assert opened.description.startswith("SavedModel of TensorFlow")
    assert list(opened.signatures["serving_default"].inputs) == ["images"]
    check(opened, saved_model_1)
    for beside in (place, place.parent):
        assert open_model(beside).description.startswith("SavedModel (TF2 Hub interface)")
        assert open_model(beside).path == place.parent
    with pytest.raises(InputError) as error:  # the variables beside it are of the other one
        open_model(place).freeze()
    assert str(error.value).startswith(f"{place.parent}: the variable 'kernel' has no value in ")


def test_both_texts_and_binaries_of_the_usual_name(
    saved_model_1: Written, hub_2: Written, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(saved_model_1.path, folder)
    other = as_text((hub_2.path / "saved_model.pb").read_bytes())
    (folder / "saved_model.pbtxt").write_text(other)
    assert open_model(folder / "saved_model.pbtxt").description.startswith("SavedModel (TF2 Hub")
    check(open_model(folder / "saved_model.pb"), saved_model_1)
    check(open_model(folder), saved_model_1)  # TensorFlow prefers the binary as well


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_in_an_archive(
    renamed: Path, pack: object, hub_2: Written, saved_model_1: Written, tmp_path: Path
) -> None:
    archive = pack(renamed.parent, tmp_path / "a.archive")  # type: ignore[operator]
    check(open_model(archive), saved_model_1)
    shutil.copy(hub_2.path / "saved_model.pb", renamed.parent)
    both = pack(renamed.parent, tmp_path / "both.archive")  # type: ignore[operator]
    inside = "inside/" if pack is tar_of else ""
    check(open_model(f"{both}/{inside}{renamed.name}"), saved_model_1)
    assert open_model(both).description.startswith("SavedModel (TF2 Hub interface)")


def test_the_script_says_which_file_it_is(renamed: Path, tmp_path: Path) -> None:
    shutil.copy(renamed, renamed.with_name("saved_model.pb"))
    done = run_script(
        "retrain_tools.freeze_graph", f"--graph={renamed}", "--output=f.pb", cwd=tmp_path
    )
    assert (done.status, done.err) == (0, "")
    summary = run_script(
        "retrain_tools.list_tensors", f"--graph={renamed}", "--summary", cwd=tmp_path
    )
    assert summary.out.splitlines()[0].split()[:2] == ["File", str(renamed)]
