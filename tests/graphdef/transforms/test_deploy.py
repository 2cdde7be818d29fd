"""The documented way to shrink the graph of 2015 for deployment, and what is left beyond it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.transforms.cut import cut
from retrain_tools.graphdef.transforms.fold_batch_norms import (
    fold_batch_norms,
    fold_old_batch_norms,
)
from retrain_tools.graphdef.transforms.fold_constants import fold_constants
from retrain_tools.graphdef.transforms.merge_sibling_convolutions import merge_sibling_convolutions
from retrain_tools.graphdef.transforms.pass_through import remove_pass_through
from retrain_tools.graphdef.transforms.quantize_weights import quantize_weights
from retrain_tools.graphdef.weights import whole_graph

from ..tiny_graphs import NEAR_REAL, real, run
from .running import apart, oracle, run_light

OUTPUTS = ["pool_3"]
FEEDS = {"Mul:0": np.random.default_rng(6).uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def graph_def() -> Any:
    return schema.GraphDef.FromString(real(NEAR_REAL).read_bytes())


@pytest.fixture(scope="module")
def expected(graph_def: Any) -> Any:
    return run(graph_def, "pool_3:0", FEEDS)


def deployed(graph_def: Any, inputs: list[str]) -> Any:
    light, weights = cut(*apart(graph_def), inputs=inputs, outputs=OUTPUTS)
    for transform in (remove_pass_through, fold_constants, fold_batch_norms, fold_old_batch_norms):
        light, weights = transform(light, weights, OUTPUTS)
    return light, weights


def test_the_documented_recipe_leaves_what_the_tool_leaves(graph_def: Any, expected: Any) -> None:
    light, weights = deployed(graph_def, ["Mul"])
    theirs = oracle(
        graph_def, ["Mul"], OUTPUTS,
        'strip_unused_nodes(type=float, shape="1,299,299,3") '
        "remove_nodes(op=Identity, op=CheckNumerics) fold_constants(ignore_errors=true) "
        "fold_batch_norms fold_old_batch_norms",
    )  # fmt: skip
    assert len(light.node) <= len(theirs.node) <= 514
    found = run_light(light, weights, "pool_3:0", FEEDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(run(theirs, "pool_3:0", FEEDS), found, rtol=0, atol=1e-4)


@pytest.mark.parametrize("inputs", [["Mul"], ["DecodeJpeg/contents"]])
def test_merged_siblings_leave_fewer_than_500(
    inputs: list[str], graph_def: Any, expected: Any
) -> None:
    light, weights = merge_sibling_convolutions(*deployed(graph_def, inputs), OUTPUTS)
    assert len(light.node) < 500
    found = run_light(light, weights, "pool_3:0", FEEDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_quantized_weights_make_a_quarter_of_it(graph_def: Any, expected: Any) -> None:
    light, weights = deployed(graph_def, ["Mul"])
    small, arrays = quantize_weights(light, weights, OUTPUTS)
    assert whole_graph(small, arrays).ByteSize() < whole_graph(light, weights).ByteSize() / 3.9
    found = run_light(small, arrays, "pool_3:0", FEEDS)
    assert np.linalg.norm(found - expected) < 0.2 * np.linalg.norm(expected)
