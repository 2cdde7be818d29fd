"""Values for placeholders beside the images: what needs them, what they are for, folding in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.feeds import check_fed, fold_feeds
from retrain_tools.graphdef.make_spec import make_spec
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.purposes import purpose
from retrain_tools.graphdef.schema import GraphDef
from retrain_tools.graphdef.spec import FrozenGraph, SpecOverrides
from retrain_tools.quiet_tensorflow import tf

from .tiny_graphs import run

PIXELS = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)


def placeholder(name: str, shape: Any = None, dtype: str = "float32") -> Any:
    return tf.compat.v1.placeholder(dtype, shape, name)


def floor_dropout(x: Any, keep: Any) -> Any:
    """As tf.nn.dropout was until TensorFlow 1.12."""
    return x / keep * tf.floor(keep + tf.random.uniform(tf.shape(x)))


def compared_dropout(x: Any, rate: Any) -> Any:
    """As it is since then."""
    return x / (1.0 - rate) * tf.cast(tf.random.uniform(tf.shape(x)) >= rate, tf.float32)


def network() -> Any:
    """Dropout of both kinds, a switch, and a learning rate that only training needs."""
    rng = np.random.default_rng(1)
    with tf.Graph().as_default() as graph:
        pixels = placeholder("pixels", [None, 8, 8, 3])
        keep, phase = placeholder("keep_prob"), placeholder("phase", [], "bool")
        kernel = tf.constant(rng.normal(0, 1, (8, 8, 3, 5)), tf.float32)
        x = tf.nn.conv2d(pixels, kernel, 1, "VALID", name="conv")
        x = tf.where(phase, x * 2.0, x, name="scaled")
        x = tf.reshape(floor_dropout(x, keep), [-1, 5], name="features")
        weights = tf.constant(rng.normal(0, 1, (5, 3)), tf.float32)
        tf.matmul(x, weights, name="logits")
        size = placeholder("size", [2], "int32")
        tf.multiply(placeholder("learning_rate"), tf.cast(size[0], tf.float32), name="unused")
    return GraphDef.FromString(graph.as_graph_def().SerializeToString())


def frozen(graph_def: Any) -> FrozenGraph:
    spec, _ = make_spec(graph_def, "g.pb", None, SpecOverrides())
    return FrozenGraph(graph_def, spec, "g.pb")  # type: ignore[arg-type]


def refused(feeds: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        fold_feeds(network(), feeds, "g.pb")
    return str(error.value)


def test_what_cannot_be_had_from_images_alone_is_named_with_the_way_out() -> None:
    graph = frozen(network())
    assert graph.spec.pixel_input == "pixels:0"
    check_fed(graph, ["conv:0"])
    with pytest.raises(InputError) as error:
        check_fed(graph, ["scaled:0"])
    assert str(error.value) == (
        "'scaled:0' of g.pb needs 'phase:0' (a switch, most often false outside of training) "
        "beside images; give it with feed=phase:0=false, or choose a tensor that is computed from "
        "images alone."
    )
    with pytest.raises(InputError) as error:
        check_fed(graph, ["conv:0", "logits:0"])
    assert str(error.value) == (
        "'conv:0', 'logits:0' of g.pb needs 'keep_prob:0' and 'phase:0' (dropout's part to keep, "
        "1 outside of training; a switch, most often false outside of training) beside images; "
        "give them with feed=keep_prob:0=1.0 feed=phase:0=false, or choose a tensor that is "
        "computed from images alone."
    )


def test_an_image_side_that_needs_more_is_named() -> None:
    with tf.Graph().as_default() as graph:
        image = tf.io.decode_jpeg(placeholder("contents", [], "string"), 3)
        batch = tf.cast(image, tf.float32)[tf.newaxis]
        x = tf.compat.v1.image.resize_bilinear(batch, placeholder("size", [2], "int32"))
        tf.nn.conv2d(x, tf.ones((3, 3, 3, 2)), 1, "SAME", name="conv")
    graph_def = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    overrides = SpecOverrides(input_height=8, input_width=8)
    spec, _ = make_spec(graph_def, "g.pb", None, overrides)
    with pytest.raises(InputError, match=r"needs 'size:0' beside images; .* feed=size:0=VALUE"):
        check_fed(FrozenGraph(graph_def, spec, "g.pb"), ["conv:0"])  # type: ignore[arg-type]


def test_folded_values_are_what_feeding_gives() -> None:
    graph_def = network()
    before = graph_def.SerializeToString(deterministic=True)
    folded = fold_feeds(graph_def, {"keep_prob:0": 1, "import/phase": True}, "g.pb")
    assert graph_def.SerializeToString(deterministic=True) == before
    check_fed(frozen(folded), ["logits:0"])
    fed = {"pixels:0": PIXELS, "keep_prob:0": 1.0, "phase:0": True}
    wanted = run(graph_def, "logits:0", fed)
    np.testing.assert_array_equal(run(folded, "logits:0", {"pixels:0": PIXELS}), wanted)
    assert np.abs(wanted).max() > 1


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        (
            {"keep_probe": 1.0},
            "No tensor 'keep_probe:0' in g.pb (27 nodes). Did you mean 'keep_prob:0'? "
            "List them: list_tensors --graph=g.pb",
        ),
        ({"keep_prob:1": 1.0}, "No tensor 'keep_prob:1' in g.pb. Did you mean 'keep_prob:0'?"),
        (
            {"logits": 1.0},
            "'logits:0' of g.pb takes float32 [?, 3], and not what has the shape [].",
        ),
        (
            {"logits": [[1, 2, 3]]},
            "'logits:0' of g.pb is computed by a MatMul, and no placeholder, of which it has: "
            "pixels:0, keep_prob:0, phase:0, size:0, learning_rate:0.",
        ),
        ({"size": 3}, "'size:0' of g.pb takes int32 [2], and not what has the shape []."),
        ({"size": [3, 4, 5]}, "'size:0' of g.pb takes int32 [2], and not what has the shape [3]."),
        ({"size": [1.5, 2]}, "'size:0' of g.pb takes int32 [2], and not float64 [2]."),
        (
            {"size": [[1], []]},
            "'size:0' of g.pb takes int32 [2], and not lists of different lengths.",
        ),
        ({"phase": 0.5}, "'phase:0' of g.pb takes bool [], and not float64 0.5."),
        ({"phase": "no"}, "'phase:0' of g.pb takes bool [], and not <U2 no."),
    ],
    ids=lambda given: str(given)[:20],
)
def test_values_that_a_placeholder_does_not_take(feeds: dict[str, Any], message: str) -> None:
    text = refused(feeds)
    assert text.replace(f"({len(network().node)} nodes)", "(27 nodes)") == message


@pytest.mark.parametrize(
    ("dropout", "turned", "value"),
    [
        (floor_dropout, False, "1.0"),
        (floor_dropout, True, "0.0"),
        (compared_dropout, False, "0.0"),
        (compared_dropout, True, "1.0"),
    ],
)
@pytest.mark.parametrize("shape", [None, []])
def test_dropout_is_known_by_what_it_compares(
    dropout: Any, turned: bool, value: str, shape: Any
) -> None:
    with tf.Graph().as_default() as graph:
        fed = placeholder("p", shape)
        dropout(placeholder("x", [None, 3]), 1.0 - fed if turned else fed)
    graph_def = graph.as_graph_def()
    found = purpose(graph_def, nodes_by_name(graph_def), "p:0")
    assert found.value == value
    assert found.text.startswith("dropout's part to")


def test_dropout_of_tensorflow_itself() -> None:
    with tf.Graph().as_default() as graph:
        tf.compat.v1.nn.dropout(placeholder("x", [None, 3]), keep_prob=placeholder("keep", []))
        tf.compat.v1.nn.dropout(placeholder("y", [None, 3]), rate=placeholder("rate", []))
    graph_def = graph.as_graph_def()
    nodes = nodes_by_name(graph_def)
    assert purpose(graph_def, nodes, "keep:0").value == "1.0"
    assert purpose(graph_def, nodes, "rate:0").value == "0.0"
    assert purpose(graph_def, nodes, "x:0") == ("", None)


def test_a_learning_rate_is_for_training() -> None:
    with tf.Graph().as_default() as graph:
        weights = tf.compat.v1.Variable(1.0, use_resource=False)
        optimizer = tf.compat.v1.train.GradientDescentOptimizer(placeholder("rate", []))
        optimizer.minimize(weights * 2.0)
    graph_def = graph.as_graph_def()
    found = purpose(graph_def, nodes_by_name(graph_def), "rate:0")
    assert found.text == "a number for training, as the learning rate"
