"""Fine-tuning against a training loop that is written by hand, on the same batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from retrain_tools.head.training import Head
from retrain_tools.head.tuned_tail import FineTuning
from tests.opening import load_graph

from .conftest import make_head
from .graphs import DEPTH, read_graph, run
from .photos import write_photos
from .tail_graphs import BOTTLENECK, CUT, folded, opened, two_layers, values_in
from .tuning import batches_of, maps_of_source, prepared, tuned

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
STEPS = 20

Forward = Callable[[dict[str, tf.Variable], tf.Tensor], tf.Tensor]


def small_network(values: dict[str, tf.Variable], maps: tf.Tensor) -> tf.Tensor:
    """The part of `two_layers` after CUT, as anyone would write it."""
    second, beside = (
        tf.nn.relu(tf.nn.conv2d(maps, values[f"{n}/kernel"], 2, "SAME") + values[f"{n}/norm/bias"])
        for n in ("second", "beside")
    )
    return tf.reduce_mean(second + beside - values["shift"], [1, 2])


def inception_blocks(values: dict[str, tf.Variable], maps: tf.Tensor) -> tf.Tensor:
    """mixed_9, mixed_10 and pool_3 of the graph of 2015."""

    def layer(x: tf.Tensor, name: str) -> tf.Tensor:
        product = tf.nn.conv2d(x, values[f"{name}/conv2d_params"], 1, "SAME")
        return tf.nn.relu(product + values[f"{name}/batchnorm/bias"])

    def split(x: tf.Tensor, name: str) -> list[tf.Tensor]:
        return [layer(x, f"{name}/mixed/conv"), layer(x, f"{name}/mixed/conv_1")]

    for name, kind in (("mixed_9", "AVG"), ("mixed_10", "MAX")):
        tower = layer(maps, f"{name}/tower/conv")
        deeper = layer(layer(maps, f"{name}/tower_1/conv"), f"{name}/tower_1/conv_1")
        pooled = tf.nn.pool(maps, [3, 3], kind, [1, 1], "SAME")
        parts = [
            layer(maps, f"{name}/conv"),
            *split(tower, f"{name}/tower"),
            *split(deeper, f"{name}/tower_1"),
            layer(pooled, f"{name}/tower_2/conv"),
        ]
        maps = tf.concat(parts, 3)
    return tf.reduce_mean(maps, [1, 2])


def loop_by_hand(
    forward: Forward,
    start: dict[str, np.ndarray],
    head: Head,
    batches: list[tuple[np.ndarray, np.ndarray]],
    settings: FineTuning,
) -> dict[str, np.ndarray]:
    """Train with a gradient tape and the optimizers' published rules."""
    values = {name: tf.Variable(value) for name, value in start.items()}
    values |= {"head": tf.Variable(head.weights), "biases": tf.Variable(head.biases)}
    rate, is_adam = settings.rate, settings.fine_tune_optimizer == "adam"
    first = {name: np.zeros(value.shape, np.float64) for name, value in values.items()}
    second = {name: np.zeros(value.shape, np.float64) for name, value in values.items()}
    for number, (maps, classes) in enumerate(batches, 1):
        with tf.GradientTape() as tape:
            logits = forward(values, tf.constant(maps)) @ values["head"] + values["biases"]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, values)
        for name, variable in values.items():
            gradient = gradients[name].numpy().astype(np.float64)
            if is_adam:
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                scale = rate * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
                move = scale * first[name] / (np.sqrt(second[name]) + 1e-7)
            else:
                first[name] = settings.fine_tune_momentum * first[name] + gradient
                move = rate * first[name]
            variable.assign(variable.numpy() - move.astype(np.float32))
    return {name: variable.numpy() for name, variable in values.items()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("tuning") / "photos")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.002), ("sgd", 0.05)])
@pytest.mark.parametrize("size", [1, 7])
def test_twenty_steps_are_those_of_a_loop_by_hand(small, photos, tmp_path, optimizer, rate, size):
    settings = FineTuning(CUT, STEPS, rate, optimizer, 0.9, size)
    head = make_head(DEPTH)
    data = prepared(small, photos, tmp_path, settings)
    values, _, _ = tuned(small, data, settings, head, 11)
    source = values_in(small.graph_def)
    start = {"shift": source["shift"]}
    for name in ("second", "beside"):
        start[f"{name}/kernel"], start[f"{name}/norm/bias"] = folded(source, name)
    batches = batches_of(data, settings, 11, maps_of_source(two_layers(), CUT))
    wanted = loop_by_hand(small_network, start, head, batches, settings)
    assert values.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(values[name], value, atol=1e-4, err_msg=name)
    moved = {name: np.abs(values[name] - start[name]).max() for name in start}
    assert min(moved.values()) > 1e-3


@pytest.mark.skipif(not (DATA / "orchids").is_dir(), reason=f"no orchids in {DATA}")
def test_twenty_steps_of_the_graph_of_2015_are_those_of_a_loop_by_hand(tmp_path):
    graph = DATA / "inception-2015-12-05" / "near_real_graph_def.pb"
    frozen, source = load_graph(graph), values_in(read_graph(graph))
    photos = tmp_path / "photos"
    for name in ("Vanda insignis", "Rhynchostylis retusa"):
        (photos / name).mkdir(parents=True)
        for path in sorted((DATA / "orchids" / "images" / name).glob("*.jpg"))[:5]:
            (photos / name / path.name).symlink_to(path)
    # Not Adam, which divides gradients by themselves: of those that are nearly 0, rounding decides.
    settings = FineTuning("mixed_8/join", STEPS, 0.01, "sgd", fine_tune_batch_size=2)
    data = prepared(frozen, photos, tmp_path, settings, (10, 10, "path"))
    head = make_head(2048, 2)
    head = Head(head.weights * np.float32(0.01), head.biases * 0)
    values, network, _ = tuned(frozen, data, settings, head, 3)
    start = {}
    for name in values:
        if name.endswith("/conv2d_params"):
            layer = name.removesuffix("/conv2d_params")
            keys = ("moving_mean", "moving_variance", "beta")
            mean, variance, beta = (source[f"{layer}/batchnorm/{key}"] for key in keys)
            scale = 1 / np.sqrt(np.float64(variance) + 0.001)  # no gamma: see its attributes
            start[name] = (source[name] * scale).astype(np.float32)
            start[f"{layer}/batchnorm/bias"] = (beta - mean * scale).astype(np.float32)
    maps = {i.path: data.features(np.array([n]))[0] for n, i in enumerate(data.dataset.images)}
    batches = batches_of(data, settings, 3, lambda path: maps[path])
    wanted = loop_by_hand(inception_blocks, start, head, batches, settings)
    assert values.keys() == wanted.keys()
    assert len(values) == 38
    for name, value in wanted.items():
        np.testing.assert_allclose(values[name], value, atol=1e-4, err_msg=name)
    moved = {name: np.abs(values[name] - start[name]).max() for name in start}
    assert min(moved.values()) > 1e-4
    image = Path(data.dataset.images[0].path)
    [vector] = run(
        network.graph_def, "pool_3/_reshape:0", {"DecodeJpeg/contents:0": image.read_bytes()}
    )
    trained = {name: tf.constant(value) for name, value in values.items()}
    np.testing.assert_allclose(vector, inception_blocks(trained, maps[str(image)])[0], atol=1e-4)


@pytest.mark.parametrize("start", ["second/relu", "second/conv", "beside/conv", "sum"])
def test_branches_around_the_tensor_are_fetched_too(small, photos, tmp_path, start):
    settings = FineTuning(start, 5, 0.01, fine_tune_batch_size=6)
    data = prepared(small, photos, tmp_path, settings)
    _, network, _ = tuned(small, data, settings, make_head(DEPTH), 1)
    image = data.dataset.images[0].path
    before, after = (
        maps_of_source(g, BOTTLENECK)(image) for g in (two_layers(), network.graph_def)
    )
    assert np.abs(before - after).max() > 1e-3
    for unchanged in (CUT, "second/conv:0"):
        own = [maps_of_source(g, unchanged)(image) for g in (two_layers(), network.graph_def)]
        np.testing.assert_array_equal(*own)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(small, photos, tmp_path):
    settings = FineTuning(CUT, 6, fine_tune_batch_size=10)
    data = prepared(small, photos, tmp_path, settings)
    head = make_head(DEPTH)
    one, again, other = (tuned(small, data, settings, head, seed)[0] for seed in (4, 4, 5))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not all(np.array_equal(one[name], other[name]) for name in one)


def test_features_are_kept_and_found_again(small, photos, tmp_path):
    settings = FineTuning("second/relu", 1)
    for computed in (66, 0):
        data = prepared(small, photos, tmp_path, settings)
        assert data._features.fetched.computed == computed
    stem = tmp_path / "fine_tune_second_relu"
    assert {path.name for path in tmp_path.glob("*.npy")} == {
        f"{stem.name}.second_relu_0.npy", f"{stem.name}.beside_relu_0.npy",
    }  # fmt: skip
    image = data.dataset.images[5].path
    for tensor, values in zip(("second/relu:0", "beside/relu:0"), data.features([5]), strict=True):
        wanted = maps_of_source(two_layers(), tensor)(image)
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-5)
