"""An extractor's life: opening, closing, stopping half-way."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from retrain_tools.engine.session import session_on
from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.image_side import image_side
from retrain_tools.quiet_tensorflow import tf

from . import tiny
from .extracting import EXACT, open_2015, open_pixels, results_of

# --- opening and closing ---


def test_a_fetch_that_is_not_there(pixel_graph):
    with pytest.raises(InputError, match=r"^No tensor 'maps:1' in .*has 1 output: maps:0\."):
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


@pytest.mark.parametrize("cores", [1, 3])
def test_every_core_decodes_one_image_at_a_time_and_no_more(
    pixel_graph, photos, monkeypatch, cores
):
    """Of 12 megapixels each takes 36 MB: as many are in memory as there are workers."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    prepare, lock, under_way, seen = ImagePreparation.prepare, threading.Lock(), [], []

    def counted(self, image):
        with lock:
            under_way.append(image)
            seen.append(len(under_way))
        time.sleep(0.02)
        pixels = prepare(self, image)
        with lock:
            under_way.remove(image)
        return pixels

    monkeypatch.setattr(ImagePreparation, "prepare", counted)
    paths = sorted(map(str, photos.rglob("*.jpg"))) * 2
    with open_pixels(pixel_graph) as extractor:
        assert len(list(extractor.extract(paths))) == len(paths)
    assert max(seen) == cores


def test_an_image_side_that_runs_never_makes_float32_of_a_whole_image(
    graph_2015, pixel_graph, monkeypatch
):
    """Its only Casts would be those; what is exported keeps them."""
    ops = []

    def noted(graph):
        ops.append({node.type for node in graph.get_operations()})
        return session_on(graph)

    monkeypatch.setattr("retrain_tools.features.image_side.session_on", noted)
    for path, fetch in ((graph_2015, tiny.BOTTLENECK_2015), (pixel_graph, tiny.BOTTLENECK_PIXELS)):
        frozen = tiny.opened(path, fetch)
        with ImagePreparation(frozen):
            assert "ResizeBilinear" in ops[-1]
            assert "Cast" not in ops[-1]
        side = image_side(frozen.graph_def, frozen.spec)
        assert "Cast" in {node.op for node in side.graph_def.node}
