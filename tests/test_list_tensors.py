"""The script as people run it: its two outputs and its exit status.

Most runs share one process, which is not this one, because importing TensorFlow takes seconds and
the flags of two scripts cannot be defined in one process.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.quiet_tensorflow import tf
from tests.listing_script import ROOT, Ended, Runner

MOBILENET = ROOT / "../shared/data/mobilenet_v1_0.25_128"


def run_alone(*arguments: object) -> Ended:
    command = [sys.executable, "-m", "retrain_tools.list_tensors", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return Ended(result.returncode, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of 4 features and 2 classes."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as made:
        pixels = v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        kernel = tf.constant(np.ones((3, 3, 3, 4)), tf.float32, name="w")
        net = tf.nn.conv2d(pixels, kernel, 2, "SAME", name="conv")
        net = tf.reduce_mean(net, [1, 2], name="features")
        net = tf.matmul(net, tf.ones([4, 2]), name="logits")
        tf.nn.softmax(net, name="scores")
    path = tmp_path_factory.mktemp("graph") / "graph.pb"
    path.write_bytes(made.as_graph_def().SerializeToString())
    return path


NAMES = ["input:0", "w:0", "conv:0", "features/reduction_indices:0", "features:0"]
NAMES += ["ones:0", "logits:0", "scores:0"]


def test_the_table_is_aligned_and_counted(graph: Path) -> None:
    assert run_alone("--graph", graph) == (
        0,
        """\
name                          dtype    shape         op           consumers
input:0                       float32  [?, 8, 8, 3]  Placeholder  1
w:0                           float32  [3, 3, 3, 4]  Const        1
conv:0                        float32  [?, 4, 4, 4]  Conv2D       1
features/reduction_indices:0  int32    [2]           Const        1
features:0                    float32  [?, 4]        Mean         1
ones:0                        float32  [4, 2]        Const        1
logits:0                      float32  [?, 2]        MatMul       1
scores:0                      float32  [?, 2]        Softmax      0
""",
        "8 of 8 tensors\n",
    )


def test_bottlenecks_as_a_table(script: Runner, graph: Path) -> None:
    assert script.listed("--graph", graph, "--bottlenecks") == (
        """\
name        dtype    shape         op      depth  why
features:0  float32  [?, 4]        Mean    4      what the last layer classifies
conv:0      float32  [?, 4, 4, 4]  Conv2D  4      the same before pooling or reshaping
logits:0    float32  [?, 2]        MatMul  2      the last layer's own output (logits)
""",
        "3 of 8 tensors\n",
    )


def test_names_alone(script: Runner, graph: Path) -> None:
    stdout, _ = script.listed("--graph", graph, "--format=names")
    assert stdout.splitlines() == NAMES


def test_json(script: Runner, graph: Path) -> None:
    tensors = json.loads(script.listed("--graph", graph, "--format=json")[0])
    assert [tensor["name"] for tensor in tensors] == NAMES
    assert tensors[0] == {
        "name": "input:0",
        "dtype": "float32",
        "shape": [None, 8, 8, 3],
        "op": "Placeholder",
        "bytes": None,
        "consumers": ["conv"],
    }
    [best, *_] = json.loads(script.listed("--graph", graph, "--format=json", "--bottlenecks")[0])
    assert best == {
        "name": "features:0",
        "dtype": "float32",
        "shape": [None, 4],
        "op": "Mean",
        "bytes": None,
        "consumers": ["logits"],
        "depth": 4,
        "why": "what the last layer classifies",
    }


def test_csv(script: Runner, graph: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(script.listed("--graph", graph, "--format=csv")[0])))
    assert [row["name"] for row in rows] == NAMES
    assert rows[0] == {
        "name": "input:0",
        "dtype": "float32",
        "shape": "[?, 8, 8, 3]",
        "op": "Placeholder",
        "consumers": "conv",
        "bytes": "?",
    }
    stdout, _ = script.listed("--graph", graph, "--format=csv", "--bottlenecks")
    rows = list(csv.DictReader(io.StringIO(stdout)))
    assert [(row["name"], row["depth"]) for row in rows] == [
        ("features:0", "4"),
        ("conv:0", "4"),
        ("logits:0", "2"),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--pattern=^(conv|ones)"], ["conv:0", "ones:0"]),
        (["--pattern=[Ii]n"], ["input:0", "features/reduction_indices:0"]),
        (["--op_type=Softmax,Conv2D"], ["conv:0", "scores:0"]),
        (["--op_type=Const", "--pattern=o"], ["features/reduction_indices:0", "ones:0"]),
        (["--inputs"], ["input:0"]),
        (["--outputs"], ["scores:0"]),
        (["--inputs", "--outputs"], ["input:0", "scores:0"]),
        (["--inputs", "--outputs", "--op_type=Softmax"], ["scores:0"]),
        (["--bottlenecks", "--pattern=^[cl]"], ["conv:0", "logits:0"]),
        (["--bottlenecks", "--input_layer=conv"], ["features:0", "conv:0", "logits:0"]),
    ],
)
def test_choosing(script: Runner, graph: Path, arguments: list[str], expected: list[str]) -> None:
    stdout, stderr = script.listed("--graph", graph, "--format=names", *arguments)
    assert stdout.splitlines() == expected
    assert stderr == f"{len(expected)} of 8 tensors\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--glob=*eatures"], ["features:0"]),
        (["--dtype=int32"], ["features/reduction_indices:0"]),
        (["--rank=2", "--op_type=Const,MatMul"], ["ones:0", "logits:0"]),
        (["--min_bytes=32"], ["w:0", "ones:0"]),
        (["--upstream=conv"], ["input:0", "w:0", "conv:0"]),
        (["--downstream=features"], ["features:0", "logits:0", "scores:0"]),
        (["--downstream=conv", "--upstream=features:0"], ["conv:0", "features:0"]),
        (["--path=input,logits"], ["input:0", "conv:0", "features:0", "logits:0"]),
        (["--path=input,logits", "--pattern=^f"], ["features:0"]),
        (["--outputs", "--downstream=conv"], ["scores:0"]),
        (["--shapes=infer", "--rank=4", "--dtype=float32"], ["input:0", "w:0", "conv:0"]),
    ],
)
def test_filters(script: Runner, graph: Path, arguments: list[str], expected: list[str]) -> None:
    stdout, stderr = script.listed("--graph", graph, "--format=names", *arguments)
    assert stdout.splitlines() == expected
    assert stderr == f"{len(expected)} of 8 tensors\n"


def test_inferred_shapes_are_the_same_here(script: Runner, graph: Path) -> None:
    plain, _ = script.listed("--graph", graph)
    assert script.listed("--graph", graph, "--shapes=infer")[0] == plain


def test_the_tree(script: Runner, graph: Path) -> None:
    expected = """\
scope                  nodes  parameters  bytes  op
(all)                      8         116    472
  input                    1           0      0  Placeholder
  w                        1         108    432  Const
  conv                     1           0      0  Conv2D
  features/                2           0      8  Mean
    reduction_indices      1           0      8  Const
  ones                     1           8     32  Const
  logits                   1           0      0  MatMul
  scores                   1           0      0  Softmax
"""
    for flag in ("--tree", "--format=tree"):
        assert script.listed("--graph", graph, flag) == (expected, "8 of 8 tensors\n")
    folded, _ = script.listed("--graph", graph, "--tree", "--depth=1", "--upstream=features")
    assert "  features/…      2           0      8  Mean\n" in folded
    assert "logits" not in folded
    tree = json.loads(script.listed("--graph", graph, "--tree", "--format=json")[0])
    assert (tree["nodes"], tree["parameters"]) == (8, 116)


def test_the_summary(script: Runner, graph: Path) -> None:
    stdout, stderr = script.listed("--graph", graph, "--summary")
    assert stderr == ""
    assert f"File     {graph} (" in stdout
    assert "  scores:0  float32  [?, 2]  a softmax that no node takes\n" in stdout
    values = json.loads(script.listed("--graph", graph, "--summary", "--format=json")[0])
    assert [found["name"] for found in values["inputs"]] == ["input:0"]
    assert values["flops"] == 2 * (4 * 4 * 4 * 27 + 4 * 2)
    named, _ = script.listed("--graph", graph, "--summary", "--input_layer=conv")
    assert "pixels: named by the user" in named


def test_commands_of_the_summary_have_flags_that_are_there(script: Runner, graph: Path) -> None:
    values = json.loads(script.listed("--graph", graph, "--summary", "--format=json")[0])
    for command in values["commands"]:
        name, *arguments = command.split()
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text()
        source += (ROOT / "retrain_tools/graph_flags.py").read_text()
        for argument in arguments:
            assert f'"{argument.removeprefix("--").partition("=")[0]}"' in source


def test_the_difference(script: Runner, graph: Path, tmp_path: Path) -> None:
    assert script.listed("--graph", graph, "--diff", graph) == ("no difference in 8 nodes\n", "")
    graph_def = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    graph_def.node[-1].op = "LogSoftmax"
    other = tmp_path / "other.pb"
    other.write_bytes(graph_def.SerializeToString())
    stdout, _ = script.listed("--graph", graph, "--diff", other)
    assert stdout.startswith("~ scores\n    op: Softmax → LogSoftmax\n0 nodes removed, 0 added, ")
    values = json.loads(script.listed("--graph", graph, "--diff", other, "--format=json")[0])
    assert values["attributes_changed"][0]["name"] == "scores"
    assert script.error_of("--graph", graph, "--diff=/no/g.pb") == "No such file: /no/g.pb"


PLAIN_RUNS = (
    [],
    ["--summary"],
    ["--tree"],
    ["--bottlenecks"],
    ["--path=input,scores"],
    ["--format=json"],
    ["--diff=GRAPH"],
)


@pytest.mark.parametrize("arguments", PLAIN_RUNS)
def test_no_tensorflow_is_imported(graph: Path, arguments: list[str]) -> None:
    code = f"""
import atexit, sys
modules = ("tensorflow.python.tf2", "numpy") if {arguments == []} else ("tensorflow.python.tf2",)
atexit.register(lambda: print([m for m in modules if m in sys.modules], file=sys.stderr))
sys.argv[:] = ["list_tensors", "--graph={graph}", *{arguments}]
from retrain_tools.list_tensors import script
script()
"""
    result = subprocess.run(
        [sys.executable, "-c", code.replace("GRAPH", str(graph))],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "[]"
    assert result.stdout


@pytest.mark.parametrize(
    ("format_", "empty"),
    [
        ("names", ""),
        ("json", "[\n]\n"),
        ("csv", "name,dtype,shape,op,consumers,bytes\n"),
        ("table", "name  dtype  shape  op  consumers\n"),
    ],
)
def test_no_match_is_no_error(script: Runner, graph: Path, format_: str, empty: str) -> None:
    result = script.listed("--graph", graph, "--pattern=nothing like it", f"--format={format_}")
    assert result == (empty, "0 of 8 tensors\n")


def test_a_graph_without_images_is_listed(script: Runner, tmp_path: Path) -> None:
    with tf.Graph().as_default() as made:
        tf.constant(2, name="two")
    graph_def = made.as_graph_def()
    graph_def.node.add(name="unknown", op="NoSuchOp", input=["two"])
    path = tmp_path / "numbers.pb"
    path.write_bytes(graph_def.SerializeToString())
    assert script.listed("--graph", path, "--format=csv") == (
        "name,dtype,shape,op,consumers,bytes\n"
        "two:0,int32,[],Const,unknown,4\nunknown:0,?,unknown,NoSuchOp,,?\n",
        "2 of 2 tensors\n",
    )
    assert script.error_of("--graph", path, "--bottlenecks") == (
        f"No tensor of {path} is seen to take images; name it with --input_layer. "
        f"List them: list_tensors --graph={path}"
    )


@pytest.fixture
def own_catalog(graph: Path, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "toy.toml").write_text(
        'description = "toy"\narchive = {url = "http://127.0.0.1:9/t.tgz", name = "t.tgz"}\n'
        'graph = {path = "toy.pb"}\n'
        'input = {pixel = "input:0", image_size = [8, 8], mean = 0, std = 1}\n'
        'output = {bottleneck = "conv:0", depth = 4, pooling = "avg", final = "scores:0"}\n'
    )
    (tmp_path / "toy.pb").write_bytes(graph.read_bytes())
    return {"RETRAIN_TOOLS_CATALOG": str(tmp_path)}


def test_the_catalogues_bottleneck_comes_first(
    script: Runner, graph: Path, tmp_path: Path, own_catalog: dict[str, str]
) -> None:
    flags: tuple[Any, ...] = ("--bottlenecks", "--format=csv")
    by_name, _ = script.listed("--graph=toy", "--model_dir", tmp_path, *flags, **own_catalog)
    assert by_name.splitlines()[1:3] == [
        'conv:0,float32,"[?, 4, 4, 4]",Conv2D,features,?,4,'
        "what the catalogue names for this network",
        'features:0,float32,"[?, 4]",Mean,logits,?,4,what the last layer classifies',
    ]
    by_file, _ = script.listed("--graph", graph, *flags, **own_catalog)
    assert by_file == by_name.replace("this network", "networks of this structure")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--graph must be given; see --help."),
        (["g.pb"], "Unexpected argument 'g.pb'; name the graph with --graph=g.pb"),
        (["--graph=/no/g.pb"], "No such file: /no/g.pb"),
        (
            ["--graph=g.pb", "--pattern=("],
            "--pattern=( is not a regular expression: missing ), unterminated subpattern at "
            "position 0",
        ),
        (
            ["--graph=g.pb", "--bottlenecks", "--outputs"],
            "--bottlenecks cannot be combined with --inputs or --outputs.",
        ),
        (["--graph=g.pb", "--summary", "--tree"], "--summary cannot be combined with --tree."),
        (
            ["--graph=g.pb", "--summary", "--format=csv"],
            "--summary is printed as text or as --format=json.",
        ),
        (
            ["--graph=g.pb", "--path=a,b,c"],
            "--path=a,b,c must name two tensors, as --path=Mul,pool_3.",
        ),
        (["--graph=g.pb", "--rank=-1"], "flag --rank=-1: -1 is not a non-negative integer"),
    ],
)
def test_errors(script: Runner, arguments: list[str], message: str) -> None:
    assert script.error_of(*arguments) == message


def test_an_error_in_a_process_of_its_own() -> None:
    assert run_alone("--graph=/no/g.pb") == (2, "", "error: No such file: /no/g.pb\n")


def test_an_unknown_op_gets_the_nearest_and_all(script: Runner, graph: Path) -> None:
    assert script.error_of("--graph", graph, "--op_type=Conv2d") == (
        f"No tensor of {graph} is made by op 'Conv2d'. Did you mean 'Conv2D'? "
        "Ops there: Const, Conv2D, MatMul, Mean, Placeholder, Softmax."
    )


def test_a_file_of_another_kind(script: Runner, tmp_path: Path) -> None:
    file = tmp_path / "graph.pb"
    file.write_text("<!DOCTYPE html>")
    assert script.error_of("--graph", file) == (
        f"{file} is a web page saved by mistake; download the file itself."
    )


def test_help_names_every_flag_without_loading_tensorflow() -> None:
    code = """
import atexit, sys
atexit.register(lambda: print("tensorflow.python.tf2" in sys.modules, file=sys.stderr))
sys.argv[:] = ["list_tensors", "--help"]
from retrain_tools.list_tensors import script
script()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (result.returncode, result.stderr) == (0, "False\n")
    for flag in ("graph", "model_dir", "pattern", "op_type", "[no]inputs", "[no]outputs"):
        assert f"\n  --{flag}" in result.stdout
    for flag in ("[no]bottlenecks", "input_layer", "format"):
        assert f"\n  --{flag}" in result.stdout
    for flag in ("glob", "dtype", "rank", "min_bytes", "upstream", "downstream", "path", "diff"):
        assert f"\n  --{flag}\n" in result.stdout
    for flag in ("[no]tree", "[no]summary", "depth", "shapes"):
        assert f"\n  --{flag} (default: " in result.stdout
    assert "<table|names|tree|json|csv>" in result.stdout


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    graph_def = tf.compat.v1.GraphDef()
    for number in range(20_000):  # more than a pipe holds
        graph_def.node.add(name=f"a_rather_long_name_for_a_node_{number}", op="NoSuchOp")
    path = tmp_path / "long.pb"
    path.write_bytes(graph_def.SerializeToString())
    command = f"{sys.executable} -m retrain_tools.list_tensors --graph={path}; echo $? >&2"
    result = subprocess.run(
        f"({command}) | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        # Without a buffer, Python does not notice that a write was cut short.
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    )
    assert result.stdout.split() == ["name", "dtype", "shape", "op", "consumers"]
    assert result.stderr == "0\n"


@pytest.mark.skipif(not MOBILENET.exists(), reason="the real MobileNet is not here")
def test_a_real_mobilenet(script: Runner) -> None:
    stdout, stderr = script.listed(
        "--graph", MOBILENET / "retrained_graph.pb", "--bottlenecks", "--format=csv"
    )
    assert stdout.splitlines()[1] == (
        'MobilenetV1/Predictions/Reshape:0,float32,"[1, 1001]",Reshape,'
        "input_1/BottleneckInputPlaceholder,4004,1001,"
        "what retrain.py cached for networks of this structure"
    )
    assert stderr == "4 of 560 tensors\n"


@pytest.mark.skipif(not MOBILENET.exists(), reason="the real MobileNet is not here")
def test_a_real_quantized_mobilenet(script: Runner) -> None:
    stdout, stderr = script.listed(
        "--graph", MOBILENET / "quantized_graph.pb", "--op_type=Dequantize", "--format=csv"
    )
    assert stdout.count(",float32,") == 2
    assert stderr == "2 of 180 tensors\n"
