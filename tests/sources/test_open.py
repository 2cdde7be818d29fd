"""Each kind of file recognised, listed and frozen, or refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.sources.contents import Choices
from retrain_tools.sources.kinds import Kind, kind_of
from retrain_tools.sources.open import open_model

from . import corpus
from .corpus import Written, real


@pytest.fixture
def files(
    frozen: Path,
    training: Written,
    training_v1: Written,
    saved_model_1: Written,
    saved_model_2: Written,
    hub_module: Written,
    hub_2: Written,
    keras_files: Mapping[str, Path],
) -> Mapping[str, Path]:
    return {
        "frozen": frozen,
        "text": frozen.with_suffix(".pbtxt"),
        "unfrozen": training.path.with_name("unfrozen.pb"),
        "meta": training.path,
        "checkpoint v2": training.path.with_suffix(""),
        "index": training.path.with_suffix(".index"),
        "data": training.path.with_suffix(".data-00000-of-00001"),
        "checkpoint folder": training.path.parent,
        "checkpoint v1": training_v1.path.with_suffix(""),
        "saved model 1": saved_model_1.path,
        "saved_model.pb": saved_model_1.path / "saved_model.pb",
        "saved model 2": saved_model_2.path,
        "hub module": hub_module.path,
        "hub 2": hub_2.path,
        "keras": keras_files["keras"],
        "h5": keras_files["h5"],
        "weights": keras_files["weights"],
        "keras export": keras_files["export"],
        "tflite": keras_files["tflite"],
    }


@pytest.mark.parametrize(
    ("name", "kind", "words", "freezable", "listed"),
    [
        ("frozen", Kind.GRAPH_DEF, "frozen GraphDef", True, "graph"),
        ("text", Kind.GRAPH_DEF, "frozen GraphDef", True, "graph"),
        ("unfrozen", Kind.GRAPH_DEF, "GraphDef with variables", False, "graph variables"),
        ("meta", Kind.META_GRAPH, "with its checkpoint", True, "graph variables"),
        ("checkpoint v2", Kind.CHECKPOINT, "checkpoint of variables", True, "variables"),
        ("index", Kind.CHECKPOINT, "checkpoint of variables", True, "variables"),
        ("data", Kind.CHECKPOINT, "checkpoint of variables", True, "variables"),
        ("checkpoint folder", Kind.CHECKPOINT, "checkpoint of variables", True, "variables"),
        ("checkpoint v1", Kind.CHECKPOINT, "checkpoint of variables", True, "variables"),
        ("saved model 1", Kind.SAVED_MODEL, "tags serve", True, "graph variables signatures"),
        ("saved_model.pb", Kind.SAVED_MODEL, "tags serve", True, "graph variables signatures"),
        ("saved model 2", Kind.SAVED_MODEL, "tags serve", True, "graph variables signatures"),
        ("hub module", Kind.SAVED_MODEL, "TF1 Hub module", True, "graph variables signatures"),
        ("hub 2", Kind.SAVED_MODEL, "TF2 Hub interface", True, "graph variables signatures"),
        ("keras", Kind.KERAS, "Keras model (.keras)", True, "variables"),
        ("h5", Kind.HDF5, "Keras model (HDF5)", True, "variables"),
        ("weights", Kind.HDF5, "Keras weights (HDF5)", False, "variables"),
        ("keras export", Kind.SAVED_MODEL, "tags serve", True, "graph variables signatures"),
        ("tflite", Kind.TFLITE, "TensorFlow Lite model", False, "tensors signatures"),
    ],
)
def test_every_kind(
    files: Mapping[str, Path], name: str, kind: Kind, words: str, freezable: bool, listed: str
) -> None:
    assert kind_of(files[name]) is kind
    opened = open_model(files[name])
    assert words in opened.description
    has = {
        "graph": opened.stored_graph is not None and len(opened.stored_graph.node) > 0,
        "variables": bool(opened.variables),
        "signatures": bool(opened.signatures),
        "tensors": bool(opened.own_tensors),
    }
    assert {what for what, there in has.items() if there} == set(listed.split())
    assert opened.can_freeze == freezable
    if freezable:
        frozen = opened.freeze()
        assert frozen.outputs
        ops = {node.op for node in frozen.graph_def.node}
        assert not ops & {"VariableV2", "VarHandleOp", "StatefulPartitionedCall", "SaveV2"}
    else:
        with pytest.raises(InputError, match=r"cannot be frozen: .*pass"):
            opened.freeze()


@pytest.mark.parametrize(
    "path",
    [
        "inception-2015-12-05/near_real_graph_def.pb",
        "mobilenet_v1_0.25_128/frozen_graph.pb",
        "mobilenet_v1_0.25_128/quantized_graph.pb",
        "mobilenet_v1_0.25_128/retrained_graph.pb",
    ],
)
def test_real_graphs(path: str) -> None:
    opened = open_model(real(path))
    assert opened.description == "frozen GraphDef"
    assert opened.freeze().outputs


def test_nothing_but_checkpoints_needs_tensorflow_to_be_listed(files: Mapping[str, Path]) -> None:
    paths = [str(p) for name, p in files.items() if not name.startswith(("check", "ind", "data"))]
    code = (
        "import json, sys\n"
        "from retrain_tools.sources.open import open_model\n"
        "for path in json.loads(sys.argv[1]): print(open_model(path).description)\n"
        "assert not {'tensorflow.python.tf2', 'keras'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code, json.dumps(paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(paths)


@pytest.mark.parametrize("name", ["frozen", "meta", "saved model 1", "hub 2", "keras", "tflite"])
def test_archives_hold_one_of_these(files: Mapping[str, Path], name: str, tmp_path: Path) -> None:
    path = files[name]
    inside = path.parent if name == "meta" else path
    if name == "meta":  # without the graph that lies there for another test
        inside = tmp_path / "only"
        inside.mkdir()
        for file in path.parent.glob("model.ckpt*"):
            (inside / file.name).write_bytes(file.read_bytes())
    packed = [
        corpus.tar_of(inside, tmp_path / "a.tar.gz"),
        corpus.zip_of(inside, tmp_path / "a.zip"),
    ]
    if path.is_file() and name != "meta":
        packed.append(corpus.gzip_of(path, tmp_path / f"{path.name}.gz"))
    plain = open_model(path)
    for archive in packed:
        opened = open_model(archive)
        assert opened.description == f"{plain.description}, in {archive.name}"
        assert opened.path == archive
        assert [v.name for v in opened.variables] == [v.name for v in plain.variables]
        if plain.can_freeze and name != "keras":
            assert opened.freeze().outputs == plain.freeze().outputs
        if plain.variables:
            first = plain.variables[0].name
            assert np.array_equal(opened.value(first), plain.value(first))


def test_a_file_inside_an_archive_can_be_named(
    frozen: Path, keras_files: Mapping[str, Path], tmp_path: Path
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    for path in (frozen, keras_files["tflite"]):
        (both / path.name).write_bytes(path.read_bytes())
    (both / "labels.txt").write_text("cat\ndog\n")
    archive = corpus.tar_of(both, tmp_path / "both.tgz")
    with pytest.raises(InputError) as error:
        open_model(archive)
    assert str(error.value) == (
        f"{archive} holds 2 models: inside/frozen.pb, inside/model.tflite; name one, as "
        f"{archive}/inside/frozen.pb."
    )
    assert open_model(f"{archive}/inside/model.tflite").own_tensors
    with pytest.raises(InputError, match=r"^No such file: .*both\.tgz/inside/other\.pb$"):
        open_model(f"{archive}/inside/other.pb")
    assert len(open_model(both / "frozen.pb").stored_graph.node) > 3


def test_a_folder_with_one_file_is_that_file(frozen: Path, tmp_path: Path) -> None:
    (tmp_path / "graph.pb").write_bytes(frozen.read_bytes())
    (tmp_path / "labels.txt").write_text("cat\n")
    assert open_model(tmp_path).description == "frozen GraphDef"


def test_tags_and_signatures_only_where_there_are_some(frozen: Path, training: Written) -> None:
    with pytest.raises(InputError, match="GraphDef, which has no tags"):
        open_model(frozen, choices=Choices(tags=["serve"]))
    with pytest.raises(InputError, match="checkpoint, which has no signatures"):
        open_model(training.path.with_suffix(""), choices=Choices(signature="x"))


def test_values_are_read_on_request(training: Written, keras_files: Mapping[str, Path]) -> None:
    meta, checkpoint = open_model(training.path), open_model(training.path.with_suffix(""))
    name = "net/fc/weights/part_1"
    whole = checkpoint.value("net/fc/weights")
    assert whole.shape == (8, 6)
    assert np.array_equal(meta.value(name), whole[:, 3:])
    with pytest.raises(InputError, match="Did you mean 'net/fc/weights/part_1'"):
        meta.value("net/fc/weights/part_l")
    by_zip, by_h5 = open_model(keras_files["keras"]), open_model(keras_files["h5"])
    kernel = by_h5.value("model_weights/conv1/conv1/kernel")
    assert kernel.shape == (3, 3, 3, 8)
    assert any(np.array_equal(by_zip.value(v.name), kernel) for v in by_zip.variables)
