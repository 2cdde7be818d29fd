"""What the network did otherwise is named: its batch norms, precision, size and tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.explaining.explain import explain
from retrain_tools.explaining.explanation import Explanation, Runnable
from retrain_tools.explaining.network import network_input
from retrain_tools.explaining.network_variants import batch_norm_epsilons, rounded_to
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny
from tests.opening import load_graph

SIDE, COUNT = 32, 10
Weights = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.jpg" for number in range(COUNT)]
    for number, path in enumerate(paths):
        image = tiny.photo(60 + 9 * number, 120 - 5 * number, seed=number)
        path.write_bytes(tiny.encoded(image, "JPEG", quality=92))
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def weights() -> Weights:
    rng = np.random.default_rng(0)
    made = {}
    for layer, (before, depth) in enumerate([(3, 16), (16, 80)]):
        made[f"kernel{layer}"] = rng.normal(0, 0.3, (3, 3, before, depth))
        made[f"gamma{layer}"] = rng.uniform(0.5, 1.5, depth)
        made[f"beta{layer}"] = rng.normal(0.3, 0.3, depth)
        made[f"mean{layer}"] = rng.normal(0, 0.3, depth)
        made[f"variance{layer}"] = rng.uniform(0.02, 0.5, depth)
    return {name: value.astype(np.float32) for name, value in made.items()}


def norm_fused(x: Any, w: Weights, layer: int, epsilon: float) -> Any:
    names = [f"{part}{layer}" for part in ("gamma", "beta", "mean", "variance")]
    values = tf.compat.v1.nn.fused_batch_norm(
        x, *(w[name] for name in names), epsilon=epsilon, is_training=False
    )
    return values[0]


def norm_written_out(x: Any, w: Weights, layer: int, epsilon: float) -> Any:
    """As Keras 3 has it."""
    names = [f"{part}{layer}" for part in ("mean", "variance", "beta", "gamma")]
    return tf.nn.batch_normalization(x, *(tf.constant(w[name]) for name in names), epsilon)


def in_training(x: Any, w: Weights, layer: int, epsilon: float) -> Any:
    mean, variance = tf.nn.moments(x, [0, 1, 2])
    scaled = (x - mean) / tf.sqrt(variance + epsilon)
    return scaled * w[f"gamma{layer}"] + w[f"beta{layer}"]


def network(x: Any, w: Weights, norm: Callable[..., Any], epsilon: float = 1e-3) -> Any:
    for layer in (0, 1):
        x = tf.nn.conv2d(x, w[f"kernel{layer}"], 2, "SAME", name=f"conv{layer}")
        x = tf.nn.relu(norm(x, w, layer, epsilon), f"relu{layer}")
    return tf.reduce_mean(x, [1, 2], name="features")


@pytest.fixture(scope="module", params=["fused", "written out"])
def runnable(request, weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Runnable:
    norm = norm_fused if request.param == "fused" else norm_written_out
    with tf.Graph().as_default() as graph:
        network(tf.compat.v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], "input"), weights, norm)
    path: Path = tmp_path_factory.mktemp("graph") / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    frozen = load_graph(path, overrides=SpecOverrides(input_mean=127.5, input_std=127.5))
    return Runnable(frozen, "features:0")


def pixels(paths: list[str], side: int = SIDE) -> Any:
    images = [tf.io.decode_jpeg(Path(path).read_bytes(), 3) for path in paths]
    resized = [
        tf.compat.v1.image.resize_bilinear(image[tf.newaxis], [side] * 2) for image in images
    ]
    return (tf.concat(resized, 0) - 127.5) / 127.5


def why(runnable: Runnable, other: Any, weights: Weights, photos: list[str]) -> Explanation:
    mine = network(pixels(photos), weights, norm_fused).numpy()
    return explain(runnable, mine, np.asarray(other), photos)


def named(found: Explanation) -> list[tuple[str, str]]:
    assert found.verdict == "explained", found.sentence
    return [(cause.slot, cause.name) for cause in found.causes]


def test_the_epsilon(runnable, weights, photos) -> None:
    assert batch_norm_epsilons(runnable.frozen.graph_def) == [np.float32(1e-3)]
    other = network(pixels(photos), weights, norm_fused, 1e-5)
    found = why(runnable, other, weights, photos)
    assert named(found) == [("network", "epsilon_1e-05")]
    assert "with a batch norm epsilon of 1e-05: mean error" in found.sentence
    assert found.command is None and found.notes[0].startswith(
        "No flag and no short code does that"
    )


def test_training_mode(runnable, weights, photos) -> None:
    together = network(pixels(photos), weights, in_training)
    found = why(runnable, together, weights, photos)
    assert named(found) == [("network", f"training_{COUNT}")]
    assert f"batch norms in training mode (batches of {COUNT})" in found.sentence
    alone = tf.concat([network(pixels([p]), weights, in_training) for p in photos], 0)
    assert named(why(runnable, alone, weights, photos)) == [("network", "training_1")]


def test_the_size_of_images(runnable, weights, photos) -> None:
    found = why(runnable, network(pixels(photos, 128), weights, norm_fused), weights, photos)
    assert named(found) == [("size", "128x128")]
    assert "images of 128 × 128" in found.sentence


def test_rounded_weights(runnable, weights, photos) -> None:
    rounded = {name: rounded_to(value, "bfloat16") for name, value in weights.items()}
    other = network(pixels(photos), rounded, norm_fused)
    assert named(why(runnable, other, weights, photos)) == [("precision", "bfloat16_weights")]


def test_low_precision_is_at_least_a_part(runnable, weights, photos) -> None:
    low = {name: tf.cast(value, tf.bfloat16) for name, value in weights.items()}
    x = tf.cast(pixels(photos), tf.bfloat16)
    for layer in (0, 1):
        x = tf.nn.conv2d(x, low[f"kernel{layer}"], 2, "SAME")
        mean, variance, beta, gamma = (
            weights[f"{part}{layer}"] for part in ("mean", "variance", "beta", "gamma")
        )
        normalised = tf.nn.batch_normalization(
            tf.cast(x, tf.float32), mean, variance, beta, gamma, 1e-3
        )
        x = tf.nn.relu(tf.cast(normalised, tf.bfloat16))
    other = tf.cast(tf.reduce_mean(x, [1, 2]), tf.float32)
    found = why(runnable, other, weights, photos)
    assert found.verdict in ("explained", "partial"), found.sentence
    assert {cause.slot for cause in found.causes} <= {"precision", "stored_as"}


def test_the_tensor_before_the_relu(runnable, weights, photos) -> None:
    mine = network(pixels(photos), weights, norm_fused).numpy()
    x = tf.nn.relu(
        norm_fused(tf.nn.conv2d(pixels(photos), weights["kernel0"], 2, "SAME"), weights, 0, 1e-3)
    )
    before = norm_fused(tf.nn.conv2d(x, weights["kernel1"], 2, "SAME"), weights, 1, 1e-3)
    found = explain(runnable, mine, tf.reduce_mean(before, [1, 2]).numpy(), photos)
    slots = dict(named(found))
    assert slots.keys() == {"tensor", "pooling"} and slots["pooling"] == "avg"
    assert f"the tensor {slots['tensor']} and average pooling" in found.sentence


def test_pixels_enter_after_the_scaling_of_the_graph(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        raw = tf.compat.v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], "input")
        scaled = tf.subtract(tf.multiply(raw, 1 / 127.5, "factor"), 1.0, "scaled")
        tf.nn.conv2d(scaled, np.ones((3, 3, 3, 4), np.float32), 1, "SAME", name="conv")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    frozen = load_graph(path, overrides=SpecOverrides(input_mean=0, input_std=1))
    assert frozen.spec.pixel_input == "input:0"
    assert network_input(frozen) == "scaled:0"
