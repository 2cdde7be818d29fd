"""list_tensors on every kind of file, and on files that are none of them, as people run it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.quiet_tensorflow import tf
from tests.listing_script import ROOT, Runner
from tests.sources.corpus import SIZE, Written

GRAPHLESS = ("keras weights", "tflite")


def embedded(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="graph-data">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


KINDS = {  # a tensor of each, the number of all, and whether there is a graph
    "graph": ("Mean:0", 8),
    "text graph": ("Mean:0", 8),
    "graph with variables": ("net/fc/weights/part_0:0", None),
    "meta": ("net/probs:0", None),
    "meta alone": ("net/fc/weights/part_0:0", None),
    "checkpoint": ("net/probs:0", None),
    "checkpoint v1": ("net/probs:0", None),
    "checkpoint alone": ("net/fc/weights/Momentum", 11),
    "slim v2": ("MobilenetV1/Logits/AvgPool_1a/AvgPool:0", None),
    "slim v1": ("MobilenetV1/Logits/AvgPool_1a/AvgPool:0", None),
    "slim tgz": ("MobilenetV1/Logits/AvgPool_1a/AvgPool:0", None),
    "saved model 1": ("net/looked_up:0", None),
    "hub 1": ("net/looked_up:0", None),
    "saved model 2": ("add:0", None),
    "hub 2": ("add:0", None),
    "keras": ("toy_1/pool_1/Mean:0", None),
    "keras h5": ("toy_1/pool_1/Mean:0", None),
    "keras weights": ("layers/conv2d/vars/0", 8),
    "keras export": ("toy_1/pool_1/Mean:0", None),
    "tflite": ("serving_default_pixels:0", None),
    "tgz": ("Mean:0", 8),
    "zip": ("Mean:0", 8),
    "gz": ("Mean:0", 8),
    "inside": ("Mean:0", 8),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_listed_and_summed_up(
    script: Runner, kinds: Mapping[str, Path], model_dir: Path, name: str
) -> None:
    tensor, count = KINDS[name]
    flags = ("--graph", kinds[name], "--model_dir", model_dir)
    stdout, stderr = script.listed(*flags, "--format=names")
    names = stdout.splitlines()
    assert tensor in names
    assert count in (None, len(names))
    assert stderr.endswith(f"{len(names)} of {len(names)} tensors\n")
    summary, _ = script.listed(*flags, "--summary")
    assert summary.startswith("File  ")
    assert "\nKind  " in summary
    has_graph = name not in (*GRAPHLESS, "checkpoint alone")
    assert ("\nInputs\n" in summary) == has_graph
    assert ("\nFrozen  " in summary) == (not has_graph)
    values = json.loads(script.listed(*flags, "--summary", "--format=json")[0])
    assert values["path"] == str(kinds[name])
    assert values["kind"]


def test_what_is_inside_a_keras_file(script: Runner, kinds: Mapping[str, Path]) -> None:
    flags = ("--graph", kinds["keras"], "--inside")
    assert script.listed(*flags)[0] == (
        "layer        class                   shape           parameters  tensor\n"
        "toy          Functional              [?, 5]          301         toy_1/probs_1/Softmax:0\n"
        "toy/pixels   InputLayer              [?, 12, 12, 3]  0           pixels:0\n"
        "toy/conv1    Conv2D                  [?, 10, 10, 8]  224         toy_1/conv1_1/Relu:0\n"
        "toy/bn       BatchNormalization      [?, 10, 10, 8]  32          "
        "toy_1/bn_1/batchnorm/add_1:0\n"
        "toy/pool     GlobalAveragePooling2D  [?, 8]          0           toy_1/pool_1/Mean:0\n"
        "toy/dropout  Dropout                 unknown         0           -\n"
        "toy/probs    Dense                   [?, 5]          45          toy_1/probs_1/Softmax:0\n"
    )
    assert json.loads(script.listed(*flags, "--pattern=conv", "--format=json")[0]) == [
        {
            "layer": "toy/conv1",
            "class": "Conv2D",
            "shape": [None, 10, 10, 8],
            "parameters": 224,
            "tensor": "toy_1/conv1_1/Relu:0",
        }
    ]


@pytest.mark.parametrize("name", GRAPHLESS)
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--html=page.html", "{path} has no graph to draw: it is a {kind}."),
        ("--browse", "{path} has no graph to draw: it is a {kind}."),
        ("--diff=GRAPH", "{path} has no graph to compare: it is a {kind}."),
        ("--as_stored", "{path} stores no graph: it is a {kind}."),
        ("--function=f", "{path} stores no graph: it is a {kind}."),
        ("--tree", "{path} has no graph: it is a {kind}."),
        ("--format=tree", "{path} has no graph: it is a {kind}."),
        ("--bottlenecks", "{path} has no graph: it is a {kind}."),
        ("--functions", "{path} has no functions: it is a {kind}."),
    ],
)
def test_what_a_file_without_a_graph_cannot_show(
    script: Runner, kinds: Mapping[str, Path], name: str, flag: str, message: str
) -> None:
    kind = {
        "keras weights": "Keras weights (HDF5)",
        "tflite": "TensorFlow Lite model, schema version 3",
    }[name]
    flag = flag.replace("GRAPH", str(kinds["graph"]))
    said = script.error_of("--graph", kinds[name], flag)
    assert said == message.format(path=kinds[name], kind=kind)
    assert not (ROOT / "page.html").exists()


@pytest.mark.parametrize(
    ("name", "flag", "message"),
    [
        ("graph", "--variables", "has no variables: it is a frozen GraphDef."),
        ("graph", "--signatures", "has no signatures: it is a frozen GraphDef."),
        ("graph", "--functions", "has no functions: it is a frozen GraphDef."),
        ("inside", "--variables", "has no variables: it is a frozen GraphDef, in a.tgz."),
        ("checkpoint", "--signatures", "has no signatures: it is a checkpoint of variables."),
        ("checkpoint", "--as_stored", "stores no graph: it is a checkpoint of variables."),
        (
            "slim v1",
            "--as_stored",
            "stores no graph: it is a checkpoint of slim's mobilenet_v1.",
        ),
        ("keras", "--functions", "has no functions: it is a Keras model (.keras)."),
        ("keras", "--as_stored", "stores no graph: it is a Keras model (.keras)."),
        (
            "meta",
            "--signatures",
            "has no signatures: it is a MetaGraph of TensorFlow VERSION, with its checkpoint.",
        ),
    ],
)
def test_what_a_file_has_not(
    script: Runner, kinds: Mapping[str, Path], model_dir: Path, name: str, flag: str, message: str
) -> None:
    result = script.run("--graph", kinds[name], "--model_dir", model_dir, flag)
    assert (result.status, result.stdout) == (2, "")
    said = result.stderr.splitlines()[-1].removeprefix("error: ")  # after what was frozen first
    assert said == f"{kinds[name]} {message.replace('VERSION', tf.__version__)}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--variables", "--signatures"], "--variables cannot be combined with --signatures."),
        (["--variables", "--functions"], "--variables cannot be combined with --functions."),
        (["--html=x.html", "--browse"], "--html cannot be combined with --browse."),
        (["--summary", "--html=x.html"], "--summary cannot be combined with --html."),
        (["--inside", "--summary"], "--summary cannot be combined with --inside."),
        (
            ["--inside", "--upstream=a"],
            "--upstream chooses tensors to list; leave it out with --inside.",
        ),
        (["--diff=y.pb", "--variables"], "--diff cannot be combined with --variables."),
        (["--tree", "--functions"], "--tree cannot be combined with --functions."),
        (["--html="], "--html takes the file to write, as --html=graph.html."),
    ],
)
def test_combinations(script: Runner, flags: list[str], message: str) -> None:
    assert script.error_of("--graph=g.pb", *flags) == message


def test_tags_and_signatures_that_are_not_there(script: Runner, kinds: Mapping[str, Path]) -> None:
    path = kinds["saved model 1"]
    assert script.error_of("--graph", path, "--tags=gpu") == (
        f"No graph with tags gpu in {path}; there are: serve; train. Name all of one graph's tags."
    )
    assert script.error_of("--graph", path, "--signature=x") == (
        f"No signature 'x' in {path}. There are: serving_default."
    )
    assert script.error_of("--graph", kinds["graph"], "--tags=serve") == (
        f"{kinds['graph']} is a GraphDef, which has no tags; leave them out."
    )
    training, _ = script.listed("--graph", path, "--tags=train", "--summary")
    assert f"Kind     SavedModel of TensorFlow {tf.__version__}, tags train: " in training


def test_variables_in_every_form(
    script: Runner, kinds: Mapping[str, Path], training: Written
) -> None:
    flags = ("--graph", kinds["checkpoint alone"], "--variables")
    reader = tf.train.load_checkpoint(str(training.path.with_suffix("")))
    shapes = reader.get_variable_to_shape_map()
    table = script.listed(*flags)[0].splitlines()
    assert table[0].split() == ["name", "dtype", "shape"]
    assert [line.split()[0] for line in table[1:]] == sorted(shapes)
    assert script.listed(*flags, "--format=names") == (
        "".join(f"{n}\n" for n in sorted(shapes)),
        "",
    )
    found = json.loads(script.listed(*flags, "--stats", "--format=json")[0])
    assert [(v["name"], v["shape"]) for v in found] == [(n, shapes[n]) for n in sorted(shapes)]
    for variable in found:
        values = reader.get_tensor(variable["name"]).astype(np.float64)
        assert variable["min"] == values.min()
        assert variable["max"] == values.max()
        assert variable["mean"] == pytest.approx(values.mean())
        assert (variable["zeros"], variable["nans"]) == (np.sum(values == 0), 0)
    rows = list(csv.reader(io.StringIO(script.listed(*flags, "--stats", "--format=csv")[0])))
    assert rows[0] == ["name", "dtype", "shape", "min", "max", "mean", "zeros", "nans"]
    assert len(rows) == 12


def test_variables_without_values(script: Runner, kinds: Mapping[str, Path]) -> None:
    path = kinds["graph with variables"]
    assert len(script.listed("--graph", path, "--variables", "--format=names")[0].split()) == 15
    assert script.error_of("--graph", path, "--variables", "--stats") == (
        f"{path} has no values of variables: its variables have no values: a GraphDef does not "
        "hold them; pass the .meta file beside the checkpoint, or the SavedModel, that belongs to "
        "it."
    )


def test_signatures_in_every_form(script: Runner, kinds: Mapping[str, Path]) -> None:
    flags = ("--graph", kinds["hub 1"], "--signatures")
    assert script.listed(*flags) == (
        "signature  side    key            tensor              dtype    shape\n"
        "default    input   images         hub_input/images:0  float32  [?, 12, 12, 3]\n"
        "default    output  default        net/pool:0          float32  [?, 8]\n"
        "default    output  net/looked_up  net/looked_up:0     float32  [?, 4]\n"
        "default    output  net/probs      net/probs:0         float32  [?, 6]\n",
        "",
    )
    assert script.listed(*flags, "--format=names")[0] == "default\n"
    first, *_ = json.loads(script.listed(*flags, "--format=json")[0])
    assert (first["tensor"], first["shape"]) == ("hub_input/images:0", [None, SIZE, SIZE, 3])
    assert script.listed(*flags, "--format=csv")[0].splitlines()[2] == (
        'default,output,default,net/pool:0,float32,"[?, 8]"'
    )


def test_functions_and_their_bodies(script: Runner, kinds: Mapping[str, Path]) -> None:
    path = kinds["saved model 2"]
    found = json.loads(script.listed("--graph", path, "--functions", "--format=json")[0])
    names = script.listed("--graph", path, "--functions", "--format=names")[0].split()
    assert [function["function"] for function in found] == names
    layer = next(function for function in found if "_inference_layer_" in function["function"])
    assert layer["arguments"].startswith("x float32, ")
    body, stderr = script.listed("--graph", path, "--function", layer["function"], "--format=csv")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(body))}
    assert rows["x:0"]["op"] == "Placeholder"
    assert rows["layer/product:0"]["op"] == "MatMul"
    assert rows["x:0"]["consumers"] == "layer/product"
    ops = [row["op"] for row in rows.values()]  # of a NoOp no tensor comes
    assert ops == ["Placeholder", "Placeholder", "ReadVariableOp", "MatMul", "Identity"]
    assert stderr.endswith(f"{len(rows)} of {len(rows)} tensors\n")
    up, _ = script.listed(
        "--graph", path, "--function", layer["function"], "--format=names",
        "--upstream=layer/product", "--op_type=Placeholder",
    )  # fmt: skip
    assert up.split()[0] == "x:0"
    message = script.error_of("--graph", path, "--function=nothing")
    assert message.startswith(f"No function 'nothing' in the graph ({len(names)} functions).")
    assert message.endswith(" List them: list_tensors --functions")


def test_the_graph_as_it_is_stored(script: Runner, kinds: Mapping[str, Path]) -> None:
    flags = ("--graph", kinds["saved model 1"], "--format=csv")
    frozen, _ = script.listed(*flags)
    stored, _ = script.listed(*flags, "--as_stored")
    assert 'net/conv/weights:0,float32,"[3, 3, 3, 8]",Const,' in frozen
    assert ",VariableV2," in stored
    assert ",VariableV2," not in frozen
    # Nothing is frozen for it, so nothing is said about freezing.
    path = kinds["graph with variables"]
    lines, stderr = script.listed("--graph", path, "--as_stored", "--format=names")
    assert stderr == f"{len(lines.split())} of {len(lines.split())} tensors\n"
    same, stderr = script.listed("--graph", path, "--format=names")
    assert same == lines
    assert stderr.startswith(f"warning: {path} cannot be frozen: its variables have no values: ")


def test_statistics_of_constants(script: Runner, tmp_path: Path) -> None:
    values = {
        "floats": np.array([[0.5, np.nan], [0, -3]], np.float32),
        "whole": np.array([0, -7, 5], np.int64),
        "truth": np.array([True, False]),
        "words": np.array([b"a", b"b"], object),
        "empty": np.zeros((0,), np.float32),
    }
    with tf.Graph().as_default() as graph:
        for name, value in values.items():
            tf.constant(value, name=name)
        tf.constant([1, -2], tf.bfloat16, name="half")
        tf.negative(tf.compat.v1.placeholder(tf.float32, [2], "fed"), "made")
    path = tmp_path / "g.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    table, _ = script.listed("--graph", path, "--stats")
    assert (
        table
        == """\
name      dtype     shape   op           min  max  mean       zeros  nans
floats:0  float32   [2, 2]  Const        -3   0.5  -0.833333  1      1
whole:0   int64     [3]     Const        -7   5    -0.666667  1      0
truth:0   bool      [2]     Const        0    1    0.5        1      0
words:0   string    [2]     Const        ?    ?    ?          ?      ?
empty:0   float32   [0]     Const        ?    ?    ?          0      0
half:0    bfloat16  [2]     Const        -2   1    -0.5       0      0
fed:0     float32   [2]     Placeholder  ?    ?    ?          ?      ?
made:0    float32   [2]     Neg          ?    ?    ?          ?      ?
"""
    )
    found = json.loads(script.listed("--graph", path, "--stats", "--format=json")[0])
    by_name = {tensor["name"]: tensor for tensor in found}
    assert by_name["floats:0"]["mean"] == pytest.approx(-2.5 / 3)
    assert by_name["fed:0"]["min"] is None


def test_the_page(script: Runner, kinds: Mapping[str, Path], tmp_path: Path) -> None:
    place = tmp_path / "graph.html"
    assert script.listed("--graph", kinds["graph"], "--html", place) == (f"{place}\n", "")
    data = embedded(place)
    names = [node.name for node in schema.GraphDef.FromString(kinds["graph"].read_bytes()).node]
    assert [names[number] for number in data["path"]] == ["input", "Conv2D", "Mean"]
    assert names[data["bottleneck"]] == "Mean"
    assert ["Bottleneck", "Mean:0"] in data["facts"]


def test_the_page_in_the_browser(kinds: Mapping[str, Path], tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "retrain_tools.list_tensors", "--browse"]
    done = subprocess.run(
        [*command, f"--graph={kinds['graph']}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"BROWSER": f"{browser} %s", "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = Path(done.stdout.strip())
    assert page.parent == tmp_path
    assert seen.read_text() == f"file://{page}\n"
    assert embedded(page)["title"] == "frozen.pb"
