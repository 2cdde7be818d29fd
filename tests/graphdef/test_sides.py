from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from retrain_tools.sources.load import load_graph

from retrain_tools.errors import InputError
from retrain_tools.graphdef.sides import body, image_side, make_image_side
from retrain_tools.graphdef.spec import GraphSpec, SpecOverrides, make_spec
from retrain_tools.graphdef.weights import import_light
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import (
    MOBILENET,
    NEAR_REAL,
    add,
    add_constant,
    inception_like,
    jpeg,
    pixels_graph,
    real,
    reverse_nodes,
    run,
)

IMAGES = [jpeg(seed) for seed in range(3)]


def spec_of(graph_def: Any) -> GraphSpec:
    return make_spec(graph_def, "g.pb", None, SpecOverrides())[0]


def run_body(graph_def: Any, spec: GraphSpec, fetches: list[str], pixels: Any) -> list[Any]:
    light, weights = body(graph_def, spec, fetches)
    with tf.Graph().as_default() as graph:
        import_light(light, {name: tf.constant(value) for name, value in weights.items()})
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(fetches, {spec.pixel_input: pixels})


def pixels_of(graph_def: Any, spec: GraphSpec, images: list[bytes]) -> Any:
    side = image_side(graph_def, spec)
    return np.concatenate([run(side.graph_def, side.pixels, {side.encoded: p}) for p in images])


def shared_reshape() -> Any:
    """The reshape constant also serves a node that has nothing to do with batches."""
    graph_def = inception_like()
    add_constant(graph_def, "numbers", np.arange(28, dtype=np.float32))
    inputs = ["numbers", "pool_3/_reshape/shape"]
    add(graph_def, "row", "Reshape", inputs, T=tf.float32, Tshape=tf.int32)
    add(graph_def, "shifted", "Add", ["pool_3/_reshape", "row"], T=tf.float32)
    return graph_def


def constant_of_int64() -> Any:
    graph_def = inception_like()
    for node in graph_def.node:
        if node.name == "pool_3/_reshape/shape":
            value = tf.make_tensor_proto(np.array([1, 28], np.int64))
            node.attr["value"].tensor.CopyFrom(value)
            node.attr["dtype"].type = tf.int64.as_datatype_enum
        if node.name == "pool_3/_reshape":
            node.attr["Tshape"].type = tf.int64.as_datatype_enum
    return graph_def


@pytest.mark.parametrize(
    "graph_def",
    [
        inception_like(),
        inception_like(example=jpeg(9)),
        inception_like(reshape=[1, -1]),
        inception_like(reshape=[-1, 28]),
        reverse_nodes(inception_like()),
        shared_reshape(),
        constant_of_int64(),
    ],
    ids=[
        "placeholder",
        "constant",
        "flattening",
        "open already",
        "not in running order",
        "shared shape",
        "int64 shape",
    ],
)
def test_both_sides_together_are_the_untouched_graph(graph_def: Any) -> None:
    wanted = ["pool_3/_reshape:0", "conv:0", "mixed/conv/batchnorm:0"]
    wanted += ["shifted:0"] * any(node.name == "shifted" for node in graph_def.node)
    alone = [run(graph_def, wanted, {"DecodeJpeg/contents:0": p}) for p in IMAGES]
    before = graph_def.SerializeToString(deterministic=True)
    spec = spec_of(graph_def)
    together = run_body(graph_def, spec, wanted, pixels_of(graph_def, spec, IMAGES))
    for found, *expected in zip(together, *alone, strict=True):
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=2e-6)
    assert np.ptp(together[0], axis=0).max() > 0.01  # the images do differ
    assert graph_def.SerializeToString(deterministic=True) == before


def test_a_fetched_convolution_keeps_its_values() -> None:
    graph_def = inception_like()
    fetches = ["conv/Conv2D:0", "pool_3:0"]
    spec = spec_of(graph_def)
    expected = run(graph_def, fetches, {"DecodeJpeg/contents:0": IMAGES[0]})
    pixels = pixels_of(graph_def, spec, IMAGES[:1])
    for found, value in zip(run_body(graph_def, spec, fetches, pixels), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=2e-6)


def test_fetched_pass_through_nodes_stay() -> None:
    graph_def = inception_like()
    fetches = ["conv/CheckNumerics:0", "mixed/conv/control_dependency:0"]
    spec = spec_of(graph_def)
    expected = run(graph_def, fetches, {"DecodeJpeg/contents:0": IMAGES[0]})
    pixels = pixels_of(graph_def, spec, IMAGES[:1])
    for found, value in zip(run_body(graph_def, spec, fetches, pixels), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=2e-6)


def test_the_body_is_fit_for_tensorflow_2() -> None:
    """No op that later versions refuse, nothing that only passes on, batches from the start."""
    graph_def = inception_like()
    light, weights = body(graph_def, spec_of(graph_def), ["pool_3/_reshape:0"])
    ops = [node.op for node in light.node]
    assert not {"BatchNormWithGlobalNormalization", "Identity", "CheckNumerics"} & set(ops)
    assert ops.count("BiasAdd") == 2
    assert "softmax/weights" not in weights
    [entrance] = [node for node in light.node if node.name == "Mul"]
    assert (entrance.op, list(entrance.input)) == ("Placeholder", [])
    assert [d.size for d in entrance.attr["shape"].shape.dim] == [-1, 8, 8, 3]


@pytest.mark.parametrize(
    "fetch", ["Mul:0", "Cast:0", "DecodeJpeg:0", "softmax/weights:0", "Sub/y:0"]
)
def test_a_fetch_has_to_follow_from_the_pixels(fetch: str) -> None:
    graph_def = inception_like()
    with pytest.raises(InputError) as error:
        body(graph_def, spec_of(graph_def), ["pool_3:0", fetch])
    assert str(error.value) == (
        f"{fetch!r} is not computed from 'Mul:0', where images enter the network, so it is "
        "not a feature of an image; choose a tensor further on."
    )


def resize_as_tensorflow_1(image: Any, height: int, width: int) -> Any:
    """Bilinear with TensorFlow 1's defaults: no half-pixel centres, corners not aligned."""
    ys = np.arange(height) * (image.shape[0] / height)
    xs = np.arange(width) * (image.shape[1] / width)
    top, left = np.floor(ys).astype(int), np.floor(xs).astype(int)
    bottom = np.minimum(top + 1, image.shape[0] - 1)
    right = np.minimum(left + 1, image.shape[1] - 1)
    dy, dx = (ys - top)[:, None, None], (xs - left)[None, :, None]
    image = image.astype(np.float64)
    upper = image[top][:, left] * (1 - dx) + image[top][:, right] * dx
    lower = image[bottom][:, left] * (1 - dx) + image[bottom][:, right] * dx
    return upper * (1 - dy) + lower * dy


@pytest.mark.parametrize(("mean", "std"), [(127.5, 127.5), (0.0, 255.0)])
def test_retrain_pys_image_side_for_graphs_that_take_pixels(mean: float, std: float) -> None:
    spec = GraphSpec(None, None, None, "input:0", (7, 9), mean, std, "pool:0", None)
    side = make_image_side(spec, [])
    image = np.random.default_rng(0).integers(0, 256, (13, 21, 3), np.uint8)
    resized, pixels = run(side.graph_def, [side.resized, side.pixels], {side.decoded: image})
    expected = resize_as_tensorflow_1(image, 7, 9)
    np.testing.assert_allclose(resized, [expected], rtol=0, atol=1e-3)
    np.testing.assert_allclose(pixels, [(expected - mean) / std], rtol=0, atol=1e-5)


def test_the_made_image_side_decodes_to_rgb_as_tensorflow_does() -> None:
    side = image_side(pixels_graph(), spec_of(pixels_graph()))
    decoded = run(side.graph_def, side.decoded, {side.encoded: IMAGES[0]})
    with tf.Graph().as_default():
        expected = tf.compat.v1.Session().run(tf.io.decode_jpeg(IMAGES[0], channels=3))
    np.testing.assert_array_equal(decoded, expected)
    assert decoded.shape == (13, 21, 3)


def test_made_names_do_not_clash_with_the_graphs() -> None:
    spec = GraphSpec(None, None, None, "input:0", (7, 9), 0.0, 1.0, "pool:0", None)
    side = make_image_side(spec, ["Mul", "Cast/x", "DecodeJpeg_1"])
    names = {node.name for node in side.graph_def.node}
    assert {"Mul_1", "Mul_1/y", "Cast_1", "DecodeJpeg", "DecodeJpeg/contents"} <= names
    assert not names & {"Mul", "Mul/y", "Cast"}
    assert side.pixels == "Mul_1:0"


@pytest.mark.parametrize("make", [inception_like, pixels_graph])
def test_making_an_image_side_does_not_change_the_graph(make: Any) -> None:
    graph_def = make()
    spec = spec_of(graph_def)
    before = graph_def.SerializeToString(deterministic=True)
    side = image_side(graph_def, spec)
    side.graph_def.node[0].name = "other"
    assert graph_def.SerializeToString(deterministic=True) == before


def test_the_real_graph_of_2015_gives_the_same_numbers() -> None:
    frozen = load_graph(str(real(NEAR_REAL)))
    fetches = ["pool_3/_reshape:0", "mixed_8/join:0"]
    images = [jpeg(seed, 320, 200) for seed in range(2)]
    alone = [run(frozen.graph_def, fetches, {"DecodeJpeg/contents:0": p}) for p in images]
    pixels = pixels_of(frozen.graph_def, frozen.spec, images)
    found = run_body(frozen.graph_def, frozen.spec, fetches, pixels)
    for value, *expected in zip(found, *alone, strict=True):
        np.testing.assert_allclose(value, np.concatenate(expected), rtol=0, atol=1e-4)


def test_a_real_mobilenet_gives_the_same_numbers_in_a_batch() -> None:
    frozen = load_graph(str(real(MOBILENET)))
    fetches = ["MobilenetV1/Predictions/Reshape:0", "MobilenetV1/Logits/AvgPool_1a/AvgPool:0"]
    pixels = np.random.default_rng(0).uniform(-1, 1, (3, 128, 128, 3)).astype(np.float32)
    alone = [run(frozen.graph_def, fetches, {"input:0": pixels[i : i + 1]}) for i in range(3)]
    found = run_body(frozen.graph_def, frozen.spec, fetches, pixels)
    for value, *expected in zip(found, *alone, strict=True):
        np.testing.assert_allclose(value, np.concatenate(expected), rtol=0, atol=1e-4)
