"""The right cause is named for discrepancies that other code made; none where there is none."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

import retrain_tools as rt
from retrain_tools.errors import InputError
from retrain_tools.explaining.explain import ONLY_COLOURS, explain
from retrain_tools.explaining.explanation import Explanation, Runnable
from retrain_tools.explaining.verdict import WHAT_ELSE
from retrain_tools.quiet_tensorflow import tf
from tests.features import tiny

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from explain_makers import Maker, photo_with_orientation
from explain_suite import FEATURE_CAUSES, IMAGE_CAUSES, Case, image_case, is_right

ORCHIDS = Path(__file__).resolve().parents[3] / "shared/data/orchids/images"
POOL, MAP = tiny.BOTTLENECK_2015, "conv_1/relu:0"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twelve photos: real ones where they are at hand."""
    real = sorted(map(str, ORCHIDS.glob("*/*.jpg")))[::47][:12]
    if real:
        return real
    folder = tmp_path_factory.mktemp("drawn")
    paths = [folder / f"{number}.jpg" for number in range(12)]
    for number, path in enumerate(paths):
        image = tiny.photo(180 + 9 * number, 270 - 7 * number, seed=number)
        path.write_bytes(tiny.encoded(image, "JPEG", quality=92))
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory):
    path = tiny.write_2015_graph(tmp_path_factory.mktemp("graph") / "graph.pb")
    with Maker(tiny.opened(path, POOL), seed=0) as maker:
        yield maker


@pytest.fixture(scope="module")
def turned(photos: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("turned")
    return [
        photo_with_orientation(path, folder / f"{number}.jpg", 6 if number % 3 else 1)
        for number, path in enumerate(photos)
    ]


def explained(maker: Maker, case: Case, paths: list[str]) -> Explanation:
    mine = maker.features(paths, {}, POOL, None)
    other = maker.features(paths, case.recipe, POOL, None)
    other = other if case.finish is None else case.finish(other)
    return explain(Runnable(maker.frozen, POOL), mine, other, paths)


SOME = (
    image_case("half-pixel bilinear"),
    image_case("Pillow bicubic"),
    image_case("EXIF applied"),
    image_case("kept 256 bilinear 75"),
    image_case("0 to 1", "BGR"),
    image_case("torch", "central crop"),
    image_case("Pillow decoder", "Pillow nearest"),
    image_case("raw", finish="L2"),
    image_case("Pillow bicubic", finish="skipped"),
    image_case("Pillow bicubic", finish="standardised"),
    image_case("nearest", finish="float16"),
    image_case("0 to 1", finish="times 2.5"),
)


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_the_cause_is_named(maker, photos, turned, case: Case) -> None:
    found = explained(maker, case, turned if "exif" in case.recipe else photos)
    assert is_right(case, found, tiny.SIZE), found.sentence
    assert found.after < 0.01 * found.before
    assert found.tried[0].causes == found.causes or not found.tried[0].images
    assert [row.error for row in found.tried[1:]] == sorted(row.error for row in found.tried[1:])


def test_the_suite_has_causes_of_every_step() -> None:
    slots = {slot for _, slot, _ in (*IMAGE_CAUSES.values(), *FEATURE_CAUSES.values())}
    assert slots >= {"resize", "rounding", "crop", "decoder", "orientation", "first_size", "stored"}
    assert slots >= {"scale", "channels", "normalised", "factor", "rows", "stored_as"}


def test_the_sentence_has_its_evidence_and_the_command_makes_them_agree(maker, photos) -> None:
    found = explained(maker, image_case("0 to 1", "half-pixel bilinear"), photos)
    assert found.verdict == "explained"
    start = "B is A with half-pixel bilinear resizing and pixels of 0 to 1: mean error "
    assert found.sentence.startswith(start)
    assert found.sentence.endswith(f"before {found.before:.2g}")
    graph = maker.frozen.path
    assert found.command is not None
    assert found.command.startswith(
        f"python -m retrain_tools.fetch_tensors --graph={graph} --input_layer=Mul:0 "
        f"--resize=tf_bilinear --input_mean=0 --input_std=255 --tensors={POOL} --image_dir="
    )


def test_the_command_says_how_the_graph_was_opened_but_for_what_changes(maker, photos) -> None:
    said = {"input_layer": "Mul:0", "input_mean": 127.5, "tags": ["serve"], "feed": {"keep:0": 1.0}}
    frozen = dataclasses.replace(maker.frozen, said=said)
    mine = maker.features(photos, {}, POOL, None)
    found = explain(Runnable(frozen, POOL), mine, explained_side(maker, photos), photos)
    assert found.command is not None
    assert found.command.startswith(
        f"python -m retrain_tools.fetch_tensors --graph={frozen.path} --tags=serve "
        "--feed=keep:0=1.0 --input_layer=Mul:0 --resize=tf_bilinear --input_mean=0 --input_std=255 "
    )


def explained_side(maker: Maker, photos: list[str]) -> np.ndarray:
    recipe = image_case("0 to 1", "half-pixel bilinear").recipe
    return maker.features(photos, recipe, POOL, None)


def test_lines_of_python_where_no_flag_does_it(maker, photos) -> None:
    found = explained(maker, image_case("BGR"), photos)
    assert found.command is not None
    names = {"path": photos[3], "tf": tf, "np": np, "rt": rt}
    exec(found.command, names)
    wanted = maker.features(photos, {"bgr": True}, POOL, None)[3]
    assert np.abs(names["features"][0] - wanted).max() < 1e-4


def test_noise_has_no_cause(maker, photos) -> None:
    mine = maker.features(photos, {}, POOL, None)
    other = np.random.default_rng(0).normal(size=mine.shape).astype(np.float32)
    found = explain(Runnable(maker.frozen, POOL), mine, other, photos)
    assert found.verdict == "unknown" and found.causes == ()
    assert found.sentence.startswith("It is not known why B differs from A: the channels correlate")
    assert found.command is None


def test_other_weights_are_no_preprocessing(maker, photos, tmp_path) -> None:
    graph_def = tf.compat.v1.GraphDef.FromString(Path(maker.frozen.path).read_bytes())
    for node in graph_def.node:
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_shape.dim) == 4:
            kernel = tf.make_ndarray(node.attr["value"].tensor)
            other = np.random.default_rng(1).normal(0, 0.2, kernel.shape).astype(np.float32)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(other))
    path = tmp_path / "other.pb"
    path.write_bytes(graph_def.SerializeToString())
    with Maker(tiny.opened(path, POOL), 0) as another:
        other = another.features(photos, {}, POOL, None)
    mine = maker.features(photos, {}, POOL, None)
    found = explain(Runnable(maker.frozen, POOL), mine, other, photos)
    assert found.verdict == "different_weights" and found.causes == ()
    assert found.sentence.startswith("B looks like ")
    assert "different weights: the channels correlate by" in found.sentence
    assert found.notes == (WHAT_ELSE, "From which layer on they differ, the features do not tell.")


def test_another_epsilon_and_training_mode_of_batch_norms(maker, photos) -> None:
    mine = maker.features(photos, {}, POOL, None)
    graph_def = tf.compat.v1.GraphDef.FromString(Path(maker.frozen.path).read_bytes())
    for node in graph_def.node:
        if node.op == "BatchNormWithGlobalNormalization":
            node.attr["variance_epsilon"].f = 1e-5
    pixels = [tiny.prepared_by_hand(Path(path).read_bytes(), 128, 128) for path in photos]
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            other = np.concatenate([session.run(POOL, {"Mul:0": one}) for one in pixels])
    found = explain(Runnable(maker.frozen, POOL), mine, other, photos)
    assert [(cause.slot, cause.name) for cause in found.causes] == [("network", "epsilon_1e-05")]
    assert "a batch norm epsilon of 1e-05" in found.sentence


@pytest.mark.parametrize("pooling", ["avg", "max", "flatten", "chw"])
def test_pooling_is_named_where_shapes_differ(maker, photos, pooling: str) -> None:
    mine = maker.features(photos, {}, MAP, None)
    other = maker.features(photos, {"scale": "unit"}, MAP, pooling)
    found = explain(Runnable(maker.frozen, MAP), mine, other, photos)
    name = "flatten_chw" if pooling == "chw" else pooling
    assert {(cause.slot, cause.name) for cause in found.causes} == {
        ("pooling", name), ("scale", "unit")
    }  # fmt: skip
    assert np.isnan(found.before) and "before another shape" in found.sentence


def test_stored_features_are_explained_without_a_graph(maker, photos) -> None:
    maps = maker.features(photos, {}, MAP, None)
    found = explain(None, maps.mean((1, 2)), maps, [])
    assert found.sentence.startswith("A is B with average pooling: mean error ")
    two = maker.features(photos, {"scale": "raw"}, POOL, None)
    unknown = explain(None, maker.features(photos, {}, POOL, None), two, [])
    assert unknown.verdict == "unknown" and unknown.causes == ()


def test_an_image_that_cannot_be_read_is_named(maker, photos, tmp_path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(photos[0]).read_bytes()[:400])
    paths = [str(broken), *photos[1:]]
    mine = maker.features(photos, {}, POOL, None)
    with pytest.raises(InputError) as error:
        explain(Runnable(maker.frozen, POOL), mine, mine * 2 + 1, paths)
    assert str(error.value).startswith("An image of the comparison cannot be ")


def test_features_that_hardly_differ_among_images_are_not_explained_by_a_factor() -> None:
    rng = np.random.default_rng(0)
    usual = rng.random(50).astype(np.float32)
    one = 200 * (usual + 0.01 * rng.random((20, 50), np.float32))
    two = usual + 0.01 * rng.random((20, 50), np.float32)
    assert explain(None, one, two, []).verdict == "unknown"


def test_a_network_of_grey_images_is_compared_but_not_run_otherwise(tmp_path, photos) -> None:
    with tf.Graph().as_default() as graph:
        pixels = tf.compat.v1.placeholder(tf.float32, [None, 32, 32, 1], "pixels")
        kernel = np.random.default_rng(0).normal(size=(5, 5, 1, 6)).astype(np.float32)
        maps = tf.nn.relu(tf.nn.conv2d(pixels, kernel, 4, "VALID"))
        tf.reduce_mean(maps, [1, 2], name="pooled")
    path = tmp_path / "grey.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    features = []
    for std in (255.0, 100.0):
        model = rt.load(path, input_mean=0.0, input_std=std)
        features.append(rt.fetch(model, "pooled:0", photos).values["pooled:0"])
    runnable = Runnable(model.frozen(), "pooled:0")
    scaled = explain(runnable, features[1], features[0], photos)
    assert scaled.sentence.startswith("B is A with features multiplied by 0.392157: mean error ")
    noise = np.random.default_rng(0).normal(size=features[0].shape).astype(np.float32)
    found = explain(runnable, features[0], noise, photos)
    assert found.verdict == "unknown" and found.notes == (ONLY_COLOURS,)
