"""Fetches tensors for images into arrays, for those who work in Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.features.extractor import Extractor, Result
from retrain_tools.features.fetch import named_tensor
from retrain_tools.graphdef.load import FrozenGraph
from retrain_tools.images.decode import ImageError

_REASONS = 5  # of as many images an error says what is wrong with them


def fetch_in_memory(
    frozen: FrozenGraph, names: Sequence[str], paths: Sequence[str], pooling: str | None = None
) -> tuple[list[str], dict[str, npt.NDArray[np.float32]], dict[str, str]]:
    """Fetch tensors for images.

    Args:
        frozen: the graph.
        names: tensors, nodes, or end points.
        paths: image files.
        pooling: how values of rank above 2 become a vector; None to keep their shape.

    Returns:
        The images with a row, in their order; float32 [images, ...] by name; and why an image
        has no row.

    Raises:
        InputError: a tensor is not there or not computed from images, its values are of other
            shapes for other images, or no image can be used.
    """
    if not names:
        raise InputError("No tensor is named that should be fetched.")
    if not paths:
        raise InputError("No image is named to fetch tensors for.")
    tensors = {name: named_tensor(frozen, name) for name in names}
    results: dict[str, Result] = {}
    with Extractor(frozen, list(tensors.values()), pooling) as extractor:
        for _ in extractor.map_batches(dict.fromkeys(paths), results.update):
            pass
    rows = {path: row for path in paths if not isinstance(row := results[path], ImageError)}
    # In the order asked for: batches finish in any.
    failed = {path: str(results[path]) for path in paths if path not in rows}
    if not rows:
        reasons = "; ".join(f"{path} {why}" for path, why in list(failed.items())[:_REASONS])
        more = f"; and {len(failed) - _REASONS} more" if len(failed) > _REASONS else ""
        raise InputError(f"None of the {len(results)} images can be used: {reasons}{more}.")
    values = {
        name: _stacked(name, [row[index] for row in rows.values()])
        for index, name in enumerate(tensors)
    }
    return list(rows), values, failed


def _stacked(name: str, values: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    try:
        return np.stack(values)
    except ValueError as error:
        shapes = dict.fromkeys(str(list(value.shape)) for value in values)
        raise InputError(
            f"{name!r} has not the same shape for every image: {', '.join(shapes)}; fetch it for "
            "one at a time, or with pooling."
        ) from error
