"""Slim checkpoints behind --graph: every form opens, is frozen once, and frozen anew if changed."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.note import read_note
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import build_network
from retrain_tools.sources import kept_slim as module
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.open import open_model
from tests.head.scripts import run_script
from tests.opening import load_graph
from tests.slim.golden import draw_images, run
from tests.slim.test_freezing import save
from tests.sources.checkpoints import CLASSES, FORMS, copied, drawn, write_forms

SIZE = 32
LOGITS = "MobilenetV1/Logits/SpatialSqueeze:0"


class Side(NamedTuple):
    """What to put in front of a checkpoint's network; None for the usual."""

    preprocess: str | None = None
    height: int | None = None
    width: int | None = None


SMALL = Side(height=SIZE)


def frozen_graph(path, model_dir, side=None):
    preprocess, *size = side or Side()
    model = open_model(path, model_dir, Choices(preprocess=preprocess))
    return model.freeze(tuple(size)).graph_def


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    return write_forms(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def expected():
    built = build_network("mobilenet_v1", drawn(), SIZE, CLASSES, 0.25)
    return run(built.graph_def, {"logits": built.logits}, draw_images(SIZE))["logits"]


def logits(graph_def) -> np.ndarray:
    return run(graph_def, {"logits": LOGITS}, draw_images(SIZE))["logits"]


def kept(home: Path) -> list[Path]:
    return sorted((home / "frozen").glob("*.pb"))


@pytest.fixture
def frozen_paths(monkeypatch):
    """The paths that are frozen from now on."""
    paths = []
    freeze = module.freezing.freeze_network

    def counted(shapes, read, where, **options):
        paths.append(where)
        return freeze(shapes, read, where, **options)

    monkeypatch.setattr(module.freezing, "freeze_network", counted)
    return paths


@pytest.mark.parametrize("form", FORMS)
def test_every_form_opens_and_is_frozen_once(forms, expected, tmp_path, form, frozen_paths):
    for _ in range(2):
        graph_def = frozen_graph(forms[form], tmp_path, SMALL)
        np.testing.assert_allclose(logits(graph_def), expected, atol=1e-5 * expected.std())
    assert len(frozen_paths) == 1
    assert len(kept(tmp_path)) == 1


def test_the_spec_is_the_network_s_own(forms, tmp_path):
    frozen = load_graph(forms["V2 prefix"], tmp_path)
    assert frozen.spec.image_size == (224, 224)
    assert frozen.spec.bottleneck == "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"
    assert frozen.spec.final == "MobilenetV1/Predictions/Reshape_1:0"
    assert frozen.spec.end_points["Conv2d_13_pointwise"].endswith("Relu6:0")
    assert frozen.path == Path(forms["V2 prefix"])
    note = read_note(frozen.graph_def)
    assert (note.source, note.preprocess) == ("mobilenet_v1", "resize")


def test_the_log_says_what_was_recognised_and_where_it_is_kept(forms, tmp_path, caplog):
    caplog.set_level("INFO")
    frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    [file] = kept(tmp_path)
    line = f"{forms['V2 prefix']}: mobilenet_v1, frozen as {file}"
    assert caplog.messages == [line]
    frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    assert caplog.messages == [line]


def test_the_prefix_and_its_index_and_folder_share_what_is_kept(forms, tmp_path, frozen_paths):
    for form in ("V2 prefix", "V2 index", "folder"):
        frozen_graph(forms[form], tmp_path, SMALL)
    assert len(frozen_paths) == 1
    copy = copied(forms["V2 prefix"], tmp_path / "copy")  # known by content, wherever it is
    frozen_graph(copy, tmp_path, SMALL)
    assert len(frozen_paths) == 1


def test_a_changed_checkpoint_is_frozen_anew(forms, tmp_path, expected, frozen_paths):
    path = copied(forms["V2 prefix"], tmp_path / "copy")
    frozen_graph(path, tmp_path, SMALL)
    biases = "MobilenetV1/Logits/Conv2d_1c_1x1/biases"
    shutil.rmtree(tmp_path / "copy")
    variables = drawn()
    save(variables | {biases: variables[biases] + 1}, Path(path))
    graph_def = frozen_graph(path, tmp_path, SMALL)
    np.testing.assert_allclose(logits(graph_def), expected + 1, atol=1e-4)
    assert frozen_paths == [path, path]
    assert len(kept(tmp_path)) == 2


def test_another_size_another_crop_and_other_code_are_others(
    forms, tmp_path, frozen_paths, monkeypatch
):
    sides = [SMALL, Side(width=64), Side("slim", SIZE), Side(None, SIZE, 64)]
    for side in sides:
        frozen_graph(forms["V2 prefix"], tmp_path, side)
    (tmp_path / "note.py").write_text("# as another version has it")
    monkeypatch.setattr(module.note, "__file__", str(tmp_path / "note.py"))
    frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    assert len(frozen_paths) == len(kept(tmp_path)) == 5


@pytest.mark.parametrize(
    ("side", "shape"),
    [
        (Side(None, 48, 64), [48, 64]),
        (Side(None, 48, None), [48, 48]),
        (Side(None, None, 64), [64, 64]),
        (Side("slim", 40, 56), [40, 56]),
    ],
)
def test_the_size_asked_for(forms, tmp_path, side, shape):
    graph_def = frozen_graph(forms["V2 prefix"], tmp_path, side)
    entrance = next(node for node in graph_def.node if node.name == "input")
    assert [dim.size for dim in entrance.attr["shape"].shape.dim] == [-1, *shape, 3]
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    data = tf.io.encode_png(image).numpy()
    pixels = run(graph_def, {"x": "input:0"}, data, "DecodeJpeg/contents:0")["x"]
    assert pixels.shape == (1, *shape, 3)


@pytest.mark.parametrize("side", [Side(height=0), Side(None, -5, 32)])
def test_a_size_that_is_none(forms, tmp_path, side):
    with pytest.raises(InputError) as error:
        frozen_graph(forms["V2 prefix"], tmp_path, side)
    assert str(error.value).startswith(
        "Width, classes and image size of mobilenet_v1 have to be above 0, not 0.25, 5 and "
    )
    assert kept(tmp_path) == []


@pytest.mark.parametrize("damage", [b"", b"not a graph", None])
def test_a_damaged_kept_graph_is_made_again(forms, tmp_path, expected, damage, caplog):
    frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    [file] = kept(tmp_path)
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2] if damage is None else damage)
    graph_def = frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    np.testing.assert_allclose(logits(graph_def), expected, atol=1e-5 * expected.std())
    [line] = [message for message in caplog.messages if "made again" in message]
    assert line.startswith(str(file))
    assert line.endswith(". It is made again.")
    assert file.read_bytes() == good


def test_a_model_dir_that_cannot_be_written_is_done_without(forms, tmp_path, expected, caplog):
    (tmp_path / "file").write_text("")  # root may write everywhere but below a file
    for _ in range(2):
        graph_def = frozen_graph(forms["V2 prefix"], tmp_path / "file", SMALL)
        np.testing.assert_allclose(logits(graph_def), expected, atol=1e-5 * expected.std())
    start = f"{forms['V2 prefix']} is frozen again each time: [Errno 20] Not a directory: "
    assert len([message for message in caplog.messages if message.startswith(start)]) == 2


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_model_dir_without_permission(forms, tmp_path, caplog):
    (tmp_path / "frozen").mkdir(mode=0o500)
    frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    assert "is frozen again each time: [Errno 13] Permission denied" in caplog.text


def test_opened_twice_at_once_it_is_frozen_once(forms, tmp_path, frozen_paths):
    threads = [
        threading.Thread(target=frozen_graph, args=(forms["V1 file"], tmp_path, SMALL))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(frozen_paths) == 1


def test_the_usual_model_dir(forms, tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_TOOLS_HOME", str(tmp_path / "home"))
    frozen_graph(forms["V2 prefix"], None, SMALL)
    assert len(kept(tmp_path / "home")) == 1


# --- what is wrong ---


def test_a_checkpoint_without_its_data(forms, tmp_path):
    path = copied(forms["V2 prefix"], tmp_path / "copy")
    for file in (tmp_path / "copy").glob("*.data-*"):
        file.unlink()
    with pytest.raises(InputError) as error:
        frozen_graph(path, tmp_path)
    assert str(error.value).startswith(f"The checkpoint {path} cannot be read: ")
    assert str(error.value).endswith("every .data file beside it; download or copy them again.")
    assert kept(tmp_path) == []


def test_a_checkpoint_of_no_slim_network(tmp_path):
    path = save({"w": np.zeros(3, np.float32)}, tmp_path / "other" / "model.ckpt")
    with pytest.raises(InputError, match="slim"):
        frozen_graph(path, tmp_path)
    with pytest.raises(InputError, match=r"cannot be frozen: .*slim"):
        load_graph(path, tmp_path)
    assert kept(tmp_path) == []


def test_a_folder_of_two_checkpoints(forms, tmp_path):
    path = Path(copied(forms["V2 prefix"], tmp_path / "copy"))
    (path.parent / "checkpoint").unlink()
    for file in path.parent.glob("model.ckpt-7.*"):
        shutil.copy(file, str(file).replace("ckpt-7", "ckpt-8"))
    with pytest.raises(InputError) as error:
        frozen_graph(str(path.parent), tmp_path)
    assert str(error.value) == (
        f"{path.parent} holds 2 checkpoints: model.ckpt-7, model.ckpt-8; name one."
    )


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"^No such file: .*model\.ckpt$"):
        load_graph(f"{tmp_path}/model.ckpt", tmp_path)


@pytest.mark.parametrize("preprocess", ["slim", "resize"])
def test_a_graph_has_its_own_way_of_preparing_images(forms, tmp_path, preprocess):
    frozen_graph(forms["V2 prefix"], tmp_path, SMALL)
    [file] = kept(tmp_path)
    assert load_graph(str(file)).spec.end_points["Predictions"] == (
        "MobilenetV1/Predictions/Reshape_1:0"
    )
    with pytest.raises(InputError) as error:
        load_graph(str(file), choices=Choices(preprocess=preprocess))
    assert str(error.value) == (
        f"preprocess={preprocess} is for slim checkpoints; {file} is a graph, which "
        "has its own way of preparing images."
    )


# --- the scripts ---


@pytest.fixture(scope="module")
def home(forms, tmp_path_factory):
    """Where every script finds the checkpoint frozen; with images of two classes."""
    folder = tmp_path_factory.mktemp("home")
    for number in range(24):
        place = folder / "photos" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((20, 20, 3), (number * 5, 255 * (number % 2), 90), np.uint8)
        place.write_bytes(tf.io.encode_png(image).numpy())
    return folder


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("list_tensors", [], "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"),
        ("bottlenecks", ["--image_dir=photos"], "24 computed, 0 reused, 0 repaired, 0 failed"),
        ("label_image", ["photos/a/0.png", "--labels=labels.txt"], "\na 0."),
        (
            "retrain",
            ["--image_dir=photos", "--how_many_training_steps=20"],
            "Final test accuracy = ",
        ),
    ],
)
def test_scripts_take_a_checkpoint(forms, home, script, arguments, said, monkeypatch):
    monkeypatch.setenv("RETRAIN_TOOLS_HOME", str(home))
    (home / "labels.txt").write_text("\n".join("abcde"))
    graph = f"--graph={forms['V2 prefix']}"
    done = run_script(f"retrain_tools.{script}", graph, *arguments, cwd=home)
    assert done.status == 0, done.err
    assert said in done.out + done.err
    assert "Traceback" not in done.err
    assert len(kept(home)) == 1
