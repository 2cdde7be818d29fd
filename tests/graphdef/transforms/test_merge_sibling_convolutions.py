from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.transforms.fold_batch_norms import fold_old_batch_norms
from retrain_tools.graphdef.transforms.merge_sibling_convolutions import merge_sibling_convolutions
from retrain_tools.graphdef.transforms.pass_through import remove_pass_through
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import NEAR_REAL, inception_like, own, real, run
from .running import apart, assert_not_changed, op_names, run_light

RNG = np.random.default_rng(5)
X = RNG.normal(0, 1, (2, 7, 7, 5)).astype(np.float32)


def layer(
    x: Any,
    channels: int,
    size: int = 1,
    bias: bool = True,
    activation: Callable[..., Any] | None = tf.nn.relu,
    **more: Any,
) -> Any:
    kernel = RNG.normal(0, 0.5, (size, size, 5, channels)).astype(np.float32)
    made = tf.nn.conv2d(x, kernel, **{"strides": 1, "padding": "SAME", **more})
    if bias:
        made = tf.nn.bias_add(made, RNG.normal(0, 1, channels).astype(np.float32))
    return made if activation is None else activation(made)


def graph_of(*makes: Callable[[Any], Any]) -> Any:
    """What `makes` make of x, joined as y."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 7, 7, 5], "x")
        tf.concat([make(x) for make in makes], 3, name="y")
    return own(graph.as_graph_def())


def siblings(*channels: int, **said: Any) -> Any:
    return graph_of(*(lambda x, n=n: layer(x, n, **said) for n in channels))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"size": 3, "strides": 2, "padding": "VALID"},
        {"bias": False},
        {"activation": None},
        {"bias": False, "activation": None},
        {"activation": tf.nn.relu6},
    ],
)
@pytest.mark.parametrize("channels", [(4, 3), (1, 2, 3), (20, 16, 8)])
def test_one_convolution_gives_the_same(channels: tuple[int, ...], said: dict[str, Any]) -> None:
    graph_def = siblings(*channels, **said)
    light, weights = merge_sibling_convolutions(*apart(graph_def), ["y"])
    assert op_names(light).count("Conv2D") == 1
    assert op_names(light).count("SplitV") == 1
    expected = run(graph_def, "y:0", {"x:0": X})
    found = run_light(light, weights, "y:0", {"x:0": X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    used = {name.split(":")[0] for node in light.node for name in node.input}
    assert weights.keys() <= used, "no weight is left over"


def test_each_kind_is_merged_with_its_own() -> None:
    graph_def = graph_of(
        *(lambda x: layer(x, 3), lambda x: layer(x, 2, size=3), lambda x: layer(x, 4)),
        *(lambda x: layer(x, 5, size=3), lambda x: layer(x, 2, bias=False), lambda x: layer(-x, 2)),
    )
    light, weights = merge_sibling_convolutions(*apart(graph_def), ["y"])
    assert op_names(light).count("Conv2D") == 4
    expected = run(graph_def, "y:0", {"x:0": X})
    found = run_light(light, weights, "y:0", {"x:0": X})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def shared_kernel(x: Any) -> Any:
    kernel = tf.constant(RNG.normal(0, 1, (1, 1, 5, 5)), tf.float32)
    return tf.nn.conv2d(x, kernel, 1, "SAME") + tf.nn.conv2d(x, kernel, 1, "SAME")


def waited_for(x: Any) -> Any:
    made = layer(x, 2)
    with tf.control_dependencies([made]):
        return tf.identity(x) + tf.reduce_sum(made)


@pytest.mark.parametrize(
    "makes",
    [
        (lambda x: layer(x, 2), lambda x: layer(x, 2, activation=tf.nn.elu)),
        (lambda x: layer(x, 2), lambda x: layer(x, 2, size=3)),
        (lambda x: layer(x, 2), lambda x: layer(-x, 2)),
        (lambda x: layer(x, 2),),
        (shared_kernel,),
        (lambda x: layer(x, 2), waited_for),
    ],
)
def test_what_is_no_sibling_stays(makes: tuple[Callable[[Any], Any], ...]) -> None:
    assert_not_changed(merge_sibling_convolutions, graph_of(*makes), ["y"])


def test_what_waits_for_something_stays() -> None:
    graph_def = siblings(3, 4)
    next(node for node in graph_def.node if node.op == "BiasAdd").input.append("^x")
    assert_not_changed(merge_sibling_convolutions, graph_def, ["y"])


def test_what_is_to_be_kept_stays() -> None:
    graph_def = siblings(3, 4)
    assert_not_changed(merge_sibling_convolutions, graph_def, ["y", "Relu"])
    assert_not_changed(merge_sibling_convolutions, inception_like(), ["softmax"])


def test_the_graph_of_2015() -> None:
    graph_def = schema.GraphDef.FromString(real(NEAR_REAL).read_bytes())
    light, weights = remove_pass_through(*apart(graph_def), ["pool_3"])
    light, weights = fold_old_batch_norms(light, weights, ["pool_3"])
    merged, arrays = merge_sibling_convolutions(light, weights, ["pool_3"])
    assert len(light.node) - len(merged.node) == 65
    feeds = {"Mul:0": RNG.uniform(-1, 1, (1, 299, 299, 3)).astype(np.float32)}
    expected = run(graph_def, "pool_3:0", feeds)
    found = run_light(merged, arrays, "pool_3:0", feeds)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
