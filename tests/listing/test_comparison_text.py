"""A comparison as text and as JSON: everything that is known, in an order for people."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.comparing.comparison import compare
from retrain_tools.listing.comparison_json import comparison_json
from retrain_tools.listing.comparison_text import comparison_text, number
from retrain_tools.text_tables import Style
from tests.comparing.told import A, B, comparison

TEXT = """\
B is in part A with half-pixel bilinear resizing and pixels of 0 to 1

a note
a note of the explanation

   source  kind  tensor  shape  images
A  a.npz   file  pool    [3]         5
B  b.npz   file  pool    [3]         7

5 images compared; matched: 5 by name
only in B: 1 (photos/x/extra.jpg)
more than once in B: 1 (photos/x/0.jpg)

absolute difference  mean 0.333 (0.113 of A's standard deviation), largest 3; they agree up to 0.000294
correlation          0.968 over all values
cosine               mean 0.964, least 0.844
standard deviation   2.94 and 2.92
nearest other image  the same for 60.0% of the images
CKA                  0.979 (linear, debiased)
linear probe         accuracy 50.0% on A, 50.0% on B; trained on A, tested on B 50.0%; the other way 50.0% (ridge regression, 2 test images, 2 labels)

mean error  explains  images  tried, best first
       0.1     70.0%       5  half-pixel bilinear resizing, pixels of 0 to 1
      none      0.0%     all  nothing changed

layer   shape      mean difference  of A's standard deviation
conv:0  [4, 4, 8]                0                          0  agrees
pool:0  [3]                   0.25                        0.5  differs

worst images    mean difference  largest  cosine
photos/y/4.jpg                1        3   0.844
photos/x/0.jpg            0.167      0.5   0.997
photos/x/1.jpg            0.167      0.5   0.999
photos/x/2.jpg            0.167      0.5   1
photos/y/3.jpg            0.167      0.5   0.981

worst channels  mean difference  correlation
2                             1        0.946
0                             0            1
1                             0            1

What makes them agree:
  retrain_tools fetch_tensors --graph=g.pb
  second line
"""  # noqa: E501


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_all_is_told_in_order(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = comparison_text(comparison(Path()), Style())
    assert squeezed(text) == squeezed(TEXT)
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    bold = comparison_text(comparison(Path()), Style(is_on=True))
    assert bold.startswith("\x1b[1mB is in part A with ")


def test_what_agrees_is_told_without_the_worst(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", pool=A, images=[f"{n}.jpg" for n in range(5)])
    found = compare(tmp_path / "a.npz", tmp_path / "a.npz")
    text = comparison_text(found, Style())
    assert text.startswith("A and B agree: mean error 0, the largest 0, allowed 0.00029\n")
    assert "worst" not in text
    assert "probe" not in text  # there are no labels


def test_several_tensors_are_a_table(tmp_path) -> None:
    images = [f"{n}.jpg" for n in range(5)]
    np.savez(tmp_path / "a.npz", one=A, two=A, images=images)
    np.savez(tmp_path / "b.npz", one=A, two=B, images=images)
    text = comparison_text(compare(tmp_path / "a.npz", tmp_path / "b.npz"), Style())
    assert "tensor of B shape mean difference correlation" in squeezed(text)
    assert "one [3] 0 1 agrees" in squeezed(text)
    assert "two [3] 0.333 0.968 differs" in squeezed(text)


def test_many_names_and_tries_are_counted(tmp_path) -> None:
    found = comparison(tmp_path)
    matching = dataclasses.replace(found.matching, only_a=[f"{n}.jpg" for n in range(12)])
    tried = found.explanation.tried[:1] * 13
    explanation = dataclasses.replace(found.explanation, tried=tried)
    found = dataclasses.replace(found, matching=matching, explanation=explanation)
    text = comparison_text(found, Style())
    assert "only in A: 12 (0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, and 7 more)\n" in text
    assert "and 5 more that explain less\n" in text


def test_a_sample_says_of_how_many_it_is_one(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", pool=A, images=[f"{n}.jpg" for n in range(5)])
    found = compare(tmp_path / "a.npz", tmp_path / "a.npz", max_images=3)
    assert "\n3 of 5 images compared; matched: 5 by name\n" in comparison_text(found, Style())


def test_depths_that_differ_are_told(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", pool=A, images=[f"{n}.jpg" for n in range(5)])
    np.savez(tmp_path / "b.npz", pool=B[:, :2], images=[f"{n}.jpg" for n in range(5)])
    text = comparison_text(compare(tmp_path / "a.npz", tmp_path / "b.npz"), Style())
    lines = squeezed(text)
    assert "compared values cannot be compared: the depths differ" in lines
    assert not [line for line in lines if line.startswith(("absolute", "correlation", "worst"))]


def test_names_of_strangers_give_the_terminal_no_commands(tmp_path) -> None:
    names = [f"{n}\x1b[2J\nü.jpg" for n in range(5)]
    text = comparison_text(comparison(tmp_path, names), Style())
    assert "\x1b" not in text
    assert r"more than once in B: 1 (0\x1b[2J\nü.jpg)" in text
    assert r"4\x1b[2J\nü.jpg " in text


def test_numbers_have_three_digits() -> None:
    assert [number(v) for v in (0.0, 1e-7, 0.123456, 1234.5, None, float("nan"))] == [
        "0", "1e-07", "0.123", "1.23e+03", "none", "none",
    ]  # fmt: skip


def test_json_is_strict_and_has_everything(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    told = json.loads(comparison_json(comparison(Path())), parse_constant=refuse)
    assert list(told) == [
        "agrees", "explanation", "a", "b", "matching", "tensors", "explained", "layers", "images",
        "channels", "notes",
    ]  # fmt: skip
    assert told["agrees"] is False
    assert told["explanation"]["verdict"] == "partial"
    assert told["explanation"]["causes"][0] == {
        "slot": "resize",
        "name": "half_pixel_bilinear",
        "words": "half-pixel bilinear resizing",
    }
    assert told["explanation"]["tried"][1]["error"] is None  # it was not a number
    assert told["a"] == {"source": "a.npz", "kind": "file", "images": 5}
    assert told["matching"] == {
        "images": 5, "by": {"name": 5}, "only_a": [], "only_b": ["photos/x/extra.jpg"],
        "twice_a": [], "twice_b": ["photos/x/0.jpg"],
    }  # fmt: skip
    [tensor] = told["tensors"]
    assert list(tensor) == [
        "agrees", "tensor_a", "tensor_b", "shape_a", "shape_b", "compared", "images", "tolerance",
        "mean", "largest", "spread_a", "spread_b", "correlation", "mean_cosine", "least_cosine",
        "nearest_agreement", "cka", "probe", "sampled",
    ]  # fmt: skip
    assert (tensor["shape_a"], tensor["mean"]) == ([3], pytest.approx(1 / 3))
    assert tensor["probe"]["images"] == 2
    assert told["images"][4] == {
        "image": "photos/y/4.jpg", "path": None, "label": "y", "mean": pytest.approx(1),
        "largest": 3, "cosine": pytest.approx(0.844, abs=1e-3),
    }  # fmt: skip
    assert told["channels"]["mean"] == pytest.approx([0, 0, 1])
    assert told["channels"]["worst"] == [2, 0, 1]
    assert told["layers"][1] == {
        "tensor": "pool:0", "shape": [3], "mean": 0.25, "spread": 0.5, "agrees": False,
    }  # fmt: skip


def test_json_of_what_cannot_be_compared(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", pool=np.zeros((3, 2)), images=["1.jpg", "2.jpg", "3.jpg"])
    np.savez(tmp_path / "b.npz", pool=np.ones((3, 5)), images=["1.jpg", "2.jpg", "3.jpg"])
    told = json.loads(comparison_json(compare(tmp_path / "a.npz", tmp_path / "b.npz")))
    assert told["tensors"][0]["mean"] is None
    assert told["images"][0] == {
        "image": "1.jpg", "path": None, "label": None, "mean": None, "largest": None,
        "cosine": None,
    }  # fmt: skip
    assert told["channels"] == {"mean": [], "correlation": [], "worst": []}
