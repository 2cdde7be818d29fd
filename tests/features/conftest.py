"""The tiny graphs as files, and a folder of images."""

from __future__ import annotations

import pytest

from retrain_tools.features import fill
from retrain_tools.images.folders import find_images

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


@pytest.fixture
def images(photos):
    return find_images(str(photos))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "bottlenecks"


@pytest.fixture
def no_extractor(monkeypatch):
    """Opening the graph is a failure from here on."""

    def forbid():
        def refuse(*arguments):
            raise AssertionError("the graph was opened")

        monkeypatch.setattr(fill, "Extractor", refuse)

    return forbid
