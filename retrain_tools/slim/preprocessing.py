"""Slim's evaluation preprocessing, as an image side that stands in front of a frozen network."""

from __future__ import annotations

from typing import Any

from retrain_tools.graphdef import schema
from retrain_tools.graphdef.image_side import ImageSide
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.slim.networks import Preprocessing


def evaluation_side(prepared: Preprocessing, image_size: tuple[int, int]) -> ImageSide:
    """Build the image side that slim evaluated a network with.

    Either the middle of the image is cut out and resized, aspect not kept (inception), or the
    image is shrunk to a shorter side, aspect kept, and its middle is cut out (vgg). The rules are
    those of slim's inception_preprocessing.py and vgg_preprocessing.py.

    Args:
        prepared: which of the two, and the scaling.
        image_size: (height, width) of the network's images.
    """
    graph = tf.Graph()
    with graph.as_default():
        contents = tf.compat.v1.placeholder(tf.string, [], "contents")
        decoded = tf.raw_ops.DecodeJpeg(contents=contents, channels=3, name="DecodeJpeg")
        image = tf.cast(decoded, tf.float32)
        if prepared.central_fraction is not None:
            image = _middle_part(image, prepared.central_fraction)
        if prepared.shorter_side is not None:
            image = _resize(image, _shrunk_size(image, prepared.shorter_side))[0]
            resized = _middle(image, image_size)[tf.newaxis]
        else:
            resized = _resize(image, image_size)
        resized = tf.reshape(resized, [1, *image_size, 3], "resized")
        tf.multiply(resized - list(prepared.mean), 1.0 / prepared.std, "pixels")
    side = schema.GraphDef.FromString(graph.as_graph_def().SerializeToString())
    _rename(side, "contents", "DecodeJpeg/contents")
    names = "DecodeJpeg/contents:0", "DecodeJpeg:0", "resized:0", "pixels:0"
    return ImageSide(side, *names, 3)


def _resize(image: Any, size: Any) -> Any:
    return tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=size)


def _middle_part(image: Any, fraction: float) -> Any:
    """Cut out the middle, `fraction` of each side."""
    size = tf.shape(image)[:2]
    exact = tf.cast(size, tf.float64)
    start = tf.cast((exact - exact * fraction) / 2, tf.int32)
    return _cut(image, start, size - 2 * start)


def _shrunk_size(image: Any, shorter_side: int) -> Any:
    """Return the size at which the shorter side is `shorter_side` and the aspect is kept."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    return tf.cast(tf.math.rint(size * (shorter_side / tf.reduce_min(size))), tf.int32)


def _middle(image: Any, size: tuple[int, int]) -> Any:
    return _cut(image, (tf.shape(image)[:2] - size) // 2, tf.constant(size))


def _cut(image: Any, start: Any, size: Any) -> Any:
    return tf.slice(image, tf.concat([start, [0]], 0), tf.concat([size, [3]], 0))


def _rename(graph_def: Any, old: str, new: str) -> None:
    """Give a node a name that a tf.Graph would not: one below another node's name."""
    for node in graph_def.node:
        node.name = new if node.name == old else node.name
        node.input[:] = [new if name == old else name for name in node.input]
