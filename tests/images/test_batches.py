"""Images of a batch, each by itself; and files that are no batches."""

from __future__ import annotations

import json

import numpy as np
import pytest

from retrain_tools.errors import InputError
from retrain_tools.features.rows import Source
from retrain_tools.images.batches import file_of, read_batch
from retrain_tools.images.decode import ImageError, named_images, read_image

X = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_image_of_a_batch_goes_wherever_a_path_goes(save, tmp_path) -> None:
    path = tmp_path / "batch.npz"
    save(path, X)
    images, size = read_batch(path)
    assert size == (6, 4)
    assert [str(image) for image in images] == [f"{path}[{row}]" for row in range(5)]
    assert file_of(images[3]) == path
    for row, image in enumerate(images):
        np.testing.assert_array_equal(read_image(image), X[row])
    assert list(named_images(images)) == images
    source = Source.of(images[2])
    assert (source.bytes, source.modified_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert Source(*json.loads(source.as_json())) == source


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        read_batch(path)
    return str(error.value).removeprefix(f"{path} ")


def test_what_is_no_batch_is_refused(tmp_path) -> None:
    path = tmp_path / "batch.npz"
    rule = "is no batch of images: its array 'arr_0' has to be uint8 [N, H, W, 3]; there is "
    np.savez(path, X.astype(float))
    assert refusal(path) == f"{rule}float64 [5, 6, 4, 3]."
    np.savez(path, X[..., 0])
    assert refusal(path) == f"{rule}uint8 [5, 6, 4]."
    np.savez(path, images=X)
    assert refusal(path) == f"{rule}none of that name."
    np.savez(path, X[:0])
    assert refusal(path) == "has no images in it: its array is [0, 6, 4, 3]."
    path.write_bytes(b"PK\3\4 and nothing")
    assert refusal(path).startswith("cannot be read as a batch of images: ")


def test_a_batch_that_went_is_an_image_that_cannot_be_read(tmp_path) -> None:
    path = tmp_path / "batch.npz"
    np.savez(path, X)
    [image, *_], _ = read_batch(path)
    path.unlink()
    with pytest.raises(ImageError) as error:
        read_image(image)
    assert str(error.value) == "cannot be read: No such file or directory"
    assert error.value.kind == "reading"
    path.write_bytes(b"short")
    with pytest.raises(ImageError, match="cut off"):
        read_image(image)
