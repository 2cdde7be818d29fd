"""The page of a comparison: complete in itself, and no name in it becomes markup."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from retrain_tools.comparing.comparison import compare
from retrain_tools.report.comparison_page import comparison_page
from retrain_tools.report.comparison_plots import heat_map, scatter_plot, strips
from tests.comparing.told import A, B, comparison
from tests.features.tiny import encoded, photo

HOSTILE = "<img src=x onerror=alert(1)>&\"'</style><script>"


class Parts(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def images(self, kind: str = "") -> list[Image.Image]:
        found = []
        for tag, attributes in self.tags:
            if tag == "img" and kind in (attributes.get("class") or ""):
                data = str(attributes["src"]).partition("base64,")[2]
                found.append(Image.open(io.BytesIO(base64.b64decode(data))))
        return found


def test_all_parts_are_there(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos/y").mkdir(parents=True)
    Path("photos/y/4.jpg").write_bytes(encoded(photo(300, 500), "JPEG"))
    page = Parts(comparison_page(comparison(Path())))
    text = " ".join(" ".join(page.text).split())
    for said in (
        "a.npz (A) against b.npz (B)",
        "differs : B is in part A with half-pixel bilinear resizing and pixels of 0 to 1",
        "a note of the explanation",
        "retrain_tools fetch_tensors --graph=g.pb second line",
        "5 images compared; matched: 5 by name.",
        "1 only in B photos/x/extra.jpg",
        "absolute difference mean 0.333",
        "half-pixel bilinear resizing, pixels of 0 to 1 0.1 70.0% 5",
        "pool:0 [3] 0.25 0.5 differs",
        "photos/y/4.jpg , y: mean difference 1, largest 3, cosine 0.844",
        "not on disk",
    ):
        assert said in text
    # A scatter plot, a heat map, strips of the five images; a thumbnail of the one on disk.
    assert len(page.images("strips")) == 5
    [thumbnail] = page.images("thumbnail")
    assert thumbnail.size == (360, 216)
    assert len(page.images()) == 8


def test_it_takes_nothing_from_elsewhere_and_runs_nothing(tmp_path) -> None:
    names = [f"{HOSTILE}{n}.jpg" for n in range(5)]
    text = comparison_page(comparison(tmp_path, names, notes=[HOSTILE]))
    page = Parts(text)
    assert {tag for tag, _ in page.tags} == {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "span", "pre", "div",
        "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "details",
        "summary", "ul", "li", "strong",
    }  # fmt: skip
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "href"], tag
        assert str(attributes.get("src", "data:image/")).startswith("data:image/"), tag
    assert re.search(r"(?:https?:)?//\w", re.sub('base64,[^"]*', "", text)) is None
    [policy] = [a["content"] for t, a in page.tags if a.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert HOSTILE in "".join(page.text)  # as text


def test_the_same_comparison_gives_the_same_page(tmp_path) -> None:
    found = comparison(tmp_path)
    assert comparison_page(found) == comparison_page(found)


def test_depths_that_differ_have_no_plots(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", pool=A, images=[f"{n}.jpg" for n in range(5)])
    np.savez(tmp_path / "b.npz", pool=B[:, :2], images=[f"{n}.jpg" for n in range(5)])
    page = Parts(comparison_page(compare(tmp_path / "a.npz", tmp_path / "b.npz")))
    assert page.images() == []


def test_a_name_of_any_bytes_and_a_damaged_image(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1.jpg").write_bytes(b"no image")
    names = ["1.jpg", "\udcff.jpg", "3.jpg", "4.jpg", "5.jpg"]
    page = comparison_page(comparison(Path(), names))
    assert page.encode("utf-8")
    assert Parts(page).images("thumbnail") == []


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_scatter_plot_has_its_points_where_they_belong() -> None:
    """All of B is above A: there is colour above the diagonal and none below."""
    a = np.linspace(0, 10, 500, dtype=np.float32)
    picture = pixels(scatter_plot(a, a + 4))
    blue = (picture[..., 2] - picture[..., 0]) > 40
    rows, columns = np.nonzero(blue)
    assert len(rows) > 500
    # The points run from the lower left to the upper right, in the upper left half.
    assert np.corrcoef(columns, -rows)[0, 1] > 0.95
    assert columns.mean() / picture.shape[1] < 0.55
    below = pixels(scatter_plot(a + 4, a))
    rows, columns = np.nonzero((below[..., 2] - below[..., 0]) > 40)
    assert columns.mean() / below.shape[1] > 0.6


def test_the_heat_map_is_dark_where_errors_are_large() -> None:
    errors = np.zeros((1000, 700))
    errors[:500, :350] = 1  # more images and channels than there are cells
    picture = pixels(heat_map(errors)).sum(axis=2)
    height, width = picture.shape
    dark = picture[: height // 2 - 60, 120 : width // 2 - 120]
    light = picture[height // 2 + 60 : height - 120, width // 2 : int(width * 0.75)]
    assert np.median(dark) < 200 < 600 < np.median(light)


def test_strips_of_many_channels_are_drawn() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(2048, np.float32)
    assert pixels(strips(one, one)).shape == pixels(strips(one[:3], one[:3] * 2)).shape
