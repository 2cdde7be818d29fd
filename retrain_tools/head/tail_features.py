"""What enters the tuned part of a network, for each image, kept on disk between steps and runs."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrain_tools.features.fetch import FetchedTensors, FetchOptions, fetch_tensors
from retrain_tools.features.fill import CacheOptions
from retrain_tools.features.stores import store_format
from retrain_tools.graphdef.spec import FrozenGraph

Rows = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class TailFeatures:
    """The tensors that enter a tail, for images by their path.

    Attributes:
        arrays: float32 [M, …] for each tensor, which stay on disk.
        places: the row of each image.
        fetched: what became of the images, for people.
    """

    arrays: Sequence[Rows]
    places: Mapping[str, int]
    fetched: FetchedTensors

    def of(self, paths: Sequence[str]) -> list[Rows]:
        """Return the values for some images: float32 [len(paths), …] for each tensor."""
        rows = [self.places[path] for path in paths]
        return [array[rows] for array in self.arrays]


def fetch_tail_features(
    frozen: FrozenGraph, tensors: Sequence[str], paths: Sequence[str], cache: CacheOptions
) -> TailFeatures:
    """Fetch tensors for images into the folder of the bottlenecks, or find them there.

    They go into `fine_tune_TENSOR.npy`, or a file for each if they are several. Rows of images that
    are the same as in an earlier run are kept; so are those that a stopped run had computed.

    Raises:
        InputError: see `fetch_tensors`.
    """
    first = re.sub(r"[^\w-]", "_", tensors[0].removesuffix(":0"))
    output = str(Path(cache.bottleneck_dir) / f"fine_tune_{first}.npy")
    options = FetchOptions(output, overwrite=True, on_error=cache.on_error, running=cache.running)
    fetched = fetch_tensors(frozen, {name: name for name in tensors}, paths, options)
    files = store_format(output).files(fetched.output, fetched.columns)
    arrays = [np.load(file, mmap_mode="r") for file in files[: len(tensors)]]
    listing = os.fsdecode(files[len(tensors)].read_bytes()).splitlines()
    return TailFeatures(arrays, {path: row for row, path in enumerate(listing)}, fetched)
