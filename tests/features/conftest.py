"""The tiny graphs as files, and a folder of images."""

from __future__ import annotations

import pytest

from . import tiny
from .extracting import open_pixels


@pytest.fixture(scope="session")
def graph_2015(tmp_path_factory):
    return tiny.write_2015_graph(tmp_path_factory.mktemp("graphs") / "tiny_2015.pb")


@pytest.fixture(scope="session")
def pixel_graph(tmp_path_factory):
    return tiny.write_pixel_graph(tmp_path_factory.mktemp("graphs") / "tiny_pixels.pb")


@pytest.fixture(scope="module")
def pixel_extractor(pixel_graph):
    with open_pixels(pixel_graph) as extractor:
        yield extractor


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes with twelve JPEGs of several sizes."""
    root = tmp_path / "photos"
    for number in range(12):
        path = root / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = tiny.photo(10 + 7 * number, 50 - 3 * number, seed=number)
        path.write_bytes(tiny.encoded(image, "JPEG"))
    return root
