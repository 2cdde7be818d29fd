"""The extractor against the untouched graph, fed one image at a time."""

from __future__ import annotations

import os
import re
import threading
import time

import numpy as np
import pytest
from PIL import Image

from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.features.pooling import pool
from retrain_tools.images.decode import ImageError
from retrain_tools.images.folders import find_images
from retrain_tools.quiet_tensorflow import tf

from . import tiny

EXACT = 1e-4


def results_of(extractor, paths):
    paths = [str(path) for path in paths]
    results = list(extractor.extract(paths))
    assert [path for path, _ in results] == paths
    return dict(results)


def open_2015(path):
    return Extractor(tiny.opened(path, tiny.BOTTLENECK_2015), [tiny.BOTTLENECK_2015])


def open_pixels(path, pooling="avg", fetch=tiny.BOTTLENECK_PIXELS):
    return Extractor(tiny.opened(path, fetch), [fetch], pooling)


def write_solid(path, values, size=(20, 20)):
    for number, value in enumerate(values):
        Image.new("RGB", size, (value,) * 3).save(path / f"{number}.png")
    return [str(path / f"{number}.png") for number in range(len(values))]


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


# --- every format ---

COLOUR = tiny.photo(23, 17)
ALPHA = Image.fromarray(np.random.default_rng(5).integers(0, 256, (23, 17), np.uint8))
WITH_ALPHA = Image.merge("RGBA", (*COLOUR.split(), ALPHA))
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation: turn by 90 degrees
FRAMES = {"save_all": True, "append_images": [tiny.photo(23, 17, seed=9)], "loop": 0}


def see_through_gif():
    indexed = COLOUR.quantize(32)
    return tiny.encoded(indexed, "GIF", transparency=indexed.getpixel((3, 3)))


def png_of_16_bits():
    rng = np.random.default_rng(2)
    return tf.io.encode_png(rng.integers(0, 65536, (23, 17, 3), np.uint16)).numpy()


def interlaced_png():
    """Pillow writes none: Adam7 by hand, on an image of one pixel, where it is one pass."""
    data = bytearray(tiny.encoded(COLOUR.crop((0, 0, 1, 1)), "PNG"))
    import struct
    import zlib

    data[28] = 1  # the header's interlace method
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


# name: (data, the pixels that Pillow sees, None where decoders may differ)
AS_PILLOW = {
    "PNG colour": (tiny.encoded(COLOUR, "PNG"), COLOUR),
    "PNG grey": (tiny.encoded(COLOUR.convert("L"), "PNG"), COLOUR.convert("L")),
    "PNG palette": (tiny.encoded(COLOUR.quantize(16), "PNG"), COLOUR.quantize(16)),
    "PNG alpha dropped": (tiny.encoded(WITH_ALPHA, "PNG"), COLOUR),
    "PNG grey and alpha": (
        tiny.encoded(Image.merge("LA", (COLOUR.convert("L"), ALPHA)), "PNG"),
        COLOUR.convert("L"),
    ),
    "PNG 1 bit": (tiny.encoded(COLOUR.convert("1"), "PNG"), COLOUR.convert("1")),
    "PNG interlaced": (interlaced_png(), COLOUR.crop((0, 0, 1, 1))),
    "GIF": (tiny.encoded(COLOUR.quantize(32), "GIF"), COLOUR.quantize(32)),
    "GIF animated": (tiny.encoded(COLOUR.quantize(32), "GIF", **FRAMES), COLOUR.quantize(32)),
    "BMP": (tiny.encoded(COLOUR, "BMP"), COLOUR),
    "WebP": (tiny.encoded(COLOUR, "WEBP", lossless=True), COLOUR),
}
AS_TENSORFLOW = {
    "JPEG": tiny.encoded(COLOUR, "JPEG"),
    "JPEG grey": tiny.encoded(COLOUR.convert("L"), "JPEG"),
    "JPEG CMYK": tiny.encoded(COLOUR.convert("CMYK"), "JPEG"),
    "JPEG progressive": tiny.encoded(COLOUR, "JPEG", progressive=True),
    "JPEG with an orientation": tiny.encoded(COLOUR, "JPEG", exif=TURNED),
    "PNG 16 bits": png_of_16_bits(),
    "PNG palette with transparency": tiny.encoded(COLOUR.quantize(16), "PNG", transparency=3),
    "GIF transparent": see_through_gif(),
    "WebP lossy": tiny.encoded(COLOUR, "WEBP", quality=60),
}


@pytest.mark.parametrize("kind", AS_PILLOW)
def test_lossless_formats_decode_to_their_pixels(pixel_extractor, tmp_path, kind):
    data, image = AS_PILLOW[kind]
    (tmp_path / "image.jpg").write_bytes(data)
    decoded = pixel_extractor.image_side.decode(str(tmp_path / "image.jpg"))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


@pytest.fixture(scope="module")
def pixel_extractor(pixel_graph):
    with open_pixels(pixel_graph) as extractor:
        yield extractor


@pytest.mark.parametrize("kind", AS_TENSORFLOW)
def test_other_formats_decode_as_tensorflow_decodes(pixel_extractor, tmp_path, kind):
    if "WebP" in kind and not hasattr(tf.raw_ops, "DecodeWebP"):
        pytest.skip("this TensorFlow decodes no WebP to compare with")
    (tmp_path / "image.png").write_bytes(AS_TENSORFLOW[kind])
    decoded = pixel_extractor.image_side.decode(str(tmp_path / "image.png"))
    expected = tf.io.decode_image(AS_TENSORFLOW[kind], channels=3, expand_animations=False)
    np.testing.assert_array_equal(decoded, expected)


def test_an_orientation_is_not_applied(pixel_extractor, tmp_path):
    """TensorFlow never applied it, so neither the networks nor the caches know turned photos."""
    (tmp_path / "turned.jpg").write_bytes(AS_TENSORFLOW["JPEG with an orientation"])
    assert pixel_extractor.image_side.decode(str(tmp_path / "turned.jpg")).shape == (23, 17, 3)


@pytest.mark.parametrize("kind", ["PNG colour", "GIF", "BMP", "WebP"])
def test_other_formats_enter_behind_the_jpeg_decoder(graph_2015, tmp_path, kind):
    data, image = AS_PILLOW[kind]
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    with open_2015(graph_2015) as extractor:
        [value] = results_of(extractor, [path])[str(path)]
    pixels = np.asarray(image.convert("RGB"))
    [expected] = tiny.run_untouched(graph_2015, tiny.BOTTLENECK_2015, {"DecodeJpeg:0": pixels})
    np.testing.assert_allclose(value, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"^is empty$"),
        (b"text", r"^is not a JPEG, PNG, GIF, BMP or WebP image$"),
        (tiny.encoded(tiny.photo(99, 99), "JPEG")[:-300], r"^cannot be decoded: jpeg::Uncompress"),
        (AS_TENSORFLOW["PNG 16 bits"][:-200], r"^cannot be decoded: Invalid PNG"),
        (AS_PILLOW["BMP"][0][:-200], r"^cannot be decoded: image file is truncated"),
    ],
)
def test_why_an_image_cannot_be_used(pixel_extractor, tmp_path, data, reason):
    (tmp_path / "image.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=reason) as error:
        pixel_extractor.image_side.prepare(str(tmp_path / "image.jpg"))
    assert "{{" not in str(error.value)
    assert "\n" not in str(error.value)


def test_too_large_an_image(pixel_graph, tmp_path):
    (tmp_path / "1.png").write_bytes(AS_PILLOW["PNG colour"][0])
    frozen = tiny.opened(pixel_graph, tiny.BOTTLENECK_PIXELS)
    with (
        Extractor(frozen, [tiny.BOTTLENECK_PIXELS], max_image_pixels=100) as extractor,
        pytest.raises(ImageError, match="is 17 × 23, more than the limit of 100 pixels"),
    ):
        extractor.image_side.decode(str(tmp_path / "1.png"))


def test_a_decoder_of_another_number_of_channels_fails_only_its_images(tmp_path, graph_2015):
    """`channels=0` decodes a grey JPEG to one channel, which no RGB network takes."""
    graph_def = tf.compat.v1.GraphDef.FromString(graph_2015.read_bytes())
    next(n for n in graph_def.node if n.op == "DecodeJpeg").attr["channels"].i = 0
    path = tmp_path / "any_channels.pb"
    path.write_bytes(graph_def.SerializeToString())
    (tmp_path / "grey.jpg").write_bytes(AS_TENSORFLOW["JPEG grey"])
    (tmp_path / "colour.jpg").write_bytes(AS_TENSORFLOW["JPEG"])
    with open_2015(path) as extractor:
        results = results_of(extractor, [tmp_path / "grey.jpg", tmp_path / "colour.jpg"])
    grey, colour = results.values()
    assert str(grey) == (
        "comes out of the graph's image side as [1, 16, 16, 1] instead of [1, 16, 16, 3]"
    )
    assert len(colour) == 1


# --- distorted images ---


def test_scale_takes_resized_images(graph_2015, pixel_extractor):
    resized = np.random.default_rng(3).uniform(0, 255, (16, 16, 3)).astype(np.float32)
    with open_2015(graph_2015) as extractor:
        np.testing.assert_allclose(
            extractor.image_side.scale(resized), (resized - 128) / 128, atol=1e-6
        )
    expected = (resized - 127.5) / 127.5
    np.testing.assert_allclose(pixel_extractor.image_side.scale(resized), expected, atol=1e-6)


# --- pooling ---


def test_poolings_by_numpy():
    values = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(pool(values, "avg"), values.mean((1, 2)))
    np.testing.assert_allclose(pool(values, "max"), values.max((1, 2)))
    np.testing.assert_allclose(pool(values, "flatten"), values.reshape(3, 40))
    np.testing.assert_allclose(pool(values[:, 0], "avg"), values[:, 0].mean(1))
    for pooling in ("avg", "max", "flatten", "none"):
        np.testing.assert_array_equal(pool(values[:, 0, 0], pooling), values[:, 0, 0])
        np.testing.assert_array_equal(pool(values[:, 0, 0, 0], pooling), values[:, 0, 0, :1])


@pytest.mark.parametrize(("pooling", "depth"), [("avg", 4), ("max", 4), ("flatten", 256)])
def test_a_feature_map_is_pooled(pixel_graph, photos, pooling, depth):
    path = photos / "a/0.jpg"
    with open_pixels(pixel_graph, pooling, "maps:0") as extractor:
        assert extractor.shapes == [(depth,)]
        [value] = results_of(extractor, [path])[str(path)]
    pixels = tiny.prepared_by_hand(path.read_bytes())
    maps = tiny.run_untouched(pixel_graph, "maps:0", {"input:0": pixels})
    np.testing.assert_allclose(value, pool(maps, pooling)[0], rtol=0, atol=EXACT)


def test_a_feature_map_without_pooling_names_the_choices(pixel_graph):
    with pytest.raises(InputError) as error:
        open_pixels(pixel_graph, "none", "maps:0")
    assert str(error.value) == (
        "The tensor has [8, 8, 4] values per image, not a vector: "
        "choose pooling=avg, max or flatten."
    )


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


def test_raw_pixels_are_resized_by_pillow_and_not_scaled(graph_2015, pixel_graph, tmp_path):
    (tmp_path / "1.jpg").write_bytes(AS_TENSORFLOW["JPEG CMYK"])
    with Image.open(tmp_path / "1.jpg") as image:
        rgb = image.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR)
    expected = np.asarray(rgb, np.float32)
    for graph, fetch in ((graph_2015, tiny.BOTTLENECK_2015), (pixel_graph, "maps:0")):
        frozen = tiny.opened(graph, fetch)
        with Extractor(tiny.fed_raw(frozen), [fetch], None) as extractor:
            pixels = extractor.image_side.prepare(str(tmp_path / "1.jpg"))
            assert pixels.dtype == np.float32
            np.testing.assert_array_equal(pixels, expected)
            [value] = results_of(extractor, [tmp_path / "1.jpg"])[str(tmp_path / "1.jpg")]
        feed = {frozen.spec.pixel_input: expected[np.newaxis]}
        [wanted] = tiny.run_untouched(graph, fetch, feed)
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=EXACT)


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
        bad = {"a/0.jpg": b"", "a/10.jpg": b"text", "b/1.jpg": AS_TENSORFLOW["JPEG"][:300]}
        for name, data in bad.items():
            (photos / name).write_bytes(data)
        (photos / "b/5.jpg").unlink()
        after = results_of(extractor, paths)
    failed = {path for path, result in after.items() if isinstance(result, ImageError)}
    assert failed == {str(photos / name) for name in (*bad, "b/5.jpg")}
    assert set(after) == set(paths)
    for path in set(paths) - failed:
        np.testing.assert_allclose(after[path][0], before[path][0], rtol=0, atol=EXACT)


# --- opening and closing ---


def test_a_fetch_that_is_not_there(pixel_graph):
    with pytest.raises(InputError, match=r"tiny_pixels\.pb cannot be opened by TensorFlow: .*1"):
        open_pixels(pixel_graph, fetch="maps:1")


def test_a_fetch_before_the_pixels_is_no_feature(graph_2015):
    frozen = tiny.opened(graph_2015, "Cast:0")
    with pytest.raises(InputError, match=r"'Cast:0' is not computed from 'Mul:0'"):
        Extractor(frozen, ["Cast:0"])


def test_a_graph_that_cannot_run(tmp_path):
    def failing(pooled, pixels):
        return tf.raw_ops.Reshape(tensor=pooled, shape=tf.shape(pixels)[1:])

    path = tiny.write_pixel_graph(tmp_path / "graph.pb", failing)
    with pytest.raises(InputError, match=r"^The graph cannot be run: .*reshape") as error:
        open_pixels(path)
    assert "\n" not in str(error.value)


def test_two_graphs_with_the_same_names_do_not_share_weights(graph_2015, tmp_path, photos):
    graph_def = tf.compat.v1.GraphDef.FromString(graph_2015.read_bytes())
    for node in graph_def.node:
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_content) > 1 << 16:
            doubled = 2 * tf.make_ndarray(node.attr["value"].tensor)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(doubled))
    other = tmp_path / "doubled.pb"
    other.write_bytes(graph_def.SerializeToString())
    path = photos / "a/0.jpg"
    with open_2015(graph_2015) as first, open_2015(other) as second:
        values = [results_of(extractor, [path])[str(path)][0] for extractor in (first, second)]
    for graph, value in zip((graph_2015, other), values, strict=True):
        data = {"DecodeJpeg/contents:0": path.read_bytes()}
        [expected] = tiny.run_untouched(graph, tiny.BOTTLENECK_2015, data)
        np.testing.assert_allclose(value, expected, rtol=0, atol=2 * EXACT)
    assert np.abs(values[0] - values[1]).max() > 0.01


def test_after_closing_nothing_runs(pixel_graph, photos):
    with open_pixels(pixel_graph) as extractor:
        pass
    for use in (
        lambda: next(extractor.extract([str(photos / "a/0.jpg")])),
        lambda: extractor.image_side.prepare(str(photos / "a/0.jpg")),
    ):
        with pytest.raises(RuntimeError, match=r"closed Session|after shutdown"):
            use()


def test_no_default_graph_or_session_is_left_behind(pixel_graph):
    with tf.Graph().as_default() as graph:
        with open_pixels(pixel_graph):
            assert tf.compat.v1.get_default_session() is None
        assert graph.get_operations() == []


# --- the job ---


class Endless:
    """The same image over and over, and how often it was taken."""

    def __init__(self, path):
        self.path, self.taken = str(path), 0

    def __len__(self):
        return 10_000

    def __iter__(self):
        for _ in range(len(self)):
            self.taken += 1
            yield self.path

    def __contains__(self, path):
        return path == self.path


@pytest.mark.parametrize("stop", [InputError("enough"), KeyboardInterrupt()])
def test_an_exception_of_the_consumer_cancels_what_is_waiting(pixel_graph, photos, stop):
    begun, stopped = [], threading.Event()
    threads = threading.active_count()
    with pytest.raises(type(stop)) as error, open_pixels(pixel_graph) as extractor:
        pixels = extractor.image_side.prepare(str(photos / "a/0.jpg"))

        def prepare(number):
            begun.append(number)
            if number >= extractor.batch_size:  # of the first batch, which the consumer waits for
                assert stopped.wait(60)
                time.sleep(0.05)  # longer than the consumer takes to stop
            return pixels

        for _ in extractor.results(range(10_000), prepare):
            stopped.set()
            raise stop
    assert error.value is stop
    assert threading.active_count() == threads
    workers = len(os.sched_getaffinity(0))
    assert max(begun) < extractor.batch_size * (1 + workers), "one batch each, and the first"


def test_closing_the_generator_leaves_the_extractor_usable(pixel_extractor, photos):
    images = pixel_extractor.extract(Endless(photos / "a/0.jpg"))
    next(images)
    images.close()
    assert len(results_of(pixel_extractor, [photos / "b/1.jpg"])) == 1


def test_images_are_read_as_they_are_needed(pixel_extractor, photos):
    """A million images must not all be under way at once."""
    images = Endless(photos / "a/0.jpg")
    results = pixel_extractor.extract(images)
    next(results)
    assert images.taken < 200
    results.close()


def test_a_bug_in_a_worker_is_not_an_image_s_fault(pixel_extractor, photos, monkeypatch):
    def buggy(self, image):
        raise ZeroDivisionError

    monkeypatch.setattr(ImagePreparation, "prepare", buggy)
    with pytest.raises(ZeroDivisionError):
        list(pixel_extractor.extract([str(photos / "a/0.jpg")]))


def test_no_images(pixel_extractor):
    assert results_of(pixel_extractor, []) == {}


# --- what is no file ---


def as_anything(path):
    """One image in every form that is taken."""
    with Image.open(path) as image:
        lazy, pixels = Image.open(path), np.asarray(image.convert("RGB"))
    return [str(path), path, path.read_bytes(), lazy, pixels, pixels[:, ::-1][:, ::-1]]


def test_images_in_any_form_have_the_same_values(pixel_extractor, graph_2015, tmp_path):
    path = tmp_path / "image.png"
    COLOUR.save(path)
    with open_2015(graph_2015) as old:
        for extractor in (pixel_extractor, old):
            results = [result for _, result in extractor.extract(as_anything(path))]
            for (vector,) in results:
                np.testing.assert_array_equal(vector, results[0][0])


def test_the_same_pillow_image_may_be_there_twice(pixel_extractor, photos):
    """A Pillow image reads its file when it is first used: not in two threads at once."""
    for path in sorted(photos.rglob("*.jpg")):
        results = [result for _, result in pixel_extractor.extract([Image.open(path)] * 12)]
        for (vector,) in results:
            np.testing.assert_array_equal(vector, results[0][0])


def test_raw_pixels_in_any_form(pixel_graph, tmp_path):
    path = tmp_path / "image.png"
    COLOUR.save(path)
    expected = np.asarray(COLOUR.resize((16, 16), Image.Resampling.BILINEAR), np.float32)
    frozen = tiny.opened(pixel_graph, "maps:0")
    with ImagePreparation(tiny.fed_raw(frozen)) as side:
        for image in as_anything(path):
            np.testing.assert_array_equal(side.prepare(image), expected)
