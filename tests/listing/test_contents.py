"""Variables, signatures and functions as lines, and the figures of values against NumPy."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

import retrain_tools
from retrain_tools.graphdef import schema
from retrain_tools.listing.contents import (
    STATISTICS,
    function_lines,
    signature_lines,
    statistics,
    tensor_statistics,
    variable_lines,
)
from retrain_tools.listing.tables import Lines, lines_text
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Signature, TensorInfo
from retrain_tools.text_tables import Style

PLAIN = Style()
NOTHING = (None,) * 5


@given(
    arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_floats_against_numpy(values: npt.NDArray[Any]) -> None:
    least, largest, mean, zeros, nans = statistics(values)
    wide = values.astype(np.float64)
    assert nans == np.count_nonzero(np.isnan(wide))
    assert zeros == np.count_nonzero(wide == 0)
    if nans == values.size:
        assert (least, largest, mean) == (None, None, None)
        return
    assert (least, largest) == (np.nanmin(wide), np.nanmax(wide))
    with np.errstate(all="ignore"):
        assert mean == pytest.approx(np.nanmean(wide), rel=1e-12, abs=1e-12, nan_ok=True)


@given(
    arrays.arrays(
        st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=2, max_side=4),
    )
)
def test_whole_numbers_are_exact(values: npt.NDArray[Any]) -> None:
    least, largest, mean, zeros, nans = statistics(values)
    numbers = [int(number) for number in values.flat]
    assert (least, largest, zeros, nans) == (min(numbers), max(numbers), numbers.count(0), 0)
    assert type(least) is type(largest) is int
    assert mean == pytest.approx(sum(numbers) / len(numbers), rel=1e-9, abs=1e-9 * 2**64)


def test_one_value_for_all_takes_no_memory() -> None:
    """As a file of a few bytes may claim."""
    for value, zeros, nans in ((3.0, 0, 0), (0.0, 1, 0), (math.nan, 0, 1)):
        values = np.broadcast_to(np.float32(value), (10**6, 10**6))
        figures = (None,) * 3 if nans else (value,) * 3
        assert statistics(values) == (*figures, zeros * 10**12, nans * 10**12)


def test_other_types() -> None:
    half = np.array([1.5, np.nan, 0, -2], ml_dtypes.bfloat16)
    assert statistics(half) == (-2.0, 1.5, pytest.approx(-1 / 6), 1, 1)
    assert statistics(np.array([b"a", b""], object)) == NOTHING
    assert statistics(np.array(["a"])) == NOTHING
    assert statistics(np.array([1 + 2j])) == NOTHING
    assert statistics(np.zeros((0, 3), np.float32)) == (None, None, None, 0, 0)


@pytest.mark.filterwarnings("error")
def test_infinities_make_no_noise() -> None:
    least, largest, mean, *_ = statistics(np.array([np.inf, -np.inf, 1]))
    assert (least, largest) == (-np.inf, np.inf)
    assert math.isnan(mean)


def test_figures_of_a_graph_s_constants(tmp_path: Path) -> None:
    values = {
        "floats": np.array([[0.5, np.nan], [0, -3]], np.float32),
        "spread": np.full((3, 4), 2, np.float32),
        "whole": np.array([0, -7, 2**40], np.int64),
        "truth": np.array([True, False]),
        "half": np.array([1, 2], ml_dtypes.bfloat16),
        "words": np.array([b"a", b"b"], object),
        "empty": np.zeros((0,), np.float32),
    }
    with tf.Graph().as_default() as graph:
        for name, value in values.items():
            tf.constant(value, name=name)
        tf.identity(tf.compat.v1.placeholder(tf.float32, [2], "fed"), "made")
    path = tmp_path / "g.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    network = retrain_tools.load(path)
    found = tensor_statistics(network, network.graph, network.tensors())
    assert list(found) == [f"{name}:0" for name in [*values, "fed", "made"]]
    for name, value in values.items():
        assert found[f"{name}:0"] == dict(zip(STATISTICS, statistics(value), strict=True))
    assert found["whole:0"]["max"] == 2**40
    assert set(found["fed:0"].values()) == set(found["made:0"].values()) == {None}


def test_a_damaged_constant_has_no_figures(tmp_path: Path) -> None:
    """A MetaGraph's constants are not looked at when it is opened."""
    graph_def = schema.GraphDef()
    for name, content in (("short", b"\0\0\0"), ("none", b"")):
        node = graph_def.node.add(name=name, op="Const")
        node.attr["dtype"].type = node.attr["value"].tensor.dtype = 1
        node.attr["value"].tensor.tensor_shape.dim.add(size=2)
        node.attr["value"].tensor.tensor_content = content
    graph_def.node.add(name="bare", op="Const")
    network: Any = None  # which has no variables
    tensors = [
        retrain_tools.graphdef.tensors.Tensor(f"{name}:0", "?", None, "Const")
        for name in ("short", "none", "bare")
    ]
    found = tensor_statistics(network, graph_def, tensors)
    assert [tuple(figures.values()) for figures in found.values()] == [
        NOTHING,
        (0.0, 0.0, 0.0, 2, 0),  # zeros may be left out
        NOTHING,
    ]


VARIABLES = (
    TensorInfo("scope/w", "float32", (2, None)),
    TensorInfo("step", "int64", ()),
    TensorInfo("odd", "float32", None),
)


def test_variables_in_every_form() -> None:
    values = {
        "scope/w": np.array([[1, 0.25]], np.float32),
        "step": np.int64(2**53 + 1),
        "odd": np.array([np.nan, -np.inf], np.float32),
    }
    lines = variable_lines(VARIABLES, lambda name: np.asarray(values[name]), stats=True)
    assert lines_text(lines, "table", PLAIN) == (
        "name     dtype    shape    min               max               mean        zeros  nans\n"
        "scope/w  float32  [2, ?]   0.25              1                 0.625       0      0\n"
        "step     int64    []       9007199254740993  9007199254740993  9.0072e+15  0      0\n"
        "odd      float32  unknown  -inf              -inf              -inf        0      1\n"
    )
    assert lines_text(lines, "names", PLAIN) == "scope/w\nstep\nodd\n"
    rows = list(csv.DictReader(io.StringIO(lines_text(lines, "csv", PLAIN))))
    assert rows[0] == {
        "name": "scope/w",
        "dtype": "float32",
        "shape": "[2, ?]",
        "min": "0.25",
        "max": "1",
        "mean": "0.625",
        "zeros": "0",
        "nans": "0",
    }
    objects = json.loads(lines_text(lines, "json", PLAIN))
    assert objects[0] == {
        "name": "scope/w",
        "dtype": "float32",
        "shape": [2, None],
        "min": 0.25,
        "max": 1.0,
        "mean": 0.625,
        "zeros": 0,
        "nans": 0,
    }
    assert objects[1]["min"] == 2**53 + 1
    assert objects[2]["shape"] is None


def test_no_value_is_read_without_being_asked_for() -> None:
    def refuse(name: str) -> npt.NDArray[Any]:
        raise AssertionError(name)

    assert variable_lines(VARIABLES, refuse).cells[0] == ("scope/w", "float32", (2, None))


SIGNATURES = {
    "serve": Signature(
        {"images": TensorInfo("x:0", "float32", (None, 3))},
        {"a": TensorInfo("a:0", "float32", None), "b": TensorInfo("?", "int64", ())},
    ),
    "nothing in": Signature({}, {"c": TensorInfo("c:0", "string", (1,))}),
}


def test_signatures_in_every_form() -> None:
    lines = signature_lines(SIGNATURES)
    assert lines_text(lines, "table", PLAIN) == (
        "signature   side    key     tensor  dtype    shape\n"
        "serve       input   images  x:0     float32  [?, 3]\n"
        "serve       output  a       a:0     float32  unknown\n"
        "serve       output  b       ?       int64    []\n"
        "nothing in  output  c       c:0     string   [1]\n"
    )
    assert lines_text(lines, "names", PLAIN) == "serve\nnothing in\n"
    assert json.loads(lines_text(lines, "json", PLAIN))[0] == {
        "signature": "serve",
        "side": "input",
        "key": "images",
        "tensor": "x:0",
        "dtype": "float32",
        "shape": [None, 3],
    }
    assert (
        lines_text(lines, "csv", PLAIN).splitlines()[1] == 'serve,input,images,x:0,float32,"[?, 3]"'
    )


def test_functions(kinds: Mapping[str, Path]) -> None:
    network = retrain_tools.load(kinds["saved model 2"])
    graph_def = network.stored_graph
    lines = function_lines(graph_def)
    assert lines.columns == ("function", "nodes", "arguments", "results")
    assert graph_def is not None
    by_name = {line[0]: line[1:] for line in lines.cells}
    assert len(by_name) == len(graph_def.library.function) > 3
    for function in graph_def.library.function:
        nodes, arguments, results = by_name[function.signature.name]
        assert nodes == len(function.node_def)
        assert len(arguments.split(", ")) == max(len(function.signature.input_arg), 1)
        assert len(results.split(", ")) == max(len(function.signature.output_arg), 1)
    layer = next(line for name, line in by_name.items() if "inference_layer" in name)
    assert layer[1:] == (
        "x float32, layer_product_readvariableop_resource resource",
        "identity float32",
    )
    assert function_lines(None).cells == function_lines(schema.GraphDef()).cells == []


NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
CELL = st.none() | st.integers() | NAME | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(NAME, CELL), min_size=1))
def test_forms_for_programs_keep_every_cell(cells: list[tuple[str, Any]]) -> None:
    lines = Lines(("name", "figure"), cells)
    assert [tuple(o.values()) for o in json.loads(lines_text(lines, "json", PLAIN))] == cells
    head, *rows = csv.reader(io.StringIO(lines_text(lines, "csv", PLAIN), newline=""))
    assert head == ["name", "figure"]
    assert [row[0] for row in rows] == [name for name, _ in cells]
    assert all(row[1] == "-" for row, (_, value) in zip(rows, cells, strict=True) if value is None)
