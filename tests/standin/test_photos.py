"""The drawn photo set: folders, files, variety and repeatability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrain_tools.errors import InputError
from retrain_tools.standin.photos import CLASSES, calibration_images, draw_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw_photos(tmp_path_factory.mktemp("photos"), per_class=6)


def test_every_class_is_a_folder_with_its_images(photos: list[Path]) -> None:
    root = photos[0].parents[1]
    assert len(CLASSES) >= 5
    assert sorted(folder.name for folder in root.iterdir()) == sorted(CLASSES)
    assert all(len(list((root / label).iterdir())) == 6 for label in CLASSES)
    assert sorted(photos) == sorted(root.glob("*/*.jpg"))


def test_all_are_rgb_jpegs_of_varied_size_and_quality(photos: list[Path]) -> None:
    sizes, tables = set(), set()
    for path in photos:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert 180 <= min(image.size) <= max(image.size) <= 475
            sizes.add(image.size)
            tables.add(tuple(image.quantization[0]))
    assert len(sizes) > len(photos) // 2
    assert len(tables) > 10
    assert any(width > height for width, height in sizes)
    assert any(width < height for width, height in sizes)


def test_the_mean_colour_does_not_give_the_class_away(photos: list[Path]) -> None:
    colours: dict[str, list[np.ndarray]] = {label: [] for label in CLASSES}
    for path in photos:
        colours[path.parent.name].append(np.asarray(Image.open(path)).mean(axis=(0, 1)))
    centres = {label: np.mean(rows, axis=0) for label, rows in colours.items()}
    guesses = [
        min(CLASSES, key=lambda other: float(np.linalg.norm(centres[other] - row))) == label
        for label, rows in colours.items()
        for row in rows
    ]
    assert np.mean(guesses) < 0.9


def test_same_seed_same_bytes_and_another_seed_new_images(
    photos: list[Path], tmp_path: Path
) -> None:
    again = draw_photos(tmp_path / "again", per_class=2)
    for path in again:
        twin = photos[0].parents[1] / path.parent.name / path.name
        assert path.read_bytes() == twin.read_bytes()
    other = draw_photos(tmp_path / "other", per_class=2, seed=1)
    assert not {path.name for path in other} & {path.name for path in photos}
    assert not {path.read_bytes() for path in other} & {path.read_bytes() for path in photos}


def test_some_classes_are_drawn_as_they_are_in_the_whole_set(
    photos: list[Path], tmp_path: Path
) -> None:
    [image] = draw_photos(tmp_path, per_class=1, classes=["forest"])
    assert image == tmp_path / "forest" / "forest_0_000.jpg"
    twin = next(path for path in photos if path.name == image.name)
    assert image.read_bytes() == twin.read_bytes()


def test_an_unknown_class_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'zebra stripes'"):
        draw_photos(tmp_path, per_class=1, classes=["zebra stripe"])
    with pytest.raises(InputError, match="1 or more"):
        draw_photos(tmp_path, per_class=0)
    assert not list(tmp_path.iterdir())


def test_calibration_images_have_every_class_and_repeat() -> None:
    images = calibration_images(per_class=2, side=50)
    assert images.dtype == np.uint8
    assert images.shape == (2 * len(CLASSES), 50, 50, 3)
    np.testing.assert_array_equal(images, calibration_images(per_class=2, side=50))
