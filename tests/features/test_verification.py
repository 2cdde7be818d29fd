"""A graph before and after a change, run on images, or on random values where it takes none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.verification import (
    Changed,
    difference,
    verify_on_images,
    verify_on_random_values,
)
from retrain_tools.graphdef.navigate import copy_nodes, nodes_by_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.graphdef.transforms.apply import End, apply_transforms
from retrain_tools.graphdef.transforms.parse import parse_transforms
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny
from tests.graphdef.tiny_graphs import add, add_constant, empty_graph
from tests.images.drawn import encoded


def changed(
    graph_def: Any, text: str, inputs: Sequence[str], outputs: Sequence[str], where: str = "g.pb"
) -> Changed:
    made = apply_transforms(graph_def, parse_transforms(text), inputs, outputs)
    return Changed(graph_def, made.graph_def, made.inputs, made.outputs, where)


@pytest.fixture(scope="module")
def graph_2015(tmp_path_factory: pytest.TempPathFactory) -> FrozenGraph:
    path = tiny.write_2015_graph(tmp_path_factory.mktemp("verified") / "g.pb")
    return tiny.opened(path, tiny.BOTTLENECK_2015)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder, found = tmp_path_factory.mktemp("photos"), {}
    for number, form in enumerate(("JPEG", "PNG", "BMP")):
        path = folder / f"{number}.{form.lower()}"
        path.write_bytes(encoded(tiny.photo(25, 31, number), form))
        found[path.name] = str(path)
    return found


DEPLOY = "strip_unused_nodes remove_nodes(op=Identity, op=CheckNumerics) fold_batch_norms"


@pytest.mark.parametrize("entry", ["DecodeJpeg/contents:0", "Mul:0", "ResizeBilinear:0"])
def test_wherever_it_was_cut_both_get_the_same_image(
    graph_2015: FrozenGraph, photos: dict[str, str], entry: str
) -> None:
    outputs = ["softmax:0", "pool:0"]
    both = changed(graph_2015.graph_def, DEPLOY, [entry], outputs)
    found = verify_on_images(both, graph_2015, photos)
    assert found.examples == 3
    assert (found.on_images, found.left_out, found.seed) == (True, {}, None)
    assert set(found.differences) == set(outputs)
    assert 0 < found.largest < 1e-4
    before = tiny.run_untouched(
        graph_2015.path, "pool:0", {"DecodeJpeg/contents:0": Path(photos["0.jpeg"]).read_bytes()}
    )
    assert found.largest_values["pool:0"] >= np.abs(before).max() > 0
    assert found.largest_values["softmax:0"] < 1


def test_a_difference_is_found_and_is_that_of_the_values(
    graph_2015: FrozenGraph, photos: dict[str, str]
) -> None:
    after = copy_nodes(graph_2015.graph_def, lambda _: True)
    nodes = nodes_by_name(after)
    nodes["softmax"].op = "Identity"
    both = Changed(graph_2015.graph_def, after, [], [End("softmax:0", "softmax:0")], "g.pb")
    found = verify_on_images(both, graph_2015, {"0.jpeg": photos["0.jpeg"]})
    feeds = {"DecodeJpeg/contents:0": Path(photos["0.jpeg"]).read_bytes()}
    scores, logits = (
        tiny.run_untouched(graph_2015.path, f"{name}:0", feeds)
        for name in ("softmax", "softmax/logits/MatMul")
    )
    assert found.largest == pytest.approx(np.abs(scores - logits).max(), rel=1e-5)


def test_a_graph_that_takes_pixels(tmp_path: Path, photos: dict[str, str]) -> None:
    frozen = tiny.opened(tiny.write_pixel_graph(tmp_path / "g.pb"), tiny.BOTTLENECK_PIXELS)
    text = (
        "rename_node(old_node_name=input, new_node_name=image) "
        "rename_node(old_node_name=features, new_node_name=out)"
    )
    both = changed(frozen.graph_def, text, ["input:0"], ["features:0"])
    assert both.inputs == (End("input:0", "image:0"),)
    found = verify_on_images(both, frozen, photos)
    assert (found.examples, found.differences) == (3, {"features:0": 0})
    assert found.largest_values["features:0"] > 0


def test_images_that_cannot_be_used_are_named(
    graph_2015: FrozenGraph, photos: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    both = changed(graph_2015.graph_def, "remove_device", [], ["pool:0"])
    images = {**photos, "bad.jpg": str(tmp_path / "bad.jpg")}
    found = verify_on_images(both, graph_2015, images)
    assert found.examples == 3
    assert found.left_out == {"bad.jpg": "is not a JPEG, PNG, GIF, BMP or WebP image"}
    with pytest.raises(InputError) as raised:
        verify_on_images(both, graph_2015, {"bad.jpg": str(tmp_path / "bad.jpg")})
    assert str(raised.value) == (
        "No image could be used to compare the graphs: bad.jpg is not a JPEG, PNG, GIF, BMP or "
        "WebP image"
    )


def with_dropout() -> Any:
    """Two inputs of data, and dropout's part to keep."""
    graph_def = empty_graph(producer=21)
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 3]))
    add(graph_def, "ids", "Placeholder", dtype=tf.int64, shape=tf.TensorShape([None]))
    add(graph_def, "on", "Placeholder", dtype=tf.bool, shape=tf.TensorShape([]))
    add(graph_def, "keep", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([]))
    add(graph_def, "shape", "Shape", ["x"], T=tf.float32, out_type=tf.int32)
    add(graph_def, "random", "RandomUniform", ["shape"], dtype=tf.float32, T=tf.int32)
    add(graph_def, "sum", "Add", ["keep", "random"], T=tf.float32)
    add(graph_def, "floor", "Floor", ["sum"], T=tf.float32)
    add(graph_def, "scaled", "RealDiv", ["x", "keep"], T=tf.float32)
    add(graph_def, "dropped", "Mul", ["scaled", "floor"], T=tf.float32)
    add_constant(graph_def, "table", np.arange(20, dtype=np.float32).reshape(10, 2))
    add(graph_def, "rows", "Gather", ["table", "ids"], Tparams=tf.float32, Tindices=tf.int64)
    add(graph_def, "not", "LogicalNot", ["on"])
    return graph_def


def test_a_graph_without_images_gets_random_values() -> None:
    inputs = ["x:0", "ids:0", "on:0", "keep:0"]
    outputs = ["dropped:0", "rows:0", "not:0"]
    both = changed(with_dropout(), "remove_device obfuscate_names", inputs, outputs)
    found = verify_on_random_values(both, seed=7)
    assert (found.examples, found.on_images, found.seed) == (4, False, 7)
    # Nothing is dropped: with other random numbers in both graphs, the values would differ.
    assert found.differences == dict.fromkeys(outputs, 0)
    assert 0 < found.largest_values["dropped:0"] <= 1
    other = verify_on_random_values(both, seed=8).largest_values
    assert other != found.largest_values
    assert verify_on_random_values(both, seed=7).largest_values == found.largest_values


def test_what_there_are_no_random_values_for() -> None:
    graph_def = empty_graph()
    add(graph_def, "text", "Placeholder", dtype=tf.string, shape=tf.TensorShape([2]))
    add(graph_def, "y", "Identity", ["text"], T=tf.string)
    with pytest.raises(InputError) as raised:
        verify_on_random_values(changed(graph_def, "remove_device", ["text:0"], ["y:0"]))
    assert str(raised.value) == (
        "g.pb takes 'text:0', string [2], of which there are no random values to run it on."
    )


def test_a_graph_that_fails_says_so() -> None:
    graph_def = empty_graph()
    add(graph_def, "x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([2]))
    add(graph_def, "y", "CheckNumerics", ["x"], T=tf.float32, message="bad")
    add_constant(graph_def, "zero", np.float32(0))
    broken = copy_nodes(graph_def, lambda _: True)
    add(broken, "r", "RealDiv", ["x", "zero"], T=tf.float32)
    nodes_by_name(broken)["y"].input[0] = "r"
    ends = [End("x:0", "x:0")], [End("y:0", "y:0")]
    with pytest.raises(InputError, match=r"^The graphs cannot be compared: bad : Tensor had Inf"):
        verify_on_random_values(Changed(graph_def, broken, *ends, "g.pb"))
    other = copy_nodes(graph_def, lambda _: True)
    other.node[0].name = nodes_by_name(other)["y"].input[0] = "z"
    with pytest.raises(InputError) as raised:
        verify_on_random_values(Changed(graph_def, other, [], ends[1], "g.pb"))
    assert str(raised.value) == (
        "The changed graph takes 'z:0', which g.pb does not have, so that the two cannot be run on "
        "the same values."
    )
    refused = copy_nodes(graph_def, lambda _: True)
    refused.node[1].op = "NoSuchOp"
    with pytest.raises(
        InputError, match=r"^The changed graph cannot be opened by TensorFlow: Op ty"
    ):
        verify_on_random_values(Changed(graph_def, refused, *ends, "g.pb"))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([np.nan, 1.0], [np.nan, 1.0], 0),
        ([np.nan], [1.0], math.inf),
        ([np.inf, -np.inf], [np.inf, -np.inf], 0),
        ([np.inf], [1.0], math.inf),
        ([1.0], [[1.0]], math.inf),
        ([], [], 0),
        ([True, False], [True, True], 1),
        ([3 + 4j], [0j], 5),
        (np.array([b"a"], object), np.array([b"a"], object), 0),
        (np.array([b"a"], object), np.array([b"b"], object), math.inf),
        (np.array([b"a"], object), np.array([1.0]), math.inf),
        (np.uint8([0]), np.uint8([255]), 255),
        (1.5, 1.0, 0.5),
    ],
)
def test_differences(one: Any, other: Any, expected: float) -> None:
    assert difference(np.asarray(one), np.asarray(other)) == expected
