"""The body in batches: the same bits whatever the batch, and the untouched graph's numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.engine import body as module
from retrain_tools.engine.body import Body
from retrain_tools.engine.session import EngineError
from retrain_tools.features.extractor import Extractor
from retrain_tools.images.folders import find_images
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny
from tests.opening import load_graph

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
GRAPHS = {
    "near_real": (DATA / "inception-2015-12-05/near_real_graph_def.pb", ["pool_3/_reshape:0"]),
    "mobilenet": (
        DATA / "mobilenet_v1_0.25_128/frozen_graph.pb",
        ["MobilenetV1/Predictions/Reshape:0", "MobilenetV1/MobilenetV1/Conv2d_5_depthwise/Relu6:0"],
    ),
}
EXACT = 1e-4


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    path, fetches = GRAPHS[request.param]
    if not path.exists():
        pytest.skip("the real graphs are not here")
    return load_graph(str(path)), fetches


@pytest.fixture(scope="module")
def orchids():
    images = find_images(str(DATA / "orchids/images"))
    return [image.path for image in images[:: len(images) // 11]][:11]


def values(graph, images, workers, monkeypatch, pooling=None):
    frozen, fetches = graph
    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(workers)))
        with Extractor(frozen, fetches, pooling) as extractor:
            assert extractor.batch_size == 4
            return dict(extractor.extract(images))


def same_bits(found, wanted):
    for path, result in found.items():
        for value, other in zip(result, wanted[path], strict=True):
            assert value.tobytes() == other.tobytes()


def test_the_same_bits_in_any_order_batch_and_number_of_workers(graph, orchids, monkeypatch):
    first = values(graph, orchids, 2, monkeypatch)
    mixed = [orchids[i] for i in np.random.default_rng(1).permutation(len(orchids))]
    for workers, images in ((1, orchids[::-1]), (3, mixed), (2, orchids[1:]), (3, orchids[3:10])):
        same_bits(values(graph, images, workers, monkeypatch), first)
    for count in (1, 2, 3):  # one alone, and all sizes of what is left over
        same_bits(values(graph, orchids[-count:], 2, monkeypatch), first)
    pooled = values(graph, orchids, 2, monkeypatch, "avg")
    same_bits(values(graph, orchids[5:6], 1, monkeypatch, "avg"), pooled)


def test_the_untouched_graph_fed_one_at_a_time(graph, orchids, monkeypatch):
    frozen, fetches = graph
    found = values(graph, orchids, 2, monkeypatch)
    graph_def = tf.compat.v1.GraphDef.FromString(Path(frozen.path).read_bytes())
    with tf.Graph().as_default() as tf_graph:
        tf.import_graph_def(graph_def, name="")
    fed = [feeds_of(frozen, Path(path).read_bytes()) for path in orchids]
    with tf.compat.v1.Session(graph=tf_graph) as session:
        for path, feeds in zip(orchids, fed, strict=True):
            for value, wanted in zip(found[path], session.run(fetches, feeds), strict=True):
                np.testing.assert_allclose(value, wanted.reshape(value.shape), rtol=0, atol=EXACT)


def feeds_of(frozen, data):
    if frozen.spec.encoded_input:
        return {frozen.spec.encoded_input: data}
    image = tf.cast(tf.io.decode_jpeg(data, channels=3), tf.float32)[tf.newaxis]
    resized = tf.raw_ops.ResizeBilinear(images=image, size=frozen.spec.image_size).numpy()
    return {"input:0": (resized - frozen.spec.mean) / frozen.spec.std}


# --- how sizes are chosen ---


def batches_of(body, monkeypatch):
    """Note the sizes of the batches that the engine gets."""
    sizes = []
    run = body._engine.run
    monkeypatch.setattr(body._engine, "run", lambda fed: sizes.append(len(fed)) or run(fed))
    return sizes


def opened(tmp_path, ending=None):
    path = tiny.write_pixel_graph(tmp_path / "graph.pb", ending)
    return Body(tiny.opened(path, tiny.BOTTLENECK_PIXELS), [tiny.BOTTLENECK_PIXELS])


def pixels(count, seed=0):
    size = (count, tiny.SIZE, tiny.SIZE, 3)
    return np.random.default_rng(seed).uniform(-1, 1, size).astype(np.float32)


def test_no_batch_of_one_and_no_size_but_those_that_were_seen_to_agree(tmp_path, monkeypatch):
    images = pixels(4)
    with opened(tmp_path) as body:
        sizes = batches_of(body, monkeypatch)
        [all_rows] = body.run(images)
        for count in (1, 2, 3):
            [rows] = body.run(images[:count])
            assert rows.tobytes() == all_rows[:count].tobytes()
        assert sizes == [4, 2, 2, 4]
        assert (body.batch_size, body.shapes) == (4, ((4,),))


def bits_of_small_batches_differ(pooled, images):
    return pooled * tf.where(tf.shape(images)[0] < 4, 1 + 1e-6, 1.0)


def bits_of_the_place_differ(pooled, images):
    places = tf.cast(tf.range(tf.shape(images)[0]), tf.float32)
    return pooled * (1 + 3e-7 * places)[:, None]


def place_differs_behind_the_first(pooled, images):
    places = tf.cast(tf.range(tf.shape(images)[0]), tf.float32)
    return pooled + tf.where(places % 3 == 0, 0.0, 0.1 * places)[:, None]


def test_a_size_whose_bits_differ_is_not_used(tmp_path, monkeypatch):
    with opened(tmp_path, bits_of_small_batches_differ) as body:
        sizes = batches_of(body, monkeypatch)
        [all_rows] = body.run(pixels(4))
        assert body.run(pixels(4)[:1])[0].tobytes() == all_rows[:1].tobytes()
    assert sizes == [4, 4]


def test_where_bits_depend_on_the_place_batches_are_run_and_nothing_promised(tmp_path, caplog):
    caplog.set_level("DEBUG")
    with opened(tmp_path, bits_of_the_place_differ) as body:
        assert body.batch_size == 4
        assert body.run(pixels(1))[0].shape == (1, 4)
    assert "depend, in the last bits, on the place in a batch" in caplog.text


def test_values_that_depend_on_the_place_are_computed_one_by_one(tmp_path):
    with opened(tmp_path, place_differs_behind_the_first) as body:
        assert body.batch_size == 1


def run_until_known(body):
    """Run batches of the sizes that are asked for; return them, and the first row of each."""
    sizes, rows = [], []
    while body.known.fastest is None:
        sizes.append(body.next_size())
        rows.append(body.run(pixels(64)[: sizes[-1]])[0][:1])
        assert len(sizes) < 200
    return sizes, rows


def test_larger_sizes_are_tried_on_the_first_half_of_a_large_job_and_remembered(tmp_path):
    with opened(tmp_path) as body:
        body.try_sizes(100)
        assert body.next_size() == 4, "the job is too small to try any"
        body.try_sizes(4000)
        sizes, rows = run_until_known(body)
        assert set(sizes) == {4, 8, 16, 32, 64}
        assert sum(sizes) <= 2000
        assert len({row.tobytes() for row in rows}) == 1, "the same bits in each"
        assert body.known.fastest in sizes
        assert body.next_size() == body.batch_size == body.known.fastest
        assert body.known.tried == 64
        body.try_sizes(4000)
        assert body.next_size() == body.batch_size, "nothing is left to try"


def test_a_job_tries_no_more_sizes_than_it_has_images_for_and_a_larger_one_the_rest(tmp_path):
    with opened(tmp_path) as body:
        body.try_sizes(300)
        sizes, _ = run_until_known(body)
        assert set(sizes) == {4, 8}
        assert body.known.tried == 8
        body.learn(fastest=8)
        body.try_sizes(4000)
        assert {body.next_size() for _ in range(8)} == {8, 16, 32, 64}


def test_a_size_whose_bits_differ_is_not_tried(tmp_path):
    def large_batches_differ(pooled, images):
        return pooled * tf.where(tf.shape(images)[0] > 8, 1 + 1e-6, 1.0)

    with opened(tmp_path, large_batches_differ) as body:
        body.try_sizes(4000)
        assert {body.next_size() for _ in range(8)} == {4, 8}
        assert body.known.tried == 64


def test_the_sizes_are_what_the_docstring_says():
    assert (module._USUAL_SIZE, module._SMALL_SIZE) == (4, 2)


def test_a_failure_is_told_in_one_line(tmp_path):
    def checked(pooled, images):
        return tf.raw_ops.CheckNumericsV2(tensor=pooled, message="not finite")

    with opened(tmp_path, checked) as body:
        with pytest.raises(EngineError, match=r"^not finite") as error:
            body.run(np.full_like(pixels(1), np.nan))
        assert "\n" not in str(error.value)
