"""Rows are matched by name, by content, by order and by likeness, and never by accident."""

from __future__ import annotations

import numpy as np
import pytest

from retrain_tools.comparing import matching
from retrain_tools.comparing.matching import (
    BY_CONTENT,
    BY_FILE_NAME,
    BY_NAME,
    BY_PATH_BELOW,
    BY_SIMILARITY,
    BY_STEM,
    Matching,
    listing_order,
    match_names,
    match_similar,
)
from retrain_tools.errors import InputError
from retrain_tools.images.folders import ImageFile


def pairs(found: Matching) -> list[tuple[int, int]]:
    return list(zip(found.rows_a.tolist(), found.rows_b.tolist(), strict=True))


@pytest.mark.parametrize(
    ("a", "b", "how"),
    [
        (["p/a/1.jpg", "p/b/1.jpg"], ["p/b/1.jpg", "p/a/1.jpg"], BY_NAME),
        (["./p/a/1.jpg", "p//b/1.jpg"], ["p/b/1.jpg", "p/a/1.jpg"], BY_NAME),
        (["a\\1.jpg", "b\\1.jpg"], ["b/1.jpg", "a/1.jpg"], BY_NAME),
        (["a/1.jpg.txt", "b/1.PNG.txt"], ["b/1.PNG", "a/1.jpg"], BY_NAME),
        (["/x/p/a/1.jpg", "/x/p/b/1.jpg"], ["b/1.jpg", "a/1.jpg"], BY_PATH_BELOW),
        (["/x/a/1.jpg", "/x/b/1.jpg"], ["/y/z/b/1.jpg", "/y/z/a/1.jpg"], BY_PATH_BELOW),
        (["x/a/1.jpg", "x/b/2.jpg"], ["2.jpg", "1.jpg"], BY_FILE_NAME),
        (["a/1.jpg", "b/2.jpg"], ["2", "1.png"], BY_STEM),
    ],
)
def test_names_match_by_as_much_of_their_ends_as_both_have(a, b, how) -> None:
    found = match_names(a, b)
    assert pairs(found) == [(0, 1), (1, 0)]
    assert found.how == {how: 2}
    assert not [*found.only_a, *found.only_b, *found.twice_a, *found.twice_b]


def test_a_file_name_of_two_images_matches_neither() -> None:
    found = match_names(["a/1.jpg", "b/1.jpg", "c/2.jpg"], ["x/1.jpg", "x/2.jpg"])
    assert pairs(found) == [(2, 1)]
    assert (found.only_a, found.only_b) == (["a/1.jpg", "b/1.jpg"], ["x/1.jpg"])
    # The same where one of the two has found its own by its path: 1.jpg still stands for two.
    found = match_names(["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "c/1.jpg"])
    assert pairs(found) == [(0, 0)]
    assert (found.only_a, found.only_b) == (["b/1.jpg"], ["c/1.jpg"])


def test_an_image_that_is_named_twice_counts_once() -> None:
    found = match_names(["1.jpg", "2.jpg", "./1.jpg"], ["2.jpg", "1.jpg", "2.jpg"])
    assert pairs(found) == [(0, 1), (1, 0)]
    assert (found.twice_a, found.twice_b) == (["./1.jpg"], ["2.jpg"])
    assert (found.only_a, found.only_b) == ([], [])


def test_content_matches_what_names_do_not() -> None:
    contents = {
        "a": ["red", "blue", None, "green", "grey"],
        "b": ["blue", "red", "white", "green", "grey", "grey"],
    }
    asked = []

    def content_of(side: str, row: int) -> str | None:
        asked.append((side, row))
        return contents[side][row]

    a = ["q.jpg", "r.jpg", "s.jpg", "same.jpg", "t.jpg"]
    b = ["u.jpg", "v.jpg", "w.jpg", "same.jpg", "x.jpg", "y.jpg"]
    found = match_names(a, b, content_of)
    assert pairs(found) == [(0, 1), (1, 0), (3, 3)]
    assert found.how == {BY_NAME: 1, BY_CONTENT: 2}
    assert (found.only_a, found.only_b) == (["s.jpg", "t.jpg"], ["w.jpg", "x.jpg", "y.jpg"])
    assert ("a", 3) not in asked  # what is matched already is not read


def test_the_listing_is_by_folder_and_then_by_name() -> None:
    """As Keras lists a folder: `a` before `a b`, though a space comes before a slash."""
    names = ["a b/1.jpg", "a/2.jpg", "a/10.jpg", "B/1.jpg"]
    found = listing_order(ImageFile(f"p/{name}", name) for name in names)
    assert [image.relative for image in found] == ["B/1.jpg", "a/10.jpg", "a/2.jpg", "a b/1.jpg"]


def test_rows_alike_find_each_other_in_any_order_and_scale(monkeypatch) -> None:
    monkeypatch.setattr(matching, "_ROWS_AT_A_TIME", 7)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20, 30)).astype(np.float32)
    order = rng.permutation(20)[:15]
    b = 7 * a[order] + 3 + rng.normal(size=(15, 30)).astype(np.float32)
    found = match_similar(a, b)
    assert pairs(found) == sorted(zip(order.tolist(), range(15), strict=True))
    assert found.how == {BY_SIMILARITY: 15}


def test_rows_that_are_not_alike_are_not_matched() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(count, 400)).astype(np.float32) for count in (20, 15))
    with pytest.raises(InputError) as error:
        match_similar(a, b, ("a.npy", "b.npy"))
    assert str(error.value) == (
        "a.npy has 20 rows and b.npy 15, one has no names of images, and no two rows are alike: "
        "nothing tells which belong together."
    )
    with pytest.raises(InputError) as error:
        match_similar(a, b[:, :8], ("a.npy", "b.npy"))
    assert str(error.value) == (
        "a.npy has 20 rows of 400 values and b.npy 15 of 8, and one has no names of images: "
        "nothing tells which belong together."
    )


def test_a_sample_is_spread_evenly() -> None:
    rows = np.arange(10)
    found = Matching(rows, rows + 5, {BY_NAME: 10})
    assert pairs(found.taking(4)) == [(0, 5), (3, 8), (6, 11), (9, 14)]
    assert found.taking(10) is found
    assert found.taking(None) is found
