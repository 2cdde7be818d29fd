"""`retrain_tools.load`: a network looked into and used, as people do in a notebook."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.graphdef.tensors import Tensor
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny
from tests.sources.corpus import SIZE, Written

ROOT = Path(__file__).resolve().parents[2]
IMAGES = (None, SIZE, SIZE, 3)
NOT_ALONE = (
    "the values of its 15 variables are in a checkpoint that is not beside it "
    "(model.ckpt.index); copy it there."
)


def test_tensors_by_pattern(kinds: Mapping[str, Path]) -> None:
    network = rt.load(str(kinds["graph"]))
    assert network.tensors("^M.*n:0$|input") == [
        Tensor("input:0", "float32", IMAGES, "Placeholder"),
        Tensor("Mean:0", "float32", (None, 8), "Mean"),
    ]
    assert network.tensors("nothing like it") == []
    assert len(network.tensors()) == len(network.tensors("")) == 8
    with pytest.raises(InputError) as error:
        network.tensors("(")
    assert str(error.value) == (
        "'(' is not a regular expression: missing ), unterminated subpattern at position 0"
    )
    weights = rt.load(kinds["keras weights"])
    assert weights.tensors("conv2d/vars/1") == [
        Tensor("layers/conv2d/vars/1", "float32", (8,), "variable")
    ]


def test_variables_and_signatures(kinds: Mapping[str, Path], saved_model_1: Written) -> None:
    network = rt.load(saved_model_1.path)
    assert [v.name for v in network.variables][:2] == ["net/conv/weights", "net/bn/g"]
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(saved_model_1.path))
        originals = {v.name: session.run(f"{v.name}:0") for v in network.variables}
    for variable in network.variables:
        original = originals[variable.name]
        assert np.array_equal(network.value(variable.name), original)
        assert (variable.dtype, variable.shape) == (original.dtype.name, original.shape)
    [signature] = network.signatures.values()
    assert {key: info.name for key, info in signature.outputs.items()} == {
        "default": "net/pool:0",
        "net/looked_up": "net/looked_up:0",
        "net/probs": "net/probs:0",
    }
    with pytest.raises(InputError) as error:
        network.value("net/bn/x")
    assert f"No variable 'net/bn/x' in {saved_model_1.path}. Did you mean" in str(error.value)
    plain = rt.load(kinds["graph"])
    assert (list(plain.variables), dict(plain.signatures)) == ([], {})
    with pytest.raises(InputError) as error:
        plain.value("w")
    assert str(error.value) == f"No variable 'w' in {kinds['graph']}: it is a frozen GraphDef."


def test_the_graph_as_it_is_stored(kinds: Mapping[str, Path]) -> None:
    network = rt.load(kinds["meta"])
    assert network.stored_graph is not None
    stored = {node.op for node in network.stored_graph.node}
    assert network.graph is not None
    assert "VariableV2" in stored - {node.op for node in network.graph.node}
    assert rt.load(kinds["keras"]).stored_graph is None


def test_a_graph_that_cannot_be_frozen_is_shown_with_a_warning(
    kinds: Mapping[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = kinds["meta alone"]
    network = rt.load(path)
    assert network.graph is network.stored_graph
    assert network.tensors("^labels")
    assert caplog.messages == [
        f"{path} cannot be frozen: {NOT_ALONE} What follows is the graph as it is stored."
    ]


def test_a_network_in_a_notebook(kinds: Mapping[str, Path]) -> None:
    graph = rt.load(kinds["graph"])
    assert graph._repr_html_() == graph.summary()._repr_html_()
    weights = rt.load(kinds["keras weights"])
    shown = weights._repr_html_()
    assert shown.startswith(f"<pre>File       {kinds['keras weights']}\n")
    assert "Frozen     cannot be: it has weights but" in shown


@pytest.mark.parametrize("form", ["folder", "list", "one", "mixed"])
def test_images_are_named_in_many_ways(
    form: str, kinds: Mapping[str, Path], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    files = [photos / "ab"[number // 2] / f"{number}.jpg" for number in range(4)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        tiny.photo(20 + number, 15, seed=number).save(file)
    images: dict[str, tuple[object, list[Path]]] = {
        "folder": (photos, files),
        "list": ([files[3], str(files[1])], [files[3], files[1]]),
        "one": (str(files[2]), [files[2]]),
        "mixed": ([photos / "b", files[0]], [*files[2:], files[0]]),
    }
    given, expected = images[form]
    network = rt.load(kinds["graph"], input_mean=0.0, input_std=255.0)
    found = rt.fetch(network, "Mean", given)  # type: ignore[arg-type]
    assert found.images == [str(path) for path in expected]
    assert found.values["Mean"].shape == (len(expected), 8)
    assert found.failed == {}


def test_what_the_user_says_of_the_graph(kinds: Mapping[str, Path], tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("RGB", (SIZE, SIZE), (100, 100, 100)).save(grey)
    network = rt.load(kinds["graph"], input_mean=50.0, input_std=25.0, bottleneck_tensor="MatMul")
    spec = network.frozen().spec
    assert (spec.mean, spec.std, spec.bottleneck) == (50.0, 25.0, "MatMul:0")
    inside = rt.fetch(network, "Conv2D:0", grey, pooling="max").values["Conv2D:0"]
    assert np.allclose(inside, 27 * 2.0)  # a kernel of ones on pixels of (100 - 50) / 25
    by_layer = rt.load(kinds["graph"], input_layer="Conv2D")
    assert by_layer.summary().inputs[0].why == "pixels: named by the user"
    with pytest.raises(TypeError, match="input_size"):
        rt.load(kinds["graph"], input_size=3)


def test_a_catalogued_name(kinds: Mapping[str, Path], tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "toy.toml").write_text(
        'description = "toy"\narchive = {url = "http://127.0.0.1:9/t.tgz", name = "t.tgz"}\n'
        'graph = {path = "toy.pb"}\n'
        'input = {pixel = "input:0", image_size = [12, 12], mean = 0, std = 1}\n'
        'output = {bottleneck = "Conv2D:0", depth = 8, pooling = "avg", final = "MatMul:0"}\n'
    )
    (tmp_path / "toy.pb").write_bytes(kinds["graph"].read_bytes())
    monkeypatch.setenv("RETRAIN_TOOLS_CATALOG", str(tmp_path))
    network = rt.load("toy", model_dir=tmp_path)
    assert network.entry is not None
    assert (network.path, network.entry.name) == (tmp_path / "toy.pb", "toy")
    assert network.summary().network == "toy of the catalogue: toy"
    assert network.summary().bottlenecks[0].tensor == "Conv2D:0"
    assert rt.load(kinds["graph"]).summary().network == (
        "same structure as toy of the catalogue (toy); its pixels are taken as that network's, "
        "(x - 0) / 1"
    )
    known = tmp_path / "toy.toml"
    checksum = hashlib.sha256(kinds["graph"].read_bytes()).hexdigest()
    member = f'{{path = "toy.pb", bytes = {kinds["graph"].stat().st_size}, sha256 = "{checksum}"}}'
    known.write_text(known.read_text().replace('{path = "toy.pb"}', member))
    assert rt.load(kinds["graph"]).summary().network == "toy of the catalogue: toy"


def test_a_plain_graph_needs_neither_tensorflow_nor_numpy(kinds: Mapping[str, Path]) -> None:
    code = """
import sys
import retrain_tools as rt
heavy = {"tensorflow.python.tf2", "numpy", "keras", "PIL"}
assert not heavy & set(sys.modules), "import"
network = rt.load(sys.argv[1])
assert len(network.tensors("M")) == 4
assert network.graph is not None and not network.variables and not network.signatures
repr(network)
assert not heavy & set(sys.modules), "list"
assert network.summary().inputs[0].tensor.name == "input:0"
assert "tensorflow.python.tf2" not in sys.modules, "summary"
"""
    command = [sys.executable, "-c", code, str(kinds["graph"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
