"""Batches of images in one file, `arr_0` of an `.npz`: each of them as an image by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.array_files import DAMAGE, StoredArray, open_npz
from retrain_tools.errors import InputError

ARRAY = "arr_0"
"""What `np.savez(file, images)` calls the images, and so the ADM evaluator does."""


class BatchedImage(str):
    """An image of a batch, by a name that no other has: `FILE.npz[ROW]`.

    It goes wherever the path of an image goes; its pixels are read when they are needed.

    Attributes:
        file: the batch.
    """

    file: Path
    _batch: StoredArray
    _row: int

    @classmethod
    def of(cls, batch: StoredArray, row: int) -> BatchedImage:
        """Return an image of a batch."""
        image = cls(f"{batch.path}[{row}]")
        image.file, image._batch, image._row = batch.path, batch, row
        return image

    def pixels(self) -> npt.NDArray[Any]:
        """Read its pixels, uint8 [H, W, 3].

        Raises:
            OSError: the file has gone, or is damaged.
        """
        try:
            return self._batch[self._row]
        except OSError:
            raise
        except DAMAGE as error:
            raise OSError(f"{self.file} is damaged: {error}") from error


def file_of(image: str) -> Path:
    """Return the file that an image is read from."""
    return image.file if isinstance(image, BatchedImage) else Path(image)


def read_batch(path: Path) -> tuple[list[BatchedImage], tuple[int, int]]:
    """Return the images of a batch, and their (height, width); no pixels are read yet.

    Raises:
        InputError: there is no batch of images in the file, or it is damaged.
    """
    try:
        batch = open_npz(path).get(ARRAY)
    except DAMAGE as error:
        raise InputError(f"{path} cannot be read as a batch of images: {error}.") from error
    if batch is None or not is_batch(batch):
        found = "none of that name" if batch is None else f"{batch.dtype} {list(batch.shape)}"
        raise InputError(
            f"{path} is no batch of images: its array {ARRAY!r} has to be uint8 [N, H, W, 3]; "
            f"there is {found}."
        )
    if not len(batch):
        raise InputError(f"{path} has no images in it: its array is {list(batch.shape)}.")
    height, width = batch.shape[1:3]
    return [BatchedImage.of(batch, row) for row in range(len(batch))], (height, width)


def is_batch(array: StoredArray) -> bool:
    """Tell whether an array is one of images."""
    return array.dtype == np.uint8 and len(array.shape) == 4 and array.shape[3] == 3
