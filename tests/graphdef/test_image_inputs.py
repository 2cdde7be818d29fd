"""Which tensor takes images, in graphs as people made them with TensorFlow 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.graphdef.image_inputs import ImageInput, find_inputs
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.schema import GraphDef
from retrain_tools.quiet_tensorflow import tf

Make = Callable[[], Any]


def graph_of(make: Make) -> Any:
    with tf.Graph().as_default() as graph:
        make()
    return GraphDef.FromString(graph.as_graph_def().SerializeToString())


def found(make: Make, input_layer: str | None = None) -> ImageInput:
    graph_def = graph_of(make)
    return find_inputs(graph_def, nodes_by_name(graph_def), "g.pb", input_layer)


def refused(make: Make, input_layer: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        found(make, input_layer)
    return str(error.value)


def fed(shape: list[int | None] | None, name: str = "x", dtype: str = "float32") -> Any:
    return tf.compat.v1.placeholder(dtype, shape, name)


def conv(x: Any, depth: int, name: str = "conv", **options: Any) -> Any:
    kernel = tf.constant(np.ones((3, 3, depth, 2), np.float32))
    return tf.nn.conv2d(x, kernel, 1, "SAME", name=name, **options)


def network(x: Any, depth: int) -> Any:
    """Dropout as tf.nn.dropout has it, its rate fed first, between two layers."""
    x = tf.nn.relu(conv(x, depth))
    keep = tf.compat.v1.get_default_graph().get_tensor_by_name("keep_prob:0")
    random = keep + tf.random.uniform(tf.shape(x))
    return conv(x / keep * tf.floor(random), 2, "conv_2")


NOT_SEEN = (
    "No tensor of g.pb is seen to take images; name it with input_layer. "
    "List them: list_tensors --graph=g.pb"
)


@pytest.mark.parametrize("shape", [None, []], ids=["shapeless", "scalar"])
@pytest.mark.parametrize(
    ("image", "depth", "channels", "size"),
    [
        ([None, 8, 9, 3], 3, 3, (8, 9)),
        ([None, 64, 64, 1], 1, 1, (64, 64)),
        ([None, None, None, None], 1, 1, None),
        (None, 3, 3, None),
        (None, 1, 1, None),
    ],
)
def test_a_dropout_rate_is_no_image(
    shape: list[int] | None, image: Any, depth: int, channels: int, size: tuple[int, int] | None
) -> None:
    def make() -> None:
        fed(shape, "keep_prob")
        network(fed(image) / 255.0 - 0.5, depth)

    entry = found(make)
    assert (entry.pixels, entry.channels, entry.size) == ("x:0", channels, size)


@pytest.mark.parametrize("name", ["keep_prob", "learning_rate", "phase"])
def test_a_graph_of_rows_takes_no_images(name: str) -> None:
    def make() -> None:
        rate = fed(None, name)
        rows = tf.reshape(fed([None, 784]), [-1, 28, 28])
        tf.matmul(tf.unstack(rows, 28, 1)[-1], tf.ones((28, 10))) * rate

    assert refused(make) == NOT_SEEN


def test_a_shapeless_matrix_is_no_image() -> None:
    assert refused(lambda: tf.matmul(fed(None), tf.ones((784, 10)))) == NOT_SEEN


def test_labels_and_switches_are_no_images() -> None:
    def make() -> None:
        fed([None, 10], "labels")
        phase = fed([], "phase", "bool")
        x = tf.compat.v1.placeholder_with_default(tf.zeros((1, 6, 6, 1)), [None, 6, 6, 1], "x")
        tf.cond(phase, lambda: conv(x, 1), lambda: conv(x * 2.0, 1))

    assert found(make).pixels == "x:0"


@pytest.mark.parametrize(
    ("side", "made"), [(28, "Reshape:0"), (None, "Reshape:0")], ids=["fixed", "by the batch"]
)
def test_rows_that_become_images_enter_as_images(side: int | None, made: str) -> None:
    def make() -> None:
        rows = fed([None, 784])
        batch = -1 if side else tf.shape(rows)[0]
        conv(tf.reshape(rows, [batch, 28, 28, 1]), 1)

    entry = found(make)
    assert (entry.pixels, entry.placeholder) == (made, "x:0")
    assert (entry.channels, entry.size) == (1, (28, 28))
    assert found(make, "x").pixels == made


def test_a_shapeless_placeholder_is_judged_by_what_is_made_of_it() -> None:
    entry = found(lambda: conv(tf.reshape(fed(None), [-1, 28, 28, 1]), 1))
    assert (entry.pixels, entry.size) == ("Reshape:0", (28, 28))
    assert refused(lambda: tf.nn.conv1d(fed(None), tf.ones((3, 9, 2)), 1, "SAME")) == NOT_SEEN


@pytest.mark.parametrize("shape", [[None, 1, 90, 3], [None, 90, 3]])
def test_measurements_over_time_are_no_images(shape: list[int | None]) -> None:
    def make() -> None:
        x = fed(shape)
        conv(x if len(shape) == 4 else tf.expand_dims(x, 1), 3)

    assert refused(make) == NOT_SEEN


def test_a_mask_of_any_size_is_no_image() -> None:
    assert refused(lambda: fed([None, None, None, 1]) * 2.0) == NOT_SEEN

    def product() -> None:
        tf.matmul(tf.reshape(fed([None, 28, 28, 1]), [-1, 784]), tf.ones((784, 2)))

    assert found(product).channels == 1


def test_rows_that_are_changed_before_they_become_images_cannot_be_fed() -> None:
    def make() -> None:
        conv(tf.reshape(fed([None, 784]) / 255.0, [-1, 28, 28, 1]), 1)

    assert refused(make) == NOT_SEEN
    assert refused(make, "x") == (
        "'x:0' of g.pb takes [?, 784], and images are fed as [?, height, width, 3 or 1]; name "
        "another tensor with input_layer."
    )


def test_rows_that_are_also_used_elsewhere_cannot_be_fed() -> None:
    def make() -> None:
        rows = fed([None, 784])
        conv(tf.reshape(rows, [-1, 28, 28, 1]), 1)
        tf.matmul(rows, tf.ones((784, 10)))

    assert refused(make) == NOT_SEEN


def test_images_without_a_last_axis_enter_where_they_get_one() -> None:
    entry = found(lambda: conv(tf.expand_dims(fed([None, 20, 30]), -1), 1))
    assert (entry.pixels, entry.placeholder, entry.size) == ("ExpandDims:0", "x:0", (20, 30))


def test_channels_that_come_first_and_are_moved_to_the_end() -> None:
    entry = found(lambda: conv(tf.transpose(fed([None, 3, 20, 30]), [0, 2, 3, 1]), 3))
    assert (entry.pixels, entry.placeholder) == ("transpose:0", "x:0")
    assert (entry.channels, entry.size) == (3, (20, 30))


def test_images_of_four_channels_are_refused_by_name() -> None:
    assert refused(lambda: conv(fed([None, 64, 64, 4]), 4)) == (
        "'x:0' of g.pb takes [?, 64, 64, 4], images of 4 channels; images are fed as "
        "[?, height, width, 3 or 1]; name another tensor with input_layer."
    )
    assert refused(lambda: conv(fed(None), 4)) == (
        "'x:0' of g.pb takes [?, ?, ?, 4], images of 4 channels; images are fed as "
        "[?, height, width, 3 or 1]; name another tensor with input_layer."
    )


def test_channels_that_come_first_are_refused_by_name() -> None:
    def make() -> None:
        conv(fed([None, 3, 20, 30]), 3, data_format="NCHW")

    assert refused(make) == (
        "'x:0' of g.pb takes [?, 3, 20, 30], with the channels before height and width (NCHW); "
        "images are fed as [?, height, width, 3 or 1]; name another tensor with input_layer."
    )


def test_films_are_refused_by_name() -> None:
    def make() -> None:
        tf.nn.conv3d(fed([None, 16, 8, 8, 3]), tf.ones((3, 3, 3, 3, 2)), [1] * 5, "SAME")

    assert refused(make) == (
        "'x:0' of g.pb takes [?, 16, 8, 8, 3], several images at a time, as of a film; images are "
        "fed as [?, height, width, 3 or 1]; name another tensor with input_layer."
    )


def test_the_input_that_a_layer_takes_comes_before_its_mask() -> None:
    def make() -> None:
        mask = fed([None, 8, 8, 1], "mask")
        other = fed([None, 8, 8, 3], "target")
        tf.reduce_sum(mask * (other - conv(fed([None, 8, 8, 3]), 3)[..., :1]))

    assert found(make).pixels == "x:0"


def test_colours_that_are_split_and_turned_around() -> None:
    def make() -> None:
        fed(None, "keep_prob")
        red, green, blue = tf.split(fed(None) * 255.0, 3, 3)
        conv(tf.concat([blue - 103.9, green - 116.8, red - 123.7], 3), 3)

    assert found(make).pixels == "x:0"


def test_an_input_layer_of_another_type_is_refused() -> None:
    assert refused(lambda: conv(tf.cast(fed([None, 8, 8, 3], dtype="uint8"), "float32"), 3), "x")
    text = refused(lambda: conv(tf.cast(fed([None, 8, 8, 3], dtype="uint8"), "float32"), 3), "x")
    assert text == (
        "'x:0' of g.pb takes uint8, and images are fed as float32; name another tensor with "
        "input_layer."
    )


def test_a_rate_named_as_the_input_layer_is_refused() -> None:
    def make() -> None:
        fed([], "keep_prob")
        network(fed([None, 8, 8, 3]), 3)

    assert refused(make, "keep_prob") == (
        "'keep_prob:0' of g.pb takes [], and images are fed as [?, height, width, 3 or 1]; name "
        "another tensor with input_layer."
    )


@pytest.mark.parametrize(
    ("decoded", "depth", "channels"), [(1, 1, 1), (3, 3, 3), (0, 1, 1), (0, 3, 3)]
)
def test_the_channels_of_a_graph_that_decodes(decoded: int, depth: int, channels: int) -> None:
    def make() -> None:
        contents = fed([], "contents", "string")
        image = tf.raw_ops.DecodeJpeg(contents=contents, channels=decoded, name="decoded")
        batch = tf.expand_dims(tf.cast(image, tf.float32), 0)
        conv(tf.compat.v1.image.resize_bilinear(batch, [8, 8]), depth)

    entry = found(make)
    assert (entry.encoded, entry.decoded) == ("contents:0", "decoded:0")
    assert (entry.channels, entry.size) == (channels, (8, 8))


def test_a_decoder_of_four_channels_is_refused_by_name() -> None:
    def make() -> None:
        image = tf.io.decode_png(fed([], "contents", "string"), 4, name="decoded")
        conv(tf.expand_dims(tf.cast(image, tf.float32), 0, name="batch"), 4)

    assert refused(make) == (
        "'decoded:0' of g.pb gives images of 4 channels to 'batch:0'; only colour images (3) and "
        "grey ones (1) can be run."
    )
