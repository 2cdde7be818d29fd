"""SavedModels of any graph: both signatures, labels, and their use as a graph again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.export.exported import ExportOptions
from retrain_tools.export.exporting import export_frozen
from retrain_tools.graphdef.note import read_labels
from tests.graphdef.tiny_graphs import (
    CLASSES,
    MOBILENET_RETRAINED,
    NEAR_REAL,
    inception_like,
    jpeg,
    real,
    run,
    write,
)
from tests.opening import freeze_checkpoint, load_graph

LABELS = ["one", "two", "löwenzahn", "four", "five"]
IMAGES = [jpeg(seed, 20 + seed, 30) for seed in range(3)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_model")
    frozen = load_graph(write(inception_like(), folder / "g.pb"))
    options = ExportOptions(["softmax", "pool_3/_reshape", "mixed/conv"], LABELS)
    return frozen, export_frozen(frozen, str(folder / "serving" / "1"), "saved_model", options)


def of_source(frozen, tensor):
    feeds = [{"DecodeJpeg/contents:0": data} for data in IMAGES]
    return np.concatenate([run(frozen.graph_def, tensor, feed) for feed in feeds])


def test_encoded_images_and_pixels_give_every_output(exported):
    frozen, found = exported
    signatures = tf.saved_model.load(found.path).signatures
    given = signatures["serving_default"](image_bytes=tf.constant(IMAGES))
    pixels = of_source(frozen, "Mul:0")
    from_pixels = signatures["pixels"](pixels=tf.constant(pixels))
    tensors = {"scores": "softmax:0", "bottleneck": "pool_3/_reshape:0", "mixed_conv": "mixed/conv"}
    for key, tensor in tensors.items():
        expected = of_source(frozen, f"{tensor.removesuffix(':0')}:0")
        np.testing.assert_allclose(given[key], expected, atol=1e-4)
        np.testing.assert_allclose(from_pixels[key], expected, atol=1e-4)
    for result in (given, from_pixels):
        assert [[t.decode() for t in row] for row in result["labels"].numpy()] == [LABELS] * 3
    assert sorted(signatures["pixels"].structured_outputs) == sorted([*tensors, "labels"])


def test_it_says_how_far_it_is_from_its_source(exported):
    _, found = exported
    assert found.difference < 1e-4
    assert len(found.differences) == 6
    assert "serving_default, scores" in found.differences
    assert found.told["Labels"] == "5, also in assets/labels.txt"


def test_the_labels_are_an_asset(exported):
    _, found = exported
    text = Path(found.path, "assets", "labels.txt").read_text(encoding="utf-8")
    assert text.splitlines() == LABELS


def test_it_is_a_graph_again(exported, tmp_path):
    frozen, found = exported
    again = rt.load(found.path)
    spec = again.frozen().spec
    assert (spec.image_size, spec.mean, spec.std) == ((8, 8), 128, 128)
    assert (spec.bottleneck, spec.final) == ("pool_3/_reshape:0", "softmax:0")
    assert read_labels(again.frozen().graph_def) == LABELS
    fetched = rt.fetch(again, "pool_3/_reshape:0", IMAGES)
    expected = of_source(frozen, "pool_3/_reshape:0")
    np.testing.assert_allclose(fetched.values["pool_3/_reshape:0"], expected, atol=1e-4)
    [labelled] = rt.label(again, IMAGES[0], top_k=1)
    best = int(np.argmax(of_source(frozen, "softmax:0")[0]))
    assert labelled.best[0][0] == LABELS[best]
    second = export_frozen(again.frozen(), str(tmp_path / "again"), "saved_model")
    assert second.difference < 1e-4


def test_the_signature_for_pixels_is_a_graph_as_well(exported):
    frozen, found = exported
    spec = rt.load(found.path, signature="pixels").frozen().spec
    assert (spec.image_size, spec.mean, spec.std) == ((8, 8), 128, 128)
    assert spec.encoded_input is None
    fetched = rt.fetch(rt.load(found.path, signature="pixels"), "pool_3/_reshape:0", IMAGES)
    expected = of_source(frozen, "pool_3/_reshape:0")
    np.testing.assert_allclose(fetched.values["pool_3/_reshape:0"], expected, atol=1e-4)


def test_wrong_labels_are_refused(tmp_path):
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    message = f"labels are 2, but {frozen.path} gives {CLASSES} scores."
    with pytest.raises(InputError, match=re.escape(message)):
        options = ExportOptions(labels=LABELS[:2])
        export_frozen(frozen, str(tmp_path / "m"), "saved_model", options)
    assert [path.name for path in tmp_path.iterdir()] == ["g.pb"]


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    message = f"output={tmp_path} exists and is not an empty folder."
    with pytest.raises(InputError, match=re.escape(message)):
        export_frozen(frozen, str(tmp_path), "saved_model")


def test_an_unknown_form_is_refused(tmp_path):
    frozen = load_graph(write(inception_like(), tmp_path / "g.pb"))
    with pytest.raises(InputError, match=r"to=caffe must be one of .*saved_model.*keras\."):
        export_frozen(frozen, str(tmp_path / "m"), "caffe")


def test_a_slim_checkpoint(slim_checkpoints, tmp_path):
    frozen = freeze_checkpoint(slim_checkpoints["V2 prefix"])
    found = export_frozen(frozen, str(tmp_path / "m"), "saved_model")
    assert found.difference < 1e-4
    spec = rt.load(found.path).frozen().spec
    assert spec.final == frozen.spec.final
    np.testing.assert_allclose(spec.mean, 127.5)


@pytest.mark.parametrize("path", [NEAR_REAL, MOBILENET_RETRAINED])
def test_real_graphs(path, tmp_path):
    frozen = load_graph(real(path))
    tensors = [str(frozen.spec.final), frozen.spec.bottleneck]
    found = export_frozen(frozen, str(tmp_path / "m"), "saved_model", ExportOptions(tensors))
    assert found.difference < 1e-4
    assert rt.load(found.path).frozen().spec.bottleneck == frozen.spec.bottleneck
