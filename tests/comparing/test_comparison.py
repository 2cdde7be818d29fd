"""Two sides are opened, matched, run and measured, whatever they are."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.comparing.comparison import Comparison, compare
from retrain_tools.comparing.layers import first_difference, narrow_places
from retrain_tools.comparing.sides import is_stored
from retrain_tools.errors import InputError
from retrain_tools.features.read_features import read_features
from retrain_tools.images.folders import find_images
from retrain_tools.sources.open import load
from tests.features import tiny

POOL = "pool/_reshape:0"


def refusal(*arguments, **named) -> str:
    with pytest.raises(InputError) as error:
        compare(*arguments, **named)
    return str(error.value)


def save(path: str, values: np.ndarray, images: list[str] | None = None, **more) -> str:
    named = {} if images is None else {"images": np.array(images)}
    np.savez(path, **{POOL: values}, **named, **more)
    return path


def values() -> np.ndarray:
    return read_features("pool.npz").values[POOL]


def names() -> list[str]:
    return read_features("pool.npz").images


def how(found: Comparison) -> dict[str, int]:
    return dict(found.matching.how)


SOURCES = ("graph.pb", "bottlenecks", "both.npz", "pool.npz", "bare.npy")


@pytest.mark.parametrize("a", SOURCES)
@pytest.mark.parametrize("b", ["graph.pb", "bottlenecks", "bare.npy"])
def test_whatever_one_graph_made_agrees(here, a, b) -> None:
    named = {"tensor_a": POOL} if a == "both.npz" else {}
    found = compare(a, b, "photos", **named)
    assert found.agrees
    assert found.explanation.verdict == "agree"
    assert found.explanation.sentence.startswith("A and B agree: mean error ")
    assert (len(found.images), found.count_a, found.count_b) == (12, 12, 12)
    assert found.difference.largest is not None
    assert found.difference.largest < 1e-6
    assert found.labels == [Path(path).parent.name for path in found.paths]
    assert all(Path(path).is_file() for path in found.paths)
    assert not found.layers


def test_a_side_may_be_what_was_opened_or_read(here) -> None:
    model, stored = load("graph.pb"), read_features("pool.npz")
    assert compare(model, stored, find_images("photos")).agrees
    assert compare(model.frozen(), Path("bottlenecks"), [Path("photos/a"), "photos/b"]).agrees


def test_stored_sides_need_no_images(here) -> None:
    found = compare("pool.npz", "bottlenecks")
    assert found.agrees
    assert how(found) == {"path below the folder": 12}
    assert found.paths == names()  # which are where the file says
    # Rows without names are those of the other side's names, sorted as a listing is.
    found = compare("bare.npy", "pool.npz")
    assert how(found) == {"sorted listing": 12}
    assert found.agrees
    found = compare("bare.npy", "bare.npy")
    assert how(found) == {"row number": 12}
    assert (found.images[3], found.paths[3], found.labels) == ("row 3", "", [])


def test_columns_of_one_name_are_compared_and_the_first_that_differs_is_explained(here) -> None:
    both = read_features("both.npz")
    changed = {**both.values, POOL: both.values[POOL] + 1}
    np.savez("changed.npz", images=np.array(both.images), **changed)
    found = compare("both.npz", "changed.npz")
    assert [(pair.tensor_a, pair.agrees) for pair in found.pairs] == [
        ("conv/relu:0", True),
        (POOL, False),
    ]
    assert (found.main, found.agrees) == (1, False)
    assert found.difference.mean == pytest.approx(1)
    # By the graph's order, whatever that of the file.
    np.savez("turned.npz", images=np.array(both.images), **dict(reversed(changed.items())))
    found = compare("turned.npz", "graph.pb", "photos")
    assert [pair.tensor_b for pair in found.pairs] == ["conv/relu:0", POOL]
    assert found.main == 1


def test_named_tensors_are_compared(here) -> None:
    found = compare("both.npz", "graph.pb", "photos", tensor_b="conv/relu", tensor_a="conv/relu")
    assert (found.difference.tensor_a, found.difference.tensor_b) == ("conv/relu:0",) * 2
    found = compare("bottlenecks", "both.npz", tensors=POOL)
    assert (found.difference.tensor_a, found.difference.tensor_b) == ("bottleneck", POOL)
    found = compare("graph.pb", "bottlenecks", "photos", tensor_a="conv_1/relu", pooling="avg")
    assert (found.difference.tensor_a, found.difference.shape_a) == ("conv_1/relu:0", (256,))
    assert found.agrees  # this graph's pooling is the mean of all its places


def test_shapes_are_told_where_one_side_is_not_pooled(here) -> None:
    found = compare("graph.pb", "bottlenecks", "photos", tensor_a="conv_1/relu")
    main = found.difference
    assert (main.shape_a, main.shape_b) == ((4, 4, 256), (256,))
    assert main.compared == "A averaged over its 4×4 places"
    assert main.mean == pytest.approx(0, abs=1e-5)
    assert not found.agrees


def test_missing_and_extra_images_are_named(here) -> None:
    rows, images = values(), names()
    save("some.npz", rows[[5, 0, 3]], [images[5], images[0], "x/y.jpg"])
    found = compare("pool.npz", "some.npz")
    assert found.agrees
    assert found.images == [images[0], images[5]]
    assert found.matching.only_b == ["x/y.jpg"]
    assert found.matching.only_a == [n for n in images if n not in (images[0], images[5])]
    save("twice.npz", np.concatenate([rows, rows[:1]]), [*images, images[0]])
    found = compare("pool.npz", "twice.npz")
    assert (list(found.matching.twice_a), list(found.matching.twice_b)) == ([], [images[0]])
    assert found.agrees


def test_renamed_images_are_matched_by_content(here) -> None:
    shutil.copytree("photos", "renamed", dirs_exist_ok=True)
    renamed = []
    for number, path in enumerate(names()):
        new = Path("renamed", *Path(path).parts[1:]).with_name(f"new_{11 - number}.jpg")
        Path("renamed", *Path(path).parts[1:]).rename(new)
        renamed.append(str(new))
    save("renamed.npz", values()[::-1], renamed[::-1])
    found = compare("pool.npz", "renamed.npz")
    assert how(found) == {"content of the file": 12}
    assert found.agrees
    found = compare("renamed.npz", "graph.pb", "photos")
    assert how(found) == {"content of the file": 12}
    assert found.agrees


def test_fewer_rows_than_images_are_matched_by_likeness(here) -> None:
    np.save("fewer.npy", np.delete(values(), [2, 7], axis=0))
    for a, b in (("graph.pb", "fewer.npy"), ("fewer.npy", "graph.pb"), ("pool.npz", "fewer.npy")):
        found = compare(a, b, "photos")
        assert how(found) == {"similarity": 10}
        assert found.agrees
        lost = found.matching.only_b if a == "fewer.npy" else found.matching.only_a
        assert list(lost) == [names()[2], names()[7]]


def test_a_sample_of_the_images_is_enough(here) -> None:
    found = compare("graph.pb", "pool.npz", "photos", max_images=3)
    assert found.images == [names()[0], names()[6], names()[11]]
    assert found.agrees
    assert not found.matching.only_a


def test_two_graphs_are_told_from_which_layer_on_they_differ(here) -> None:
    found = compare("graph.pb", "other.pb", "photos")
    last, first = first_difference(found.layers)
    assert last is not None
    assert first is not None
    assert (last.tensor, first.tensor) == ("conv/relu:0", "conv_1:0")
    assert (last.mean, last.agrees, first.agrees) == (0, True, False)
    assert found.notes[0] == (
        "The last layer that agrees is conv/relu:0, the first that differs conv_1:0."
    )
    assert not found.agrees
    assert compare("graph.pb", "graph.pb", "photos").layers == []


def test_narrow_places_are_where_all_ways_go_through(here) -> None:
    found = narrow_places(load("graph.pb").frozen())
    assert found[0] == "conv:0"
    assert found[-1] == POOL
    assert {"conv/relu:0", "conv_1:0", "conv_1/relu:0", "pool:0"} <= set(found)
    # Identities and checks are no layers, and constants no way of the image.
    assert not [name for name in found if "Check" in name or "control" in name or "gamma" in name]


def test_a_branch_is_no_narrow_place(tmp_path) -> None:
    from retrain_tools.quiet_tensorflow import tf

    def ending(pooled, pixels):
        left, right = tf.nn.relu(pooled, "left"), tf.tanh(pooled, "right")
        return tf.concat([left, right], 1, name="join")

    path = tiny.write_pixel_graph(tmp_path / "g.pb", ending)
    found = narrow_places(
        load(path, input_mean=0, input_std=1, bottleneck_tensor="features").frozen()
    )
    assert "join:0" in found
    assert "pooled:0" in found
    assert not {"left:0", "right:0"} & set(found)


def test_of_two_stored_sides_the_graph_made_one(here) -> None:
    save("other.npz", 2 * values(), names())
    found = compare("other.npz", "pool.npz", "photos", graph="graph.pb")
    assert f"graph.pb at {POOL} gives what B has." in found.notes
    save("neither.npz", 3 * values() + 1, names())
    found = compare("other.npz", "neither.npz", graph="graph.pb")
    assert (
        f"graph.pb at {POOL} gives neither what A has nor what B has: it is taken to be A's graph."
    ) in found.notes
    save("x.npz", values(), [f"gone/{n}.jpg" for n in range(12)])
    save("y.npz", 2 * values(), [f"gone/{n}.jpg" for n in range(12)])
    found = compare("x.npz", "y.npz", graph="graph.pb")
    assert "graph.pb was not run: no image is on disk." in found.notes


def test_rows_that_are_no_numbers_are_left_out_with_a_warning(here, caplog) -> None:
    rows = values().copy()
    rows[4, 7] = np.nan
    save("nan.npz", rows, names())
    with caplog.at_level(logging.WARNING):
        found = compare("nan.npz", "pool.npz")
    assert caplog.messages == [
        f"nan.npz: not finite numbers, and left out: 1 of 12 rows, the first is {names()[4]}"
    ]
    assert found.matching.only_b == [names()[4]]
    assert found.agrees
    np.save("nan.npy", rows)
    assert refusal("nan.npy", "pool.npz") == (
        "nan.npy has no names of images, and its row 4 is not of finite numbers: leave such rows "
        "out, and name the images of the others."
    )
    save("none.npz", rows * np.nan, names())
    assert refusal("none.npz", "pool.npz") == "none.npz has no row of finite numbers."


def test_an_image_that_cannot_be_used_is_left_out_or_ends_the_job(here, caplog) -> None:
    shutil.copytree("photos", "damaged", dirs_exist_ok=True)
    Path("damaged/a/0.jpg").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        found = compare("graph.pb", "bottlenecks", "damaged")
    assert caplog.messages == ["damaged/a/0.jpg is empty"]
    assert len(found.images) == 11
    assert found.agrees
    assert refusal("graph.pb", "bottlenecks", "damaged", on_error="fail") == (
        "damaged/a/0.jpg is empty."
    )


def test_errors(here) -> None:
    assert refusal("graph.pb", "pool.npz") == (
        "graph.pb is a graph: name the images to run it on with image_dir."
    )
    assert refusal("gone.npz", "pool.npz") == "No such file: gone.npz"
    assert refusal("pool.npz", "gone.pb", "photos") == "No such file: gone.pb"
    save("strange.npz", values(), [f"x{n}.jpg" for n in range(12)])
    assert refusal("pool.npz", "strange.npz") == (
        f"No image is on both sides: pool.npz has {names()[0]} and others, strange.npz has x0.jpg. "
        "Where they are the same images under other names, both have to be on disk, below "
        "image_dir or where they are named."
    )
    np.savez("other_names.npz", a=values(), b=values(), images=np.array(names()))
    assert refusal("both.npz", "other_names.npz") == (
        f"No tensor is on both sides: both.npz has conv/relu:0, {POOL} and other_names.npz a, b. "
        "Name two with tensor_a and tensor_b."
    )
    assert refusal("graph.pb", "other_names.npz", "photos") == (
        "graph.pb has none of the tensors of other_names.npz, which are a, b. Name two with "
        "tensor_a and tensor_b."
    )
    assert refusal("both.npz", "pool.npz", tensor_b=POOL) == (
        f"both.npz has several tensors, conv/relu:0, {POOL}: name one with tensor_a."
    )
    assert refusal("both.npz", "pool.npz", tensor_a="conv/rely") == (
        "No tensor 'conv/rely' in both.npz. Did you mean 'conv/relu:0'?"
    )
    assert refusal("both.npz", "pool.npz", tensor_a="x") == (
        f"No tensor 'x' in both.npz. It has conv/relu:0, {POOL}."
    )
    assert refusal("graph.pb", "pool.npz", "photos", tensors="softmaxx").startswith(
        "No tensor 'softmaxx:0' in graph.pb ("
    )
    np.save("shallow.npy", values()[:7, :9])
    assert refusal("graph.pb", "shallow.npy", "photos") == (
        "graph.pb has 12 rows of 256 values and shallow.npy 7 of 9, and one has no names of "
        "images: nothing tells which belong together."
    )


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        *((name, True) for name in ("pool.npz", "bare.npy", "bottlenecks", "x.pkl", "x.parquet")),
        *((name, False) for name in ("graph.pb", "keras:InceptionV3", "inception_v3", "gone.pb")),
    ],
)
def test_what_is_stored_is_told_from_graphs(here, name, stored) -> None:
    assert is_stored(name) is stored


def test_models_in_folders_and_in_hdf5_are_graphs(saved_model_2, keras_files, tmp_path) -> None:
    h5py = pytest.importorskip("h5py")
    assert not is_stored(saved_model_2.path)
    assert not is_stored(keras_files["h5"])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"] = np.zeros((2, 3))
    assert is_stored(tmp_path / "f.h5")
