from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.transforms.sparsify_gather import sparsify_gather
from retrain_tools.graphdef.weights import whole_graph
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import inception_like, own, run, theirs
from .running import apart, assert_not_changed, op_names, oracle, run_light

RAW = tf.raw_ops


def table(shape: tuple[int, ...] = (60, 4), rows: tuple[int, ...] = (0, 3, 7, 59)) -> Any:
    values = np.zeros(shape, np.float32)
    values[list(rows)] = np.random.default_rng(1).normal(0, 1, (len(rows), *shape[1:]))
    return values


def gathered(
    values: Any = None, kind: Any = tf.int32, old: bool = False, more: Any = None, axis: int = 0
) -> Any:
    """y: rows of a table, by the placeholder `ids`."""
    with tf.Graph().as_default() as graph:
        ids = tf.compat.v1.placeholder(kind, name="ids")
        held = tf.constant(table() if values is None else values, name="table")
        params = tf.identity(held, name="table/read")
        if old:
            made = RAW.Gather(params=params, indices=ids)
        else:
            made = RAW.GatherV2(params=params, indices=ids, axis=axis)
        tf.identity(made, name="y")
        if more is not None:
            tf.identity(more(params, ids), name="z")
    return own(graph.as_graph_def())


IDS = [np.arange(60), np.array([[7, 1], [59, 0]]), np.array(3), np.zeros((0,), int)]


@pytest.mark.parametrize("ids", IDS, ids=["all", "a matrix", "one", "none"])
@pytest.mark.parametrize("kind", [tf.int32, tf.int64])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("shape", [(60, 4), (60,), (60, 2, 3)])
def test_the_rows_are_the_same(shape: tuple[int, ...], old: bool, kind: Any, ids: Any) -> None:
    graph_def = gathered(table(shape), kind, old)
    light, weights = sparsify_gather(*apart(graph_def), ["y"])
    assert "table" not in weights
    assert "LowerBound" in op_names(light)
    feeds = {"ids:0": ids}
    np.testing.assert_array_equal(
        run_light(light, weights, "y:0", feeds), run(graph_def, "y:0", feeds)
    )


def test_the_graph_is_smaller() -> None:
    graph_def = gathered(table((5000, 16)))
    made = whole_graph(*sparsify_gather(*apart(graph_def), ["y"]))
    assert made.ByteSize() < graph_def.ByteSize() / 50


def test_a_table_of_zeros_only() -> None:
    graph_def = gathered(np.zeros((50, 2), np.float32))
    light, weights = sparsify_gather(*apart(graph_def), ["y"], largest_share=0)
    assert not weights
    found = run_light(light, weights, "y:0", {"ids:0": [4, 49]})
    np.testing.assert_array_equal(found, np.zeros((2, 2)))


def test_indices_out_of_range() -> None:
    light, weights = sparsify_gather(*apart(gathered()), ["y"])
    found = run_light(light, weights, "y:0", {"ids:0": [-1, 60]})
    np.testing.assert_array_equal(found, np.zeros((2, 4)))
    with pytest.raises(tf.errors.InvalidArgumentError):
        run_light(light, weights, "y:0", {"ids:0": [61]})


def test_two_gathers_share_the_rows() -> None:
    def again(params: Any, ids: Any) -> Any:
        return RAW.Gather(params=params, indices=tf.cast(ids, tf.int64) + 1)

    graph_def = gathered(more=again)
    light, weights = sparsify_gather(*apart(graph_def), ["y", "z"])
    assert sum(name.startswith("table/rows") for name in weights) == 1
    feeds = {"ids:0": [2, 6, 58]}
    for fetch in ("y:0", "z:0"):
        np.testing.assert_array_equal(
            run_light(light, weights, fetch, feeds), run(graph_def, fetch, feeds)
        )


@pytest.mark.parametrize("old", [False, True])
def test_the_tool_gathers_the_same(old: bool) -> None:
    graph_def = gathered(table((60, 1)), tf.int64, old)
    made = oracle(graph_def, ["ids"], ["y"], "sparsify_gather(group_init_node=init)")
    ids = np.arange(60)
    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(theirs(made), name="")
    with tf.compat.v1.Session(graph=graph) as session:
        session.run("init")
        expected = session.run("y:0", {"ids:0": ids})
    light, weights = sparsify_gather(*apart(graph_def), ["y"])
    np.testing.assert_array_equal(run_light(light, weights, "y:0", {"ids:0": ids}), expected)


@pytest.mark.parametrize(
    "graph_def",
    [
        pytest.param(gathered(table(rows=tuple(range(40)))), id="mostly values"),
        pytest.param(gathered(more=lambda params, _: params * 2), id="taken otherwise, too"),
        pytest.param(gathered(axis=1), id="another axis"),
        pytest.param(gathered(np.array([b"", b"a"] * 20)), id="strings"),
        pytest.param(
            gathered(more=lambda p, ids: RAW.GatherV2(params=p, indices=ids, axis=ids)),
            id="an axis that is computed",
        ),
        pytest.param(inception_like(), id="no gather"),
    ],
)  # fmt: skip
def test_what_is_something_else_stays(graph_def: Any) -> None:
    keep = [name for name in ("y", "z", "softmax") if any(n.name == name for n in graph_def.node)]
    assert_not_changed(sparsify_gather, graph_def, keep)


def test_a_table_that_is_kept_stays() -> None:
    assert_not_changed(sparsify_gather, gathered(), ["y", "table/read"])


def test_the_largest_share_decides() -> None:
    graph_def = gathered(table(rows=(1, 2, 3)))
    assert_not_changed(sparsify_gather, graph_def, ["y"], largest_share=0.04)
    assert "LowerBound" in op_names(sparsify_gather(*apart(graph_def), largest_share=0.05)[0])
    with pytest.raises(InputError, match=r"largest_share=1.5 must be from 0 to 1: it is the share"):
        sparsify_gather(*apart(graph_def), largest_share=1.5)
