"""Frozen results against what TensorFlow computed before the file was written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.make_spec import find_bottlenecks, make_spec
from retrain_tools.graphdef.spec import SpecOverrides
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.contents import Choices, Frozen
from retrain_tools.sources.open import open_model

from .corpus import SIZE, Written, close, random_images, run


def spec_of(frozen: Frozen) -> Any:
    return make_spec(frozen.graph_def, "it", None, SpecOverrides())[0]


@pytest.mark.parametrize("name", ["training", "training_resource", "training_v1"])
def test_training_graph_with_its_checkpoint(name: str, request: pytest.FixtureRequest) -> None:
    """Reference and resource variables, parts of variables, V1 and V2, batch norm as it trained."""
    written: Written = request.getfixturevalue(name)
    frozen = open_model(written.path).freeze()
    keys = list(written.results)
    assert list(frozen.outputs) == keys
    assert frozen.inputs == {"input": "input:0"}
    for mine, theirs in zip(
        run(frozen, written.images, keys), written.results.values(), strict=True
    ):
        assert close(mine, theirs)
    names = {node.name for node in frozen.graph_def.node}
    assert {"input", "net/conv/weights", "net/conv/Conv2D", "net/pool", "net/probs"} <= names
    assert not [n for n in names if n.startswith(("save", "gradients", "Momentum", "loss"))]
    assert not frozen.graph_def.library.function
    spec = spec_of(frozen)
    assert (spec.pixel_input, spec.image_size) == ("input:0", (SIZE, SIZE))


@pytest.mark.parametrize("name", ["saved_model_1", "saved_model_1_resource", "hub_module"])
def test_saved_model_of_tensorflow_1(name: str, request: pytest.FixtureRequest) -> None:
    written: Written = request.getfixturevalue(name)
    frozen = open_model(written.path).freeze()
    keys = list(written.results)
    for key, mine in zip(keys, run(frozen, written.images, keys), strict=True):
        assert close(mine, written.results[key]), key
    assert frozen.outputs["default"] == "net/pool:0"
    dims = [d.size for d in frozen.graph_def.node[0].attr["shape"].shape.dim]
    assert dims == [-1, SIZE, SIZE, 3]


def test_the_training_graph_of_a_saved_model_has_other_results(saved_model_1: Written) -> None:
    frozen = open_model(saved_model_1.path, choices=Choices(tags=["train"])).freeze()
    (mine,) = run(frozen, saved_model_1.images, ["net/probs"])
    assert not close(mine, saved_model_1.results["net/probs"])
    assert "net/bn/out" in {node.name for node in frozen.graph_def.node}


def test_hub_module_takes_pixels_of_0_to_1(hub_module: Written) -> None:
    opened = open_model(hub_module.path)
    assert opened.details["other tag sets"] == "train"
    frozen = opened.freeze()
    spec = spec_of(frozen)
    assert (spec.pixel_input, spec.mean, spec.std) == ("hub_input/images:0", 0.0, 255.0)
    assert spec.bottleneck == "net/pool:0"
    assert spec.end_points["net/probs"] == "net/probs:0"


@pytest.mark.parametrize("name", ["saved_model_2", "hub_2"])
def test_functions_with_loop_conditional_and_lookup(
    name: str, request: pytest.FixtureRequest
) -> None:
    written: Written = request.getfixturevalue(name)
    frozen = open_model(written.path).freeze()
    keys = ["features", "whole"]
    for key, mine in zip(keys, run(frozen, written.images, keys), strict=True):
        assert close(mine, written.results[key]), key
    names = {node.name for node in frozen.graph_def.node}
    assert {"kernel", "table", "layer/product"} <= names
    assert not {"PartitionedCall", "StatefulPartitionedCall"} & {
        node.op for node in frozen.graph_def.node
    }
    assert all(
        arg.type != tf.resource.as_datatype_enum
        for f in frozen.graph_def.library.function
        for arg in f.signature.input_arg
    )


def test_keras_in_every_form_gives_the_same_numbers(keras_files: Mapping[str, Path]) -> None:
    expected = np.load(keras_files["results"])
    for form in ("keras", "h5", "export"):
        frozen = open_model(keras_files[form]).freeze()
        (mine,) = run(frozen, random_images(), list(frozen.outputs))
        assert close(mine, expected), form
        spec = spec_of(frozen)
        assert spec.image_size == (SIZE, SIZE)
        assert spec.bottleneck.split("/")[-2].startswith("pool")
        assert {n.op for n in frozen.graph_def.node} >= {"Conv2D", "Relu", "MatMul", "Softmax"}


def test_mobilenet_as_saved_model_and_keras_file(tmp_path: Path) -> None:
    import keras

    model = keras.applications.MobileNetV2(
        weights=None, input_shape=(96, 96, 3), alpha=0.35, classes=7
    )
    model.save(tmp_path / "network.keras")
    model.export(tmp_path / "exported", verbose=False)
    fed = random_images(1, 96)
    expected = model.predict(fed, verbose=0)
    for path in (tmp_path / "network.keras", tmp_path / "exported"):
        frozen = open_model(path).freeze()
        (mine,) = run(frozen, fed, list(frozen.outputs))
        assert close(mine, expected)
        spec = spec_of(frozen)
        assert spec.image_size == (96, 96)
        assert (spec.mean, spec.std) == (127.5, 127.5)
        assert re.search(r"/global_average_pooling2d(_\d+)*/Mean:0$", spec.bottleneck)
        assert spec.final == next(iter(frozen.outputs.values()))
        assert spec.final.endswith("/predictions_1/Softmax:0")
        best = find_bottlenecks(frozen.graph_def, "it", None)[0]
        assert best.depth == 1280


def test_a_graph_that_needs_a_table_says_so(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        words = v1.placeholder(tf.string, [None], name="words")
        keys, values = tf.constant(["a"]), tf.constant([1], tf.int64)
        init = tf.lookup.KeyValueTensorInitializer(keys, values)
        found = tf.lookup.StaticHashTable(init, -1).lookup(words)
        session.run(v1.tables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"w": words}, {"n": found})
    with pytest.raises(
        InputError, match=r"cannot be frozen: node '.*' \(HashTableV2\) is a lookup"
    ):
        open_model(tmp_path / "m").freeze()


def test_results_of_a_queue_or_a_data_set(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        data = v1.data.Dataset.from_tensor_slices((random_images(4), np.arange(4))).batch(2)
        images, labels = v1.data.make_one_shot_iterator(data).get_next()
        weights = v1.get_variable("weights", [3, 5])
        scores = tf.tensordot(images, weights, 1, name="scores")
        v1.losses.sparse_softmax_cross_entropy(labels, tf.reduce_mean(scores, [1, 2]))
        session.run(v1.global_variables_initializer())
        expected = random_images() @ session.run(weights)
        v1.train.Saver().save(session, str(tmp_path / "m"))
    frozen = open_model(tmp_path / "m.meta").freeze()
    assert list(frozen.inputs.values()) == ["IteratorGetNext:0"]
    (mine,) = run(frozen, random_images(), ["scores:0"])
    assert close(mine, expected)


def test_without_its_checkpoint_a_meta_graph_is_only_listed(
    training: Written, tmp_path: Path
) -> None:
    path = tmp_path / "alone.meta"
    path.write_bytes(training.path.read_bytes())
    opened = open_model(path)
    assert "without its checkpoint" in opened.description
    with pytest.raises(InputError, match=r"not beside it \(alone.index\); copy it there"):
        opened.freeze()
    with pytest.raises(InputError, match="has no values of variables"):
        opened.value("net/conv/weights")


def test_the_checkpoint_of_another_graph(
    training: Written, saved_model_1: Written, tmp_path: Path
) -> None:
    for file in (saved_model_1.path / "variables").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3])
        x * tf.compat.v1.get_variable("unheard_of", [3])
        tf.compat.v1.train.export_meta_graph(str(tmp_path / "variables.meta"), graph=graph)
    with pytest.raises(InputError, match=r"'unheard_of' has no value in .*of another graph"):
        open_model(tmp_path / "variables.meta").freeze()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tags": ["gpu"]}, "No graph with tags gpu in .*; there are: serve; train"),
        ({"signature": "serving"}, "No signature 'serving' .* Did you mean 'serving_default'"),
    ],
)
def test_wrong_tags_and_signatures(
    saved_model_1: Written, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_model(saved_model_1.path, choices=Choices(**arguments))


def test_a_function_of_the_saved_object_by_name(saved_model_2: Written) -> None:
    opened = open_model(saved_model_2.path, choices=Choices(signature="__call__"))
    assert list(opened.signatures["__call__"].inputs) == ["inputs"]
    frozen = opened.freeze()
    assert frozen.inputs == {"inputs": "inputs:0"}
    (mine,) = run(frozen, saved_model_2.images, ["features"])
    assert close(mine, saved_model_2.results["features"])


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("functional", [False, True])
def test_loops_and_conditionals_of_tensorflow_1(
    resource: bool, functional: bool, tmp_path: Path
) -> None:
    v1 = tf.compat.v1
    switch = v1.enable_control_flow_v2 if functional else v1.disable_control_flow_v2
    switch()
    try:
        with tf.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="images")
            with v1.variable_scope("net", use_resource=resource):
                scale = v1.get_variable("scale", [3])
                looped = v1.while_loop(
                    lambda n, _: n < 3, lambda n, x: (n + 1, x * scale), [0, images]
                )
                out = v1.cond(tf.reduce_sum(images) > 0, lambda: looped[1] * scale, lambda: images)
            session.run(v1.global_variables_initializer())
            expected = session.run(out, {images: random_images()})
            v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": images}, {"y": out})
    finally:
        v1.enable_control_flow_v2()
    frozen = open_model(tmp_path / "m").freeze()
    (mine,) = run(frozen, random_images(), ["y"])
    assert close(mine, expected)
    assert bool(frozen.graph_def.library.function) == functional


def test_a_recurrent_keras_model(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input((7, 5)), layers.Bidirectional(layers.GRU(4))])
    model.save(tmp_path / "m.keras")
    fed = np.random.default_rng(0).random((2, 7, 5), np.float32)
    frozen = open_model(tmp_path / "m.keras").freeze()
    (mine,) = run(frozen, fed, list(frozen.outputs))
    assert close(mine, model.predict(fed, verbose=0))


def test_a_keras_model_that_needs_a_table(tmp_path: Path) -> None:
    import keras

    lookup = keras.layers.StringLookup(vocabulary=["a", "b"])
    keras.Sequential([keras.Input((), dtype="string"), lookup]).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="cannot be frozen: it needs a lookup table"):
        open_model(tmp_path / "m.keras").freeze()


def test_text_forms(training: Written, saved_model_1: Written, tmp_path: Path) -> None:
    """`as_text=True` of export_meta_graph and of SavedModels."""
    from google.protobuf import text_format

    from retrain_tools.graphdef import schema

    for file in training.path.parent.glob("model.ckpt.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    meta = schema.MetaGraphDef.FromString(training.path.read_bytes())
    (tmp_path / training.path.name).write_text(text_format.MessageToString(meta))
    frozen = open_model(tmp_path / training.path.name).freeze()
    assert frozen.graph_def == open_model(training.path).freeze().graph_def
    folder = tmp_path / "sm"
    shutil.copytree(saved_model_1.path, folder)
    model = schema.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(model))
    plain = open_model(saved_model_1.path).freeze()
    assert open_model(folder).freeze().graph_def == plain.graph_def


@pytest.mark.parametrize(
    ("axes", "shape", "dtype"),
    [([1, 2], (1, 6, 6, 1), "float32"), ([3], (2,), "float64"), ([3], (2,), "float32")],
)
def test_layer_normalizations_keep_their_numbers(
    axes: list[int], shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    """TensorFlow 2.18 to 2.21 would replace the first by another one, and fail at the second."""
    random = np.random.RandomState(3)
    gamma, beta = random.uniform(0.1, 2, (2, *shape)).astype(dtype)
    pixels = random.rand(2, 6, 6, 2).astype(dtype)
    module = tf.Module()
    module.gamma, module.beta = tf.Variable(gamma, name="gamma"), tf.Variable(beta, name="beta")

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2], dtype, name="x")])
    def normalized(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, axes, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, module.beta, module.gamma, 0.01)

    tf.saved_model.save(module, str(tmp_path), signatures=normalized)
    frozen = open_model(tmp_path).freeze()
    (mine,) = run(frozen, pixels, list(frozen.outputs))
    wide = pixels.astype("float64")
    mean, variance = (f(wide, tuple(axes), keepdims=True) for f in (np.mean, np.var))
    expected = (wide - mean) / np.sqrt(variance + 0.01) * gamma + beta
    np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5)
    edges = sum(source.startswith("^") for node in frozen.graph_def.node for source in node.input)
    assert edges == (0 if (axes, dtype) == ([3], "float32") else 1)
