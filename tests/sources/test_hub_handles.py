"""Modules by their handles, where tensorflow_hub and kagglehub keep them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

import retrain_tools
from retrain_tools.errors import InputError
from retrain_tools.sources.hub_handles import find_module, handle_of, is_handle, size_in
from tests.sources.corpus import SIZE, Written

HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_035_096/feature_vector/5"
# `printf %s HANDLE | sha1sum`
DIGEST = "686011e25cc5bed07690267d5c9f1da06699f1b7"
KAGGLE = "https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow2/035-96-feature-vector/2"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(folder))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.delenv("TFHUB_MODEL_LOAD_FORMAT", raising=False)
    return folder


def keep(module: Path, cache: Path, handle: str) -> Path:
    """Put a module where tensorflow_hub would, with the note that it writes beside it."""
    place = cache / hashlib.sha1(handle.encode()).hexdigest()
    shutil.copytree(module, place)
    descriptor = f"Module: {handle}\nDownload Time: 2026-01-01\nDownloader Hostname: x (PID:1)"
    place.with_name(f"{place.name}.descriptor.txt").write_text(descriptor)
    return place


@pytest.mark.parametrize("spelling", [HANDLE, f"{HANDLE}/", f"{HANDLE}?tf-hub-format=compressed"])
def test_a_module_opens_by_its_handle(cache: Path, hub_module: Written, spelling: str) -> None:
    place = keep(hub_module.path, cache, HANDLE)
    assert place.name == DIGEST
    model = retrain_tools.load(spelling)
    assert model.path == place
    assert model.description.startswith("TF1 Hub module")
    assert model.summary().network == (
        f"Hub module {HANDLE}, signature default, as the note in it says"
    )


def test_the_folder_itself_opens_as_any_other(cache: Path, hub_2: Written) -> None:
    place = keep(hub_2.path, cache, HANDLE)
    model = retrain_tools.load(place)
    assert (model.path, handle_of(place)) == (place, HANDLE)
    assert "(TF2 Hub interface)" in model.description


def test_a_slash_at_the_end_is_another_handle_to_tensorflow_hub(
    cache: Path, hub_2: Written
) -> None:
    place = keep(hub_2.path, cache, f"{HANDLE}/")
    assert find_module(HANDLE) == place


def test_the_usual_folder_is_that_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = tmp_path / "tfhub_modules" / DIGEST
    place.mkdir(parents=True)
    (place / "saved_model.pb").touch()
    assert find_module(HANDLE) == place


def test_what_is_not_kept_is_named_with_the_way_out(cache: Path) -> None:
    said = (
        f"{HANDLE} is not in {cache}, where tensorflow_hub keeps it as {DIGEST}. Fetch it where "
        f'there is a network (python -c \'import tensorflow_hub; tensorflow_hub.resolve("{HANDLE}"'
        ")'), or set TFHUB_CACHE_DIR to the folder that has it"
    )
    with pytest.raises(InputError) as caught:
        retrain_tools.load(HANDLE)
    assert str(caught.value) == f"{said}."
    (cache / DIGEST).mkdir(parents=True)  # as a download that was broken off leaves it
    with pytest.raises(InputError) as caught:
        retrain_tools.load(HANDLE)
    assert str(caught.value) == f"{said}."


def test_modules_that_are_never_kept_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    with pytest.raises(InputError, match=f"not in {cache}") as caught:
        find_module(HANDLE)
    assert str(caught.value).endswith(
        "the folder that has it; TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED keeps nothing on disk, so "
        "leave that out."
    )


def test_models_of_kaggle_are_found_where_kagglehub_keeps_them(
    cache: Path, tmp_path: Path, hub_2: Written
) -> None:
    parts = "kagglehub/models/google/mobilenet-v2/tensorFlow2/035-96-feature-vector/2"
    shutil.copytree(hub_2.path, tmp_path / parts)
    assert find_module(KAGGLE) == tmp_path / parts
    assert find_module(f"{KAGGLE}/") == tmp_path / parts
    by_frameworks = KAGGLE.replace("/TensorFlow2/", "/frameworks/TensorFlow2/")
    assert find_module(by_frameworks) == tmp_path / parts
    for other in (KAGGLE.replace("/2", "/3"), "https://www.kaggle.com/models/../.."):
        with pytest.raises(InputError, match="where tensorflow_hub keeps it"):
            find_module(other)
    assert find_module(str(keep(hub_2.path, cache, KAGGLE)) and KAGGLE).parent == cache


@pytest.mark.parametrize(
    ("handle", "size"),
    [
        (HANDLE, (96, 96)),
        ("https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/classification/5", (224, 224)),
        (
            "https://www.kaggle.com/models/google/mobilenet-v2/TensorFlow2/100-224-feature-vector/2",
            (224, 224),
        ),
        ("https://tfhub.dev/google/imagenet/inception_v3/feature_vector/5", None),
        ("https://tfhub.dev/google/bit/m-r50x1/1", None),
    ],
)
def test_the_size_in_a_handle(handle: str, size: tuple[int, int] | None) -> None:
    assert size_in(handle) == size


def test_what_is_a_handle() -> None:
    assert is_handle(HANDLE)
    assert is_handle("gs://bucket/module.tar.gz")
    assert not is_handle("/tmp/tfhub_modules/x")
    assert not is_handle("inception_v3")


def test_no_other_folder_has_a_handle(tmp_path: Path) -> None:
    assert handle_of(tmp_path) is None
    tmp_path.with_name(f"{tmp_path.name}.descriptor.txt").write_bytes(b"Module: \xff\n")
    assert handle_of(tmp_path) is None


def test_a_size_that_the_graph_states_is_not_the_handles(cache: Path, hub_module: Written) -> None:
    keep(hub_module.path, cache, HANDLE)
    assert retrain_tools.load(HANDLE).summary().image_size == (SIZE, SIZE)
