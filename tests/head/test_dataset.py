"""Bottlenecks, classes and splits as rows."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.fill import CacheOptions
from retrain_tools.head.dataset import make_dataset
from retrain_tools.images.folders import find_images, images_by_label
from retrain_tools.images.splits import SPLITS, split_images

from .graphs import drawn_image, jpeg, run


@pytest.fixture
def folder(tmp_path):
    for label, count in (("a", 6), ("b", 4)):
        for number in range(count):
            path = tmp_path / "photos" / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(drawn_image(number + 10 * count)))
    return tmp_path / "photos"


def splits_by_hand(folder, **numbers):
    """Put the images of both classes where `numbers` says, by the name of the split."""
    splits = {}
    for label in "ab":
        images = [i for i in find_images(str(folder)) if i.folder == label]
        splits[label] = {
            name: [i for i in images if int(i.relative[2:-4]) in numbers.get(name, ())]
            for name in SPLITS
        }
    return splits


def cache_in(folder):
    return CacheOptions(str(folder.parent / "bottlenecks"))


def names(data, split):
    return [sorted(data.images[row].relative for row in rows) for rows in data.rows[split]]


def test_rows_lead_to_the_untouched_graphs_bottlenecks(old, folder):
    splits = split_images(images_by_label(find_images(str(folder))), 20, 20, "basename")
    data, report = make_dataset(old, splits, (20, 20, "basename"), cache_in(folder))
    assert (data.labels, report.computed) == (["a", "b"], 10)
    seen = []
    for split in SPLITS:
        for number, rows in enumerate(data.rows[split]):
            vectors, classes = data.batch(rows)
            assert vectors.dtype == np.float32
            assert classes.tolist() == [number] * len(rows)
            for row, vector in zip(rows, vectors, strict=True):
                image = data.images[row]
                assert image.folder == data.labels[number]
                data_of = Path(image.path).read_bytes()
                feeds = {"DecodeJpeg/contents:0": data_of}
                expected = run(old.graph_def, "pool/_reshape:0", feeds)
                np.testing.assert_allclose(vector, expected[0], atol=1e-4)
                seen.append(image.relative)
    assert sorted(seen) == [image.relative for image in find_images(str(folder))]


def test_cached_bottlenecks_give_the_same_rows(old, folder):
    splits = split_images(images_by_label(find_images(str(folder))), 20, 20, "basename")
    fresh, _ = make_dataset(old, splits, (20, 20, "basename"), cache_in(folder))
    cached, report = make_dataset(old, splits, (20, 20, "basename"), cache_in(folder))
    assert report.reused == 10
    assert np.array_equal(fresh.vectors, cached.vectors)
    assert fresh.images == cached.images


def test_images_that_cannot_be_used_are_in_no_split(old, folder):
    (folder / "a" / "0.jpg").write_bytes(b"not an image")
    splits = splits_by_hand(folder, training=[0, 1, 2], validation=[3], testing=[4, 5])
    splits["b"]["testing"] = splits["b"]["training"][2:]
    splits["b"]["training"] = splits["b"]["training"][:2]
    data, report = make_dataset(old, splits, (10, 10, "basename"), cache_in(folder))
    assert report.failed == {str(folder / "a/0.jpg"): "is not a JPEG, PNG, GIF, BMP or WebP image"}
    assert names(data, "training") == [["a/1.jpg", "a/2.jpg"], ["b/0.jpg", "b/1.jpg"]]
    assert names(data, "testing") == [["a/4.jpg", "a/5.jpg"], ["b/2.jpg"]]


def test_a_split_that_unusable_images_emptied_is_filled_again(old, folder):
    (folder / "a" / "3.jpg").write_bytes(b"not an image")
    splits = splits_by_hand(folder, training=[0, 1], validation=[3], testing=[2, 4, 5])
    data, _ = make_dataset(old, splits, (10, 10, "basename"), cache_in(folder))
    [validation, _] = names(data, "validation")
    assert len(validation) == 1
    assert validation[0] in ("a/2.jpg", "a/4.jpg", "a/5.jpg")  # from the largest split
    assert sorted(name for split in SPLITS for name in names(data, split)[0]) == [
        f"a/{number}.jpg" for number in (0, 1, 2, 4, 5)
    ]


def test_a_class_too_small_is_refused_before_anything_is_computed(old, folder):
    splits = splits_by_hand(folder, training=[0, 1], validation=[2], testing=[3])
    splits["b"]["validation"] = splits["b"]["testing"] = []
    with pytest.raises(InputError, match=r"Class 'b' has 2 usable images; it takes at least 3"):
        make_dataset(old, splits, (10, 10, "path"), cache_in(folder))
    assert not (folder.parent / "bottlenecks").exists()


def test_a_class_too_small_without_its_unusable_images_is_refused(old, folder):
    for number in (0, 1):
        (folder / "b" / f"{number}.jpg").write_bytes(b"not an image")
    splits = splits_by_hand(folder, training=[0, 1], validation=[2], testing=[3])
    with pytest.raises(InputError, match=r"Class 'b' has 2 usable images; it takes at least 3"):
        make_dataset(old, splits, (10, 10, "path"), cache_in(folder))


def test_a_small_class_is_warned_of_once(old, folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("retrain_tools"), "propagate", True)
    splits = splits_by_hand(folder, training=[0, 1], validation=[2], testing=[3])
    make_dataset(old, splits, (10, 10, "path"), cache_in(folder))
    warnings = [r.getMessage() for r in caplog.records if "has only" in r.getMessage()]
    assert len(warnings) == 2
    assert len(set(warnings)) == 2
