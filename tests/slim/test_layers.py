"""Layers against TensorFlow's own, and what a folded batch norm amounts to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.folding import Norm
from retrain_tools.slim.layers import Network
from retrain_tools.slim.plan import Tensor, Variant
from retrain_tools.slim.rows import AvgPool, Conv, Fork, MaxPool
from tests.slim.golden import draw_images, draw_variables, run

_SIZE = 9
_NORM = Norm(epsilon=0.001, gamma=True)


def _values(
    lay_out: Callable[[Network], Tensor], norm: Norm | None = _NORM
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what a layer makes of two images, and its variables by the last part of the name."""
    net = Network("net", Variant((_SIZE, _SIZE), 5), norm)
    made = lay_out(net)
    variables = draw_variables(net.variables)
    images = draw_images(_SIZE)
    values = run(net.graph_def(variables), {"made": f"{made.node}:0"}, images)["made"]
    assert values.shape == (2, *made.shape)
    return values, {name.split("/")[-1]: value for name, value in variables.items()}


def _normed(x: np.ndarray, v: dict[str, np.ndarray]) -> np.ndarray:
    spread = np.sqrt(v["moving_variance"] + _NORM.epsilon)
    return (x - v["moving_mean"]) / spread * v.get("gamma", 1) + v["beta"]


def _close(values: np.ndarray, expected: np.ndarray) -> bool:
    return values.shape == expected.shape and bool(np.abs(values - expected).max() < 1e-5)


@pytest.mark.parametrize("norm", [_NORM, Norm(_NORM.epsilon, gamma=False)])
def test_a_convolution_with_batch_norm(norm: Norm) -> None:
    values, v = _values(lambda net: net.conv(net.image, "conv", (1, 3), 4, 2), norm)

    plain = tf.nn.conv2d(draw_images(_SIZE), v["weights"], 2, "SAME").numpy()
    assert _close(values, np.maximum(_normed(plain, v), 0))
    assert ("gamma" in v) == norm.gamma


def test_a_convolution_with_biases_and_a_scale() -> None:
    values, v = _values(
        lambda net: net.conv(net.image, "conv", 3, 4, normed=False, activated=False, scale=0.2)
    )

    plain = tf.nn.conv2d(draw_images(_SIZE), v["weights"], 1, "SAME").numpy()
    assert _close(values, 0.2 * (plain + v["biases"]))


def test_a_padded_convolution_pads_alike_on_all_sides() -> None:
    values, v = _values(lambda net: net.conv(net.image, "conv", 7, 4, 2, "EVEN", activated=False))

    padded = np.pad(draw_images(_SIZE), [(0, 0), (3, 3), (3, 3), (0, 0)])
    plain = tf.nn.conv2d(padded, v["weights"], 2, "VALID").numpy()
    assert _close(values, _normed(plain, v))


def test_a_depthwise_convolution() -> None:
    values, v = _values(lambda net: net.depthwise(net.image, "depthwise", 3, 2))

    kernel, strides = v["depthwise_weights"], [1, 2, 2, 1]
    plain = tf.nn.depthwise_conv2d(draw_images(_SIZE), kernel, strides, "SAME").numpy()
    assert _close(values, np.maximum(_normed(plain, v), 0))


def test_a_separable_convolution_is_one_convolution() -> None:
    values, v = _values(lambda net: net.separable_conv(net.image, "first", 7, 5, 2, multiplier=8))

    kernels = v["depthwise_weights"], v["pointwise_weights"]
    plain = tf.nn.separable_conv2d(draw_images(_SIZE), *kernels, [1, 2, 2, 1], "SAME").numpy()
    assert _close(values, np.maximum(plain + v["biases"], 0))


def test_a_batch_norm_by_itself() -> None:
    values, v = _values(lambda net: net.norm_and_activation(net.image, "preact"))

    assert _close(values, np.maximum(_normed(draw_images(_SIZE), v), 0))


def test_a_fully_connected_layer_and_both_softmaxes() -> None:
    def lay_out(net: Network) -> Tensor:
        x = net.fully_connected(net.flatten(net.image, "flat"), "Logits", 5)
        return net.slim_softmax(x, "Predictions")

    values, v = _values(lay_out)

    logits = draw_images(_SIZE).reshape(2, -1) @ v["weights"] + v["biases"]
    assert _close(values, tf.nn.softmax(logits).numpy())


def test_pools_and_branches() -> None:
    branches = [[MaxPool("max", 3)], [AvgPool("avg", 3)]]
    values, _ = _values(lambda net: net.mixed(net.image, "Mixed", branches))

    images = draw_images(_SIZE)
    pools = (tf.nn.max_pool2d, tf.nn.avg_pool2d)
    assert _close(values, np.concatenate([pool(images, 3, 1, "SAME") for pool in pools], 3))


def test_a_fork_ends_a_branch_and_rows_are_end_points_if_asked() -> None:
    net = Network("net", Variant((8, 6), 5), _NORM)
    fork = Fork(Conv("wide", (1, 3), 2), Conv("high", (3, 1), 3))

    with net.scope("Branch_1"):
        forked = net.chain(net.image, [Conv("first", 3, 4, 2, "VALID"), fork])
    net.chain(net.image, [MaxPool("pool", 2, 2)], end_points="")

    assert forked == Tensor("net/Branch_1/concat", (3, 2, 5))
    assert net.end_points == {"pool": Tensor("net/pool/MaxPool", (4, 3, 3))}


def test_images_that_are_too_small_are_refused() -> None:
    net = Network("net", Variant((8, 6), 5), _NORM)

    with pytest.raises(InputError, match=r"8×6 pixels: they leave a grid of 8×6 at 'net/conv/Conv"):
        net.conv(net.image, "conv", 7, 4, padding="VALID")
