"""The stand-in graph: node for node the published one, and features that tell images apart."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.standin.inception_2015 import make_reference_graph
from retrain_tools.standin.photos import CLASSES, calibration_images, draw_photos

_NODES = Path(__file__).parents[3] / "shared" / "reference" / "inception-2015-12-05.nodes.tsv"
_SMALL = 0.1


@pytest.fixture(scope="module")
def published() -> list[list[str]]:
    """Rows of name, op, output dtype, output shape, inputs and attributes."""
    if not _NODES.exists():
        pytest.skip(f"the list of the published graph's nodes is not at {_NODES}")
    lines = _NODES.read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def full_graph() -> Any:
    return make_reference_graph()


@pytest.fixture(scope="module")
def small_graph() -> Any:
    return make_reference_graph(_SMALL)


def _features(graph_def: Any, paths: list[Path]) -> np.ndarray:
    """Feed JPEG files one by one, as the original tools do; return [images, features]."""
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(graph_def.SerializeToString()), name=""
        )
    with tf.compat.v1.Session(graph=graph) as session:
        feeds = [{"DecodeJpeg/contents:0": path.read_bytes()} for path in paths]
        rows = [session.run("pool_3/_reshape:0", feed) for feed in feeds]
    return np.concatenate(rows)


def _listed_attribute(attribute: Any) -> str:
    """Write an AttrValue as the list of nodes does."""
    kind = attribute.WhichOneof("value")
    if kind == "tensor":
        return str(tf.make_ndarray(attribute.tensor).tolist())
    if kind == "list":
        return str(list(attribute.list.i))
    if kind == "s":
        return attribute.s.decode()
    if kind == "f":
        return f"{attribute.f:g}"
    return str(getattr(attribute, kind))


def test_names_ops_inputs_and_order_are_the_published_ones(
    full_graph: Any, published: list[list[str]]
) -> None:
    built = [[node.name, node.op, ",".join(node.input)] for node in full_graph.node]
    assert built == [[row[0], row[1], row[4]] for row in published]
    assert len(built) == 1004
    assert full_graph.versions.producer == 8


def test_listed_attributes_are_equal(full_graph: Any, published: list[list[str]]) -> None:
    for node, row in zip(full_graph.node, published, strict=True):
        # "value=[1, 2]" has a blank inside, so the split is at the blanks before a NAME=.
        pairs = row[5].replace(", ", ",").split() if row[5] else []
        for key, value in (pair.split("=", 1) for pair in pairs):
            assert _listed_attribute(node.attr[key]).replace(", ", ",") == value, (node.name, key)


def test_constants_and_computed_tensors_have_the_published_shapes(
    full_graph: Any, published: list[list[str]]
) -> None:
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.import_graph_def(
            tf.compat.v1.GraphDef.FromString(full_graph.SerializeToString()), name=""
        )
    for name, _, dtype, shape, *_ in published:
        output = graph.get_tensor_by_name(f"{name}:0")
        assert output.dtype.name == dtype, name
        if shape == "?":
            assert output.shape.rank is None, name
        else:
            sizes = [] if shape == "scalar" else shape.split("x")
            expected = [None if size == "?" else ast.literal_eval(size) for size in sizes]
            assert output.shape.as_list() == expected, name


def test_no_default_graph_is_left(small_graph: Any) -> None:
    assert tf.executing_eagerly()
    assert not tf.compat.v1.get_default_graph().get_operations()


def test_width_scales_channels_and_keeps_names_ops_and_logits(
    small_graph: Any, full_graph: Any
) -> None:
    assert [(n.name, n.op) for n in small_graph.node] == [(n.name, n.op) for n in full_graph.node]
    shapes = {
        node.name: [size.size for size in node.attr["value"].tensor.tensor_shape.dim]
        for node in small_graph.node
        if node.op == "Const"
    }
    assert shapes["conv_4/conv2d_params"] == [3, 3, 8, 19]
    assert min(size[-1] for name, size in shapes.items() if name.endswith("conv2d_params")) == 4
    assert shapes["softmax/weights"][1] == 1008
    assert 190 < shapes["softmax/weights"][0] < 220


def test_same_seed_same_bytes_and_another_seed_others(small_graph: Any) -> None:
    first = small_graph.SerializeToString(deterministic=True)
    assert make_reference_graph(_SMALL, seed=0).SerializeToString(deterministic=True) == first
    assert make_reference_graph(_SMALL, seed=1).SerializeToString(deterministic=True) != first


def test_features_of_new_images_are_finite_alive_and_different(
    small_graph: Any, tmp_path: Path
) -> None:
    features = _features(small_graph, draw_photos(tmp_path, per_class=3, seed=5))
    assert np.isfinite(features).all()
    spread = features.std(axis=0)
    assert (spread < 1e-3).mean() < 0.02  # dead features
    assert 0.3 < features.mean() < 1.0
    assert spread.mean() / features.mean() > 0.2


def test_a_linear_classifier_on_the_features_tells_the_drawn_classes_apart(tmp_path: Path) -> None:
    graph_def = make_reference_graph(0.25)
    known = draw_photos(tmp_path / "known", per_class=24, seed=0)
    new = draw_photos(tmp_path / "new", per_class=12, seed=1)
    head = LogisticRegression(max_iter=1000)
    head.fit(_features(graph_def, known), [path.parent.name for path in known])
    assert head.score(_features(graph_def, new), [path.parent.name for path in new]) >= 0.9


@pytest.mark.parametrize("width", [0.0, -1.0, 1.5])
def test_a_width_out_of_range_is_an_error(width: float) -> None:
    with pytest.raises(InputError, match="width has to be above 0"):
        make_reference_graph(width)


def test_calibration_images_of_another_size_are_an_error() -> None:
    images = calibration_images(per_class=1, side=64)
    assert images.shape == (len(CLASSES), 64, 64, 3)
    with pytest.raises(InputError, match=r"not uint8 \[7, 64, 64, 3\]"):
        make_reference_graph(_SMALL, images=images)
