"""The extractor against the untouched graph, fed one image at a time."""

from __future__ import annotations

import re

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.pooling import pool
from retrain_tools.images.decode import ImageError
from retrain_tools.images.folders import find_images
from retrain_tools.quiet_tensorflow import tf

from . import tiny
from .extracting import EXACT, open_2015, open_pixels, results_of, write_solid

# --- the same numbers ---


def test_a_graph_of_2015_in_batches_gives_what_it_gives_alone(graph_2015, photos):
    paths = [image.path for image in find_images(str(photos))]
    with open_2015(graph_2015) as extractor:
        assert extractor.batch_size > 1
        assert extractor.shapes == [(256,)]
        results = results_of(extractor, paths)
    for path in paths:
        data = open(path, "rb").read()  # noqa: PTH123, SIM115
        [expected] = tiny.run_untouched(
            graph_2015, tiny.BOTTLENECK_2015, {"DecodeJpeg/contents:0": data}
        )
        assert results[path][0].dtype == np.float32
        np.testing.assert_allclose(results[path][0], expected, rtol=0, atol=EXACT)


def test_a_graph_of_pixels_gets_retrain_py_s_image_side(pixel_graph, photos):
    paths = [image.path for image in find_images(str(photos))]
    with open_pixels(pixel_graph) as extractor:
        results = results_of(extractor, paths)
    for path in paths:
        pixels = tiny.prepared_by_hand(open(path, "rb").read())  # noqa: PTH123, SIM115
        [expected] = tiny.run_untouched(pixel_graph, tiny.BOTTLENECK_PIXELS, {"input:0": pixels})
        np.testing.assert_allclose(results[path][0], expected, rtol=0, atol=EXACT)


def test_several_fetches_come_in_their_order(graph_2015, photos):
    fetches = ["softmax:0", tiny.BOTTLENECK_2015, "conv/relu:0"]
    path = str(photos / "a/0.jpg")
    with Extractor(tiny.opened(graph_2015, "softmax:0"), fetches, "max") as extractor:
        values = results_of(extractor, [path])[path]
        assert extractor.shapes == [(5,), (256,), (8,)]
    data = {"DecodeJpeg/contents:0": (photos / "a/0.jpg").read_bytes()}
    for fetch, value in zip(fetches[:2], values[:2], strict=True):
        expected = tiny.run_untouched(graph_2015, fetch, data)[0]
        np.testing.assert_allclose(value, expected, rtol=0, atol=EXACT)
    maps = tiny.run_untouched(graph_2015, fetches[2], data)
    np.testing.assert_allclose(values[2], maps.max((0, 1, 2)), rtol=0, atol=EXACT)


# --- pooling ---


def test_poolings_by_numpy():
    values = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(pool(values, "avg"), values.mean((1, 2)))
    np.testing.assert_allclose(pool(values, "max"), values.max((1, 2)))
    for pooling in ("flatten", "none"):
        np.testing.assert_array_equal(pool(values, pooling), values.reshape(3, 40))
    np.testing.assert_allclose(pool(values[:, 0], "avg"), values[:, 0].mean(1))
    for pooling in ("avg", "max", "flatten", "none"):
        np.testing.assert_array_equal(pool(values[:, 0, 0], pooling), values[:, 0, 0])
        np.testing.assert_array_equal(pool(values[:, 0, 0, 0], pooling), values[:, 0, 0, :1])


@pytest.mark.parametrize(
    ("pooling", "depth"), [("avg", 4), ("max", 4), ("flatten", 256), ("none", 256)]
)
def test_a_feature_map_is_pooled(pixel_graph, photos, pooling, depth):
    path = photos / "a/0.jpg"
    with open_pixels(pixel_graph, pooling, "maps:0") as extractor:
        assert extractor.shapes == [(depth,)]
        [value] = results_of(extractor, [path])[str(path)]
    pixels = tiny.prepared_by_hand(path.read_bytes())
    maps = tiny.run_untouched(pixel_graph, "maps:0", {"input:0": pixels})
    np.testing.assert_allclose(value, pool(maps, pooling)[0], rtol=0, atol=EXACT)


def test_without_pooling_values_keep_their_shape(pixel_graph, photos):
    path = photos / "a/0.jpg"
    frozen = tiny.opened(pixel_graph, "maps:0")
    with Extractor(frozen, ["maps:0", "features:0"], None) as extractor:
        assert extractor.shapes == [(8, 8, 4), (4,)]
        values = results_of(extractor, [path])[str(path)]
    pixels = tiny.prepared_by_hand(path.read_bytes())
    for name, value in zip(("maps:0", "features:0"), values, strict=True):
        [expected] = tiny.run_untouched(pixel_graph, name, {"input:0": pixels})
        np.testing.assert_allclose(value, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (lambda x, _: tf.strings.as_string(x), "is of type string, and no real numbers; choose"),
        (lambda x, _: tf.complex(x, x), "is of type complex64, and no real numbers; choose"),
        (lambda x, _: x[:, :0], r"has no values for an image: its shape is \[0\]\.$"),
    ],
)
def test_a_tensor_without_numbers_is_refused(tmp_path, ending, reason):
    path = tiny.write_pixel_graph(tmp_path / "graph.pb", ending)
    with pytest.raises(InputError, match=f"^'features:0' {reason}"):
        open_pixels(path)


@pytest.mark.parametrize("dtype", [tf.bool, tf.int64, tf.float16, tf.float64, tf.uint8])
def test_numbers_of_any_type_become_float32(tmp_path, photos, dtype):
    path = tiny.write_pixel_graph(tmp_path / "graph.pb", lambda x, _: tf.cast(x * 50, dtype))
    photo = photos / "a/0.jpg"
    with open_pixels(path) as extractor:
        [value] = results_of(extractor, [photo])[str(photo)]
    feeds = {"input:0": tiny.prepared_by_hand(photo.read_bytes())}
    [expected] = tiny.run_untouched(path, tiny.BOTTLENECK_PIXELS, feeds)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected.astype(np.float32), rtol=1e-3)


# --- graphs that do not take batches ---


def less_the_batch(pooled, pixels):
    return pooled - 0.5 * tf.reduce_mean(pooled, 0, keepdims=True)


def squeezed(pooled, pixels):
    return tf.squeeze(pooled)


def one_number(pooled, pixels):
    return tf.reduce_sum(pooled)


def rows_and_columns_mixed(pooled, pixels):
    return tf.reshape(tf.transpose(pooled), [-1, 4])


@pytest.mark.parametrize(
    ("ending", "batchable"),
    [
        (None, True),
        (squeezed, True),
        (less_the_batch, False),
        (one_number, False),
        (rows_and_columns_mixed, False),
        (lambda pooled, pixels: pooled * tf.cast(tf.shape(pixels)[0], tf.float32), False),
        (lambda pooled, pixels: tf.ensure_shape(pooled, [1, 4]), False),
    ],
)
def test_a_graph_that_cannot_take_batches_runs_one_by_one(tmp_path, photos, ending, batchable):
    path = tiny.write_pixel_graph(tmp_path / "graph.pb", ending)
    paths = [image.path for image in find_images(str(photos))]
    with open_pixels(path) as extractor:
        assert (extractor.batch_size > 1) == batchable
        results = results_of(extractor, paths)
    for name in paths:
        pixels = tiny.prepared_by_hand(open(name, "rb").read())  # noqa: PTH123, SIM115
        expected = tiny.run_untouched(path, tiny.BOTTLENECK_PIXELS, {"input:0": pixels}).ravel()
        np.testing.assert_allclose(results[name][0], expected, rtol=0, atol=EXACT)


def test_running_one_by_one_is_logged(tmp_path, caplog):
    caplog.set_level("INFO")
    path = tiny.write_pixel_graph(tmp_path / "graph.pb", less_the_batch)
    with open_pixels(path):
        assert "gives other values in a batch; its images are run one by one" in caplog.text


# --- one bad image ---


def log_of_brightness(pooled, pixels):
    return pooled + tf.math.log(tf.reduce_mean(pixels, [1, 2, 3])[:, None] + 0.5)


def checked(pooled, pixels):
    """CheckNumericsV2 stays in the graph: the whole batch fails."""
    return tf.raw_ops.CheckNumericsV2(tensor=log_of_brightness(pooled, pixels), message="oh")


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (log_of_brightness, r"^gives values that are not finite numbers$"),
        (checked, r"^makes the graph fail: oh"),
    ],
)
def test_values_that_are_not_finite_are_the_fault_of_one_image(tmp_path, ending, reason):
    path = tiny.write_pixel_graph(tmp_path / "graph.pb", ending)
    dark = {1, 6, 7}
    paths = write_solid(tmp_path, [0 if n in dark else 150 + n for n in range(10)])
    with open_pixels(path) as extractor:
        assert extractor.batch_size > 1
        results = results_of(extractor, paths)
    for number, name in enumerate(paths):
        if number in dark:
            assert isinstance(results[name], ImageError)
            assert re.match(reason, str(results[name]))
            continue
        pixels = tiny.prepared_by_hand(open(name, "rb").read())  # noqa: PTH123, SIM115
        [expected] = tiny.run_untouched(path, tiny.BOTTLENECK_PIXELS, {"input:0": pixels})
        np.testing.assert_allclose(results[name][0], expected, rtol=0, atol=EXACT)


def test_a_bad_image_never_shifts_another_s_result(graph_2015, photos):
    paths = [image.path for image in find_images(str(photos))]
    with open_2015(graph_2015) as extractor:
        before = results_of(extractor, paths)
        photo = tiny.encoded(tiny.photo(23, 17), "JPEG")
        bad = {"a/0.jpg": b"", "a/10.jpg": b"text", "b/1.jpg": photo[:300]}
        for name, data in bad.items():
            (photos / name).write_bytes(data)
        (photos / "b/5.jpg").unlink()
        after = results_of(extractor, paths)
    failed = {path for path, result in after.items() if isinstance(result, ImageError)}
    assert failed == {str(photos / name) for name in (*bad, "b/5.jpg")}
    assert set(after) == set(paths)
    for path in set(paths) - failed:
        np.testing.assert_allclose(after[path][0], before[path][0], rtol=0, atol=EXACT)
