"""Images to scores through the small stand-in graph: features, cache, failures, statistics."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retrain_tools as rt
from retrain_tools.features.fill import CacheOptions, fill_cache
from retrain_tools.images.folders import find_images
from retrain_tools.metrics.definitions import SCORES, Splits
from retrain_tools.metrics.frechet import frechet_distance_between
from retrain_tools.metrics.image_sets import Fetching
from retrain_tools.metrics.inception_score import inception_score
from retrain_tools.metrics.statistics_files import read_statistics
from retrain_tools.quiet_tensorflow import tf
from tests.opening import load_graph

from .conftest import BATCHED, PHOTOS

EXACT = 1e-4
FETCHES = ("pool_3:0", "mixed_6/conv:0")


def untouched(graph: Path, images: list[np.ndarray]) -> list[np.ndarray]:
    """What the untouched graph gives for pixels, fed one at a time where other tools feed them."""
    graph_def = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    with tf.Graph().as_default() as opened:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=opened) as session:
            rows = [
                session.run(FETCHES, {"ExpandDims:0": image[np.newaxis].astype(np.float32)})
                for image in images
            ]
    pooled, maps = (np.concatenate(column) for column in zip(*rows, strict=True))
    return [pooled.reshape(len(images), -1), maps[..., :7].reshape(len(images), -1)]


def decoded(path: str) -> np.ndarray:
    return tf.io.decode_jpeg(Path(path).read_bytes(), channels=3).numpy()


def test_features_are_those_of_the_untouched_graph_fed_behind_its_decoder(here, found) -> None:
    """Photos of several sizes by their files, and a batch by its pixels."""
    with np.load("samples.npz") as arrays:
        batch = list(arrays["arr_0"])
    photos = [decoded(path) for path in found.reference.images]
    assert len({one.shape for one in photos}) == PHOTOS
    for side, images in ((found.reference, photos), (found.samples, batch)):
        features, spatial = untouched(here / "graph.pb", images)
        np.testing.assert_allclose(side.rows["pool_3:0"][:], features, rtol=0, atol=EXACT)
        np.testing.assert_allclose(side.rows["spatial"][:], spatial, rtol=0, atol=EXACT)
        assert spatial.shape[1] == 2023


def test_scores_are_of_those_features(here, found) -> None:
    real, fake = (side.rows["pool_3:0"][:] for side in (found.reference, found.samples))
    assert list(found.scores) == list(SCORES)
    assert found.scores["fid"].value == frechet_distance_between(real, fake)
    spatial = [side.rows["spatial"][:] for side in (found.reference, found.samples)]
    assert found.scores["sfid"].value == frechet_distance_between(*spatial)
    graph_def = tf.compat.v1.GraphDef.FromString(Path("graph.pb").read_bytes())
    [weights] = [tf.make_ndarray(n.attr["value"].tensor) for n in graph_def.node
                 if n.name == "softmax/weights"]  # fmt: skip
    expected = inception_score(fake, weights, Splits(parts=10))
    assert found.scores["is"].value == pytest.approx(expected.mean, rel=1e-12)
    assert found.fingerprint
    assert found.resize == "in the graph by ResizeBilinear to 299×299"
    assert (found.reference.count, found.samples.count) == (PHOTOS, BATCHED)


def counts(one) -> tuple[int, int, int]:
    return one.outcome.computed, one.outcome.reused, len(one.outcome.failed)


def test_a_second_sample_set_costs_only_itself(here, found) -> None:
    again = rt.evaluate_images("photos", "samples.npz", graph="graph.pb")
    assert counts(again.reference) == (0, PHOTOS, 0)
    assert counts(again.samples) == (0, BATCHED, 0)
    assert again.scores == found.scores
    with np.load("samples.npz") as arrays:
        np.savez_compressed("other.npz", arrays["arr_0"][:5])
    other = rt.evaluate_images("./photos/", "other.npz", graph="graph.pb", scores=["fid"])
    assert counts(other.reference) == (0, PHOTOS, 0)  # whatever it is called by
    assert counts(other.samples) == (5, 0, 0)
    np.testing.assert_array_equal(
        other.samples.rows["pool_3:0"][:], found.samples.rows["pool_3:0"][:5]
    )


def test_images_that_fail_are_named_and_those_that_went_do_not_count(here, tmp_path) -> None:
    shutil.copytree("photos/a", tmp_path / "set")
    (tmp_path / "set/broken.png").write_bytes(b"no image")
    fetching = Fetching(str(tmp_path / "features"))
    found = rt.evaluate_images(tmp_path / "set", "samples.npz", graph="graph.pb", fetching=fetching)
    assert counts(found.reference) == (6, 0, 1)
    assert list(found.failed) == [str(tmp_path / "set/broken.png")]
    [listed] = (tmp_path / "features").glob("set-*.npz.failures.csv")
    assert 'broken.png,"is not a JPEG' in listed.read_text()
    assert found.reference.count == 6
    assert found.reference.facts.kinds == {"JPEG": 6}
    (tmp_path / "set/broken.png").unlink()
    (tmp_path / "set/00.jpg").unlink()
    found = rt.evaluate_images(tmp_path / "set", "samples.npz", graph="graph.pb", fetching=fetching)
    assert counts(found.reference) == (0, 5, 0)
    assert len(found.reference.rows["pool_3:0"]) == 5
    assert str(tmp_path / "set/00.jpg") not in found.reference.images


def test_a_batch_that_changed_is_computed_again(here, tmp_path) -> None:
    with np.load("samples.npz") as arrays:
        pixels = arrays["arr_0"][:4]
    sizes = []
    for images in (pixels, pixels[::-1], pixels[::-1]):
        if len(sizes) < 2:
            np.savez(tmp_path / "batch.npz", images)
        found = rt.evaluate_images(
            tmp_path / "batch.npz", "photos", graph="graph.pb", scores=["fid"]
        )
        sizes.append(counts(found.reference))
    assert sizes == [(4, 0, 0), (4, 0, 0), (0, 4, 0)]


def test_statistics_of_the_reference_stand_for_it(here, found, tmp_path) -> None:
    made = rt.evaluate_images("photos", graph="graph.pb", save_statistics=tmp_path / "s.npz")
    assert not made.scores
    real = [found.reference.rows[name][:].astype(float) for name in ("pool_3:0", "spatial")]
    with np.load(tmp_path / "s.npz") as arrays:
        for (mu, sigma), values in zip((("mu", "sigma"), ("mu_s", "sigma_s")), real, strict=True):
            assert arrays[mu].dtype == arrays[sigma].dtype == np.float64
            np.testing.assert_allclose(arrays[mu], values.mean(axis=0), rtol=1e-12)
            np.testing.assert_allclose(arrays[sigma], np.cov(values, rowvar=False), atol=1e-12)
    note = read_statistics(tmp_path / "s.npz").note
    assert (note["images"], note["fingerprint"]) == (PHOTOS, found.fingerprint)
    again = rt.evaluate_images(tmp_path / "s.npz", "samples.npz", graph="graph.pb")
    assert list(again.scores) == ["fid", "sfid", "is"]
    for name in ("fid", "sfid"):
        assert again.scores[name].value == pytest.approx(found.scores[name].value, abs=1e-6)
    why = "REFERENCE (statistics) has no features of single images"
    assert again.left_out == dict.fromkeys(("kid", *SCORES[4:]), why)
    assert again.reference.count == PHOTOS
    assert again.reference.facts.kinds == {"JPEG": PHOTOS}


def test_images_go_beside_statistics_for_the_adm_evaluator(here, found, tmp_path) -> None:
    rt.evaluate_images("samples.npz", graph="graph.pb", save_statistics=tmp_path / "s.npz",
                       statistics_images=5)  # fmt: skip
    with np.load(tmp_path / "s.npz") as arrays, np.load("samples.npz") as batch:
        np.testing.assert_array_equal(arrays["arr_0"], batch["arr_0"][[0, 3, 6, 9, 13]])
        assert arrays["mu_s"].shape == (2023,)
    with pytest.raises(rt.InputError) as error:
        rt.evaluate_images("photos", graph="graph.pb", save_statistics=tmp_path / "t.npz",
                           statistics_images=5)  # fmt: skip
    said = "statistics_images takes a reference of images that have one size; photos has 12 sizes, "
    assert str(error.value).startswith(said)
    assert not (tmp_path / "t.npz").exists()


def test_a_batch_with_statistics_is_measured_by_them_and_its_neighbours_by_its_images(
    here, tmp_path
) -> None:
    """As the reference batches of the ADM evaluator are."""
    rt.evaluate_images("photos", graph="graph.pb", save_statistics=tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as statistics, np.load("samples.npz") as batch:
        names = ("mu", "sigma", "mu_s", "sigma_s")
        both = {name: statistics[name] for name in names}
        np.savez(tmp_path / "both.npz", arr_0=batch["arr_0"], **both)
    found = rt.evaluate_images(tmp_path / "both.npz", "photos", graph="graph.pb")
    assert found.reference.kind == "batch of images, with statistics"
    assert abs(found.scores["fid"].value) < 1e-6
    assert abs(found.scores["sfid"].value) < 1e-5
    alone = rt.evaluate_images("samples.npz", "photos", graph="graph.pb")
    assert alone.scores["fid"].value > 0.01
    for name in ("kid", "precision", "recall", "density", "coverage"):
        assert found.scores[name].value == alone.scores[name].value


def test_features_that_were_fetched_earlier_are_taken_as_they_are(here, found, tmp_path) -> None:
    """Those of the cache, of a folder of bottlenecks, of a .npy, and of an array."""
    real = found.reference.rows["pool_3:0"][:]
    [kept] = Path("evaluated_features").glob("photos-*.npz")
    frozen = load_graph("graph.pb")
    fill_cache(frozen, find_images("photos"), CacheOptions(str(tmp_path / "bottlenecks")))
    np.save(tmp_path / "bare.npy", real)
    for given in (kept, tmp_path / "bottlenecks", tmp_path / "bare.npy", real):
        other = rt.evaluate_images(given, "samples.npz", graph="graph.pb")
        assert other.scores["fid"].value == pytest.approx(found.scores["fid"].value, abs=1e-5)
        assert ("sfid" in other.scores) == (given is kept)
    alone = rt.evaluate_images(kept, kept)
    assert alone.graph is None
    assert abs(alone.scores["fid"].value) < 1e-6
    assert (alone.scores["precision"].value, alone.scores["recall"].value) == (1, 1)
    assert alone.left_out == {
        "is": "it takes a graph with softmax/logits/MatMul, whose weights it multiplies with"
    }


def test_whole_maps_give_sfid_by_their_first_channels(here, found, tmp_path) -> None:
    fetched = rt.fetch(rt.load("graph.pb"), ["pool_3:0", "mixed_6/conv:0"], "photos")
    np.savez(tmp_path / "maps.npz", **fetched.values)
    other = rt.evaluate_images(tmp_path / "maps.npz", "samples.npz", graph="graph.pb")
    assert other.scores["sfid"].value == pytest.approx(found.scores["sfid"].value, abs=1e-5)


def test_definitions_differ_where_the_literature_does(here, found) -> None:
    by_name = {
        name: rt.evaluate_images("photos", "samples.npz", graph="graph.pb", definition=name)
        for name in ("adm", "improved-gan", "torch-fidelity")
    }
    values = {name: one.scores["is"] for name, one in by_name.items()}
    original = found.scores["is"]
    assert values["improved-gan"].value == original.value
    assert (values["torch-fidelity"].seed, original.seed) == (2020, None)
    assert values["torch-fidelity"].value != original.value
    assert (values["adm"].std, values["adm"].how[:22]) == (None, "chunks of 5,000 images")
    for one in by_name.values():
        assert one.scores["fid"].value == found.scores["fid"].value
    assert "float16" in by_name["adm"].scores["precision"].how
    assert by_name["torch-fidelity"].scores["kid"].seed == 2020


def test_the_seed_is_of_kids_subsets(here, found) -> None:
    seeds = [
        rt.evaluate_images(
            "photos", "samples.npz", graph="graph.pb", scores=["kid"], seed=seed
        ).scores["kid"]
        for seed in (0, 0, 1)
    ]
    assert seeds[0] == seeds[1] == found.scores["kid"]
    assert seeds[0].value != seeds[2].value
    assert seeds[2].how == "100 subsets of 12; ((x·y)/d + 1)³, unbiased"


def test_a_graph_of_another_network_is_said_to_be_one(here, tmp_path) -> None:
    from tests.features.tiny import write_2015_graph

    graph = write_2015_graph(tmp_path / "tiny.pb")
    found = rt.evaluate_images(
        "photos", "samples.npz", graph=graph, fetching=Fetching(str(tmp_path / "features"))
    )
    assert "sfid" in found.left_out
    assert found.notes[0] == (
        f"{graph} is not inception-2015-12-05, by the names of its nodes: its numbers are not to "
        "be compared with those of papers."
    )
    assert found.reference.rows["pool_3:0"].shape == (PHOTOS, 256)


def test_a_tiny_set_of_pngs(here, tmp_path) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (299, 299), (9, 200, 30)).save(tmp_path / "one/1.png")
    fetching = Fetching(str(tmp_path / "features"))
    with pytest.raises(rt.InputError) as error:
        rt.evaluate_images(tmp_path / "one", "photos", graph="graph.pb", scores=["fid"],
                           fetching=fetching)  # fmt: skip
    said = "No fid of these sets: REFERENCE has one image, and a covariance takes two."
    assert str(error.value) == said
    found = rt.evaluate_images(tmp_path / "one", "photos", graph="graph.pb", fetching=fetching)
    assert list(found.scores) == ["is"]
    assert found.left_out["precision"] == "REFERENCE has 1 image, and it takes 4"
