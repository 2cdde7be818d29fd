from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from retrain_tools.graphdef.walks import consumers
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.report.kernels import first_layer_constant, kernel_tiles, tile_image

from .graphs import add, add_constant, small_network


def test_the_first_layer_is_the_nearest_convolution_through_identity() -> None:
    graph_def = small_network()
    nodes = {node.name: node for node in graph_def.node}
    for start in ("input", None, "not there"):
        assert first_layer_constant(nodes, consumers(graph_def), start) == "conv/weights"
    assert first_layer_constant(nodes, consumers(graph_def), "conv") == "conv_1/weights"
    assert first_layer_constant(nodes, consumers(graph_def), "pool") is None


def test_identities_in_a_circle_and_a_layer_without_weights_are_survived() -> None:
    graph_def = tf.compat.v1.GraphDef()
    add(graph_def, "input", "Placeholder")
    add(graph_def, "a", "Identity", "b")
    add(graph_def, "b", "Identity", "a")
    add(graph_def, "layer", "Conv2D", "input", "a")
    nodes = {node.name: node for node in graph_def.node}
    assert first_layer_constant(nodes, consumers(graph_def), None) is None
    del nodes["layer"].input[1]
    assert first_layer_constant(nodes, consumers(graph_def), None) is None


def test_tiles_stretch_each_kernel_to_its_own_range() -> None:
    kernels = np.zeros((2, 2, 3, 5))
    kernels[..., 0] = np.arange(12).reshape(2, 2, 3)
    kernels[..., 1] = -4
    kernels[0, 0, 0, 3] = np.nan
    kernels[0, 0, 1, 3] = 1.7e308
    kernels[0, 0, 2, 3] = -1.7e308
    image = tile_image(kernels)
    assert image.shape == (5, 8, 4)  # two rows of three tiles, the sixth empty, a gap between
    np.testing.assert_array_equal(
        image[:2, :2, :3], np.rint(np.arange(12).reshape(2, 2, 3) * 255 / 11)
    )
    assert (image[:2, 3:5, :3] == 128).all()
    assert image[3, 0].tolist() == [128, 255, 0, 255]
    assert (image[2] == 0).all()
    assert (image[:, [2, 5]] == 0).all()
    assert (image[3:, 6:] == 0).all()


def test_the_image_is_a_png_of_the_tiles() -> None:
    kernels = np.random.default_rng(0).normal(size=(5, 4, 1, 300)).astype(np.float32)
    found = kernel_tiles(tf.make_tensor_proto(kernels))
    assert found is not None
    assert (found["shown"], found["out"]) == (256, 300)
    with Image.open(io.BytesIO(base64.b64decode(found["png"]))) as image:
        assert image.size == (found["width"], found["height"])
        expected = tile_image(kernels[..., :256].astype(np.float64))
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_what_is_no_image_kernel_has_no_tiles() -> None:
    graph_def = tf.compat.v1.GraphDef()
    for shape in ((3, 3, 4, 8), (3, 3, 3), (99, 3, 3, 8), (3, 3, 3, 0)):
        node = add_constant(graph_def, "weights", np.zeros(shape, np.float32))
        assert kernel_tiles(node.attr["value"].tensor) is None
    node = add_constant(graph_def, "weights", np.zeros((3, 3, 3, 8), np.uint8))
    assert kernel_tiles(node.attr["value"].tensor) is None
    node.attr["value"].tensor.tensor_content = b"1"
    assert kernel_tiles(node.attr["value"].tensor) is None
