from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.engine.importing import import_light
from retrain_tools.engine.plan import plan_body
from retrain_tools.errors import InputError
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.graphdef.make_spec import make_spec
from retrain_tools.graphdef.spec import GraphSpec, SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from tests.graphdef.tiny_graphs import (
    MOBILENET,
    NEAR_REAL,
    add,
    add_constant,
    inception_like,
    jpeg,
    own,
    real,
    reverse_nodes,
    run,
)
from tests.opening import load_graph

IMAGES = [jpeg(seed) for seed in range(3)]


def spec_of(graph_def: Any) -> GraphSpec:
    return make_spec(graph_def, "g.pb", None, SpecOverrides())[0]


def run_body(graph_def: Any, spec: GraphSpec, fetches: list[str], pixels: Any) -> list[Any]:
    light, weights = plan_body(graph_def, spec, fetches)
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
            node.attr["value"].tensor.CopyFrom(own(value))
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
        "not in topological order",
        "shared shape",
        "int64 shape",
    ],
)
def test_both_parts_together_are_the_untouched_graph(graph_def: Any) -> None:
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
    light, weights = plan_body(graph_def, spec_of(graph_def), ["pool_3/_reshape:0"])
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
        plan_body(graph_def, spec_of(graph_def), ["pool_3:0", fetch])
    assert str(error.value) == (
        f"{fetch!r} is not computed from 'Mul:0', where images enter the network, so it is "
        "not a feature of an image; choose a tensor further on."
    )


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
