"""The split: retrain.py's published values, and the repair of empty splits."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from retrain_tools.errors import InputError
from retrain_tools.images.folders import ImageFile
from retrain_tools.images.splits import (
    SPLITS,
    fill_empty_splits,
    split_images,
    split_percentage,
)

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
percentages = st.tuples(st.integers(0, 99), st.integers(0, 99)).filter(lambda p: sum(p) < 100)


def image_files(*relatives, root="photos"):
    return [ImageFile(f"{root}/{relative}", relative) for relative in relatives]


def numbered(count, label="a"):
    return image_files(*(f"{label}/{number}.jpg" for number in range(count)))


def where(splits):
    return {i: part for parts in splits.values() for part, images in parts.items() for i in images}


@pytest.mark.parametrize(
    ("path", "percentage"),
    [
        ("flower_photos/daisy/21652746_cc379e0eea_m.jpg", 76.262844),
        ("/tmp/flower_photos/daisy/21652746_cc379e0eea_m.jpg", 96.302051),
    ],
)
def test_the_vectors_of_the_fact_sheet(path, percentage):
    assert split_percentage(path) == pytest.approx(percentage, abs=5e-7)


def test_variants_of_one_image_stay_together():
    assert (
        split_percentage("a/1")
        == split_percentage("a/1_nohash_0.jpg")
        == split_percentage("a/1_nohash_x_nohash_1.jpg")
        != split_percentage("a/1.jpg")
    )


def test_a_name_that_is_no_utf8_has_a_split():
    assert 0 <= split_percentage("a/\udcff.jpg") <= 100


@given(
    st.lists(names, unique=True, max_size=30), percentages, st.sampled_from(["path", "basename"])
)
def test_every_image_is_in_exactly_one_split(relatives, shares, key):
    images = image_files(*relatives)
    splits = split_images({"a": images}, *shares, split_key=key)
    assert sorted(i for part in splits["a"].values() for i in part) == sorted(images)
    assert tuple(splits["a"]) == SPLITS


@given(st.lists(names, unique=True, min_size=2, max_size=20), percentages)
def test_an_image_s_split_does_not_depend_on_the_others(relatives, shares):
    images = image_files(*relatives)
    together = where(split_images({"a": images}, *shares))
    for image in images:
        assert where(split_images({"b": [image]}, *shares))[image] == together[image]


@given(percentages)
def test_the_boundaries_are_those_of_retrain_py(shares):
    testing, validation = shares
    for image, part in where(split_images({"a": numbered(40)}, testing, validation)).items():
        percentage = split_percentage(image.path)
        if percentage < validation:
            assert part == "validation"
        elif percentage < validation + testing:
            assert part == "testing"
        else:
            assert part == "training"


def test_shares_come_out_about_right():
    parts = split_images({"a": numbered(4000)}, 10, 20)["a"]
    assert len(parts["testing"]) == pytest.approx(400, abs=80)
    assert len(parts["validation"]) == pytest.approx(800, abs=100)


def test_the_basename_key_survives_moving_the_folder():
    here, there = (
        image_files(*(f"a/{n}.jpg" for n in range(50)), root=root) for root in ("x", "/data/y")
    )
    by_name = [where(split_images({"a": i}, 20, 20, "basename")) for i in (here, there)]
    by_path = [where(split_images({"a": i}, 20, 20, "path")) for i in (here, there)]
    assert list(by_name[0].values()) == list(by_name[1].values())
    assert list(by_path[0].values()) != list(by_path[1].values())


@pytest.mark.parametrize(("testing", "validation"), [(-1, 10), (10, -1), (50, 50), (100, 0)])
def test_percentages_that_leave_nothing(testing, validation):
    with pytest.raises(InputError) as error:
        split_images({"a": numbered(3)}, testing, validation)
    assert f"testing_percentage={testing} and validation_percentage={validation}" in str(
        error.value
    )
    assert "add up to less than 100" in str(error.value)


@given(st.lists(names, unique=True, min_size=3, max_size=12), percentages)
def test_the_repair_fills_what_is_needed_and_loses_nothing(relatives, shares):
    images = image_files(*relatives)
    testing, validation = shares
    before = split_images({"a": images}, testing, validation)
    after = fill_empty_splits(before, testing, validation)
    assert sorted(where(after)) == sorted(images)
    assert after["a"]["training"]
    assert bool(after["a"]["testing"]) == bool(testing)
    assert bool(after["a"]["validation"]) == bool(validation)


@given(st.permutations(range(6)))
def test_the_repair_moves_the_same_images_in_any_order(order):
    images = numbered(6)
    expected = where(fill_empty_splits(split_images({"a": images}, 1, 1), 1, 1))
    shuffled = [images[n] for n in order]
    assert where(fill_empty_splits(split_images({"a": shuffled}, 1, 1), 1, 1)) == expected


def test_the_repair_takes_the_nearest_hash_and_says_so(caplog):
    images = numbered(30)
    splits = {"a": {"training": images, "validation": [], "testing": []}}
    after = fill_empty_splits(splits, 10, 10)["a"]
    nearest = min(images, key=lambda i: abs(split_percentage(i.path) - 5))
    assert after["validation"] == [nearest]
    assert (
        f"class 'a' had no validation image; {nearest.relative} was moved there from training"
    ) in caplog.text
    assert splits["a"]["training"] == images, "the argument is not changed"


def test_full_splits_are_left_alone(caplog):
    splits = {"a": {"training": numbered(30), "validation": numbered(1), "testing": numbered(1)}}
    assert fill_empty_splits(splits, 10, 10) == splits
    assert not caplog.records


def test_a_small_class_is_warned_about(caplog):
    fill_empty_splits(split_images({"few": numbered(5)}, 10, 10), 10, 10)
    assert "class 'few' has only 5 images, which may be too few" in caplog.text


def test_too_few_images_for_the_splits():
    with pytest.raises(InputError) as error:
        fill_empty_splits(split_images({"a": numbered(2)}, 10, 10), 10, 10)
    assert str(error.value) == (
        "Class 'a' has 2 usable images; it takes at least 3, one each for training, validation, "
        "testing. Add images, or remove the folder."
    )


def test_without_test_images_two_are_enough():
    after = fill_empty_splits(split_images({"a": numbered(2)}, 0, 10), 0, 10)["a"]
    assert {part: len(images) for part, images in after.items()} == {
        "training": 1,
        "validation": 1,
        "testing": 0,
    }
