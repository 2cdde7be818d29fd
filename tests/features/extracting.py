"""Opening extractors on the tiny graphs and reading what they give, for the tests of them."""

from __future__ import annotations

from PIL import Image

from retrain_tools.features.extractor import Extractor

from . import tiny

EXACT = 1e-4


def results_of(extractor, paths):
    paths = [str(path) for path in paths]
    results = list(extractor.extract(paths))
    assert [path for path, _ in results] == paths
    return dict(results)


def open_2015(path):
    return Extractor(tiny.opened(path, tiny.BOTTLENECK_2015), [tiny.BOTTLENECK_2015])


def open_pixels(path, pooling="avg", fetch=tiny.BOTTLENECK_PIXELS):
    return Extractor(tiny.opened(path, fetch), [fetch], pooling)


def write_solid(path, values, size=(20, 20)):
    for number, value in enumerate(values):
        Image.new("RGB", size, (value,) * 3).save(path / f"{number}.png")
    return [str(path / f"{number}.png") for number in range(len(values))]
