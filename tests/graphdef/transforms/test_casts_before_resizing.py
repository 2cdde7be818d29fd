"""Resizers on the decoded pixels themselves: the same bits, and only where they are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_tools.graphdef.transforms.casts_before_resizing import remove_casts_before_resizing
from retrain_tools.quiet_tensorflow import tf

from ..tiny_graphs import add, add_constant, empty_graph, inception_like, jpeg, run

# (height, width) before and after: larger, smaller, the same, one pixel, one axis only, a photo's.
SIZES = [
    ((13, 21), (29, 31)),
    ((64, 48), (7, 9)),
    ((17, 17), (17, 17)),
    ((1, 1), (5, 3)),
    ((5, 3), (1, 1)),
    ((40, 8), (8, 40)),
    ((90, 120), (299, 299)),
    ((756, 1008), (299, 299)),
    ((1500, 2000), (224, 224)),
]
CHOICES = {
    "ResizeBilinear": [{}, {"align_corners": True}, {"half_pixel_centers": True}],
    "ResizeBicubic": [{}, {"align_corners": True}, {"half_pixel_centers": True}],
    "ResizeArea": [{}, {"align_corners": True}],
}


def resizing(op: str, size: tuple[int, int], result: Any = tf.float32, **said: Any) -> Any:
    """A graph from decoded pixels, `image`, to resized ones, `resized`."""
    graph_def = empty_graph(1000)
    add(graph_def, "image", "Placeholder", dtype=tf.uint8)
    add(graph_def, "cast", "Cast", ["image"], SrcT=tf.uint8, DstT=result)
    add_constant(graph_def, "dim", np.int32(0))
    add(graph_def, "batch", "ExpandDims", ["cast", "dim"], T=result)
    add_constant(graph_def, "size", np.array(size, np.int32))
    add(graph_def, "resized", op, ["batch", "size"], T=result, **said)
    return graph_def


def ops_of(graph_def: Any) -> list[str]:
    return [node.op for node in graph_def.node]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("op", CHOICES)
def test_every_resizer_gives_the_same_bits_without_the_cast(op: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    for before, after in SIZES:
        image = rng.integers(0, 256, (*before, channels), np.uint8)
        for said in CHOICES[op]:
            graph_def = resizing(op, after, **said)
            result, weights = remove_casts_before_resizing(graph_def, {})
            assert "Cast" not in ops_of(result)
            assert weights == {}
            found = run(result, "resized:0", {"image:0": image})
            wanted = run(graph_def, "resized:0", {"image:0": image})
            assert found.dtype == wanted.dtype == np.float32
            assert found.tobytes() == wanted.tobytes(), (op, said, before, after)


def test_nearest_neighbours_keep_their_cast_as_they_give_what_they_take() -> None:
    graph_def = resizing("ResizeNearestNeighbor", (7, 9))
    result = remove_casts_before_resizing(graph_def, {})[0]
    assert result.node == graph_def.node
    image = np.zeros((13, 21, 3), np.uint8)
    assert run(result, "resized:0", {"image:0": image}).dtype == np.float32


def test_the_whole_image_side_of_2015_prepares_the_same_bits() -> None:
    graph_def = inception_like()
    before = graph_def.SerializeToString(deterministic=True)
    result = remove_casts_before_resizing(graph_def, {}, ["DecodeJpeg", "ResizeBilinear", "Mul"])[0]
    assert {node.name for node in graph_def.node} - {node.name for node in result.node} == {"Cast"}
    for seed in range(3):
        feeds = {"DecodeJpeg/contents:0": jpeg(seed)}
        assert run(result, "Mul:0", feeds).tobytes() == run(graph_def, "Mul:0", feeds).tobytes()
    assert graph_def.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("kept", ["cast", "batch"])
def test_what_is_to_be_fetched_stays_float32(kept: str) -> None:
    graph_def = resizing("ResizeBilinear", (7, 9))
    assert remove_casts_before_resizing(graph_def, {}, [kept])[0].node == graph_def.node


def test_a_kept_resizer_does_not_keep_the_cast() -> None:
    result = remove_casts_before_resizing(resizing("ResizeArea", (7, 9)), {}, ["resized"])[0]
    assert "Cast" not in ops_of(result)


@pytest.mark.parametrize("at", ["cast", "batch"])
def test_a_cast_that_another_node_takes_as_well_stays(at: str) -> None:
    graph_def = resizing("ResizeBilinear", (7, 9))
    add(graph_def, "other", "Neg", [at], T=tf.float32)
    assert remove_casts_before_resizing(graph_def, {})[0].node == graph_def.node


def test_a_cast_that_something_waits_for_stays() -> None:
    graph_def = resizing("ResizeBilinear", (7, 9))
    add(graph_def, "other", "NoOp", ["^cast"])
    assert remove_casts_before_resizing(graph_def, {})[0].node == graph_def.node


def test_a_cast_to_another_type_or_that_nothing_takes_stays() -> None:
    graph_def = resizing("ResizeBilinear", (7, 9), tf.float64)
    add(graph_def, "alone", "Cast", ["image"], SrcT=tf.uint8, DstT=tf.float32)
    assert remove_casts_before_resizing(graph_def, {})[0].node == graph_def.node


def test_two_resizers_of_one_cast_both_take_the_pixels() -> None:
    graph_def = resizing("ResizeBilinear", (7, 9))
    add(graph_def, "smaller", "ResizeArea", ["batch:0", "size"], T=tf.float32)
    result = remove_casts_before_resizing(graph_def, {})[0]
    assert "Cast" not in ops_of(result)
    image = np.random.default_rng(1).integers(0, 256, (13, 21, 3), np.uint8)
    for name in ("resized:0", "smaller:0"):
        found, wanted = (run(one, name, {"image:0": image}) for one in (result, graph_def))
        assert found.tobytes() == wanted.tobytes()
