"""From what a pickle nests, {image: feature} and the like, to columns with a row for each image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrain_tools.features.stores.table import IMAGES, LABELS
from retrain_tools.images.decode import EXTENSIONS


def as_columns(value: Any, name: str, beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns, names of images and labels of what a pickle, or a bare .npy, holds.

    Args:
        value: {image: feature}, {image: {tensor: feature}}, an array, (names, array), a dict of
            arrays, or a list of rows.
        name: what a column without a name is called.
        beside: what stands beside it: LABELS may be {image: label}.

    Raises:
        ValueError: it is none of these, or its rows have not all one shape.
    """
    labels = beside.get(LABELS)
    if isinstance(value, dict):
        keys = list(map(_name, value))
        rows = list(value.values())
        if _is_by_image(keys, rows):
            found: dict[str, Any] = {IMAGES: np.array(keys, np.str_)}
            if isinstance(labels, dict):
                by_key = {str(key): str(label) for key, label in labels.items()}
                found[LABELS] = np.array([by_key.get(key, "") for key in keys], np.str_)
            if isinstance(rows[0], dict):
                tensors = [_name(tensor) for tensor in rows[0]]
                if any(not isinstance(row, dict) or len(row) != len(tensors) for row in rows):
                    raise ValueError("not every image has the same tensors")
                named = [{_name(tensor): one for tensor, one in row.items()} for row in rows]
                return found | {one: _stacked([row[one] for row in named]) for one in tensors}
            return found | {name: _stacked(rows)}
        return {key: _array(row) for key, row in zip(keys, rows, strict=True)}
    if isinstance(value, list) and len(value) == 2:  # (names, array), either first
        both = map(_array, value)
        texts, array = sorted(both, key=lambda one: one.dtype.kind in "fiub")
        if texts.dtype.kind in "US" and texts.ndim == 1 and len(texts) == len(array):
            return {IMAGES: texts, name: array}
    return {name: _array(value)}


def _is_by_image(keys: Sequence[str], rows: Sequence[Any]) -> bool:
    """Tell {image: feature} from {tensor: array of all images}."""
    if all(key.lower().endswith(EXTENSIONS) for key in keys) or isinstance(rows[0], dict):
        return bool(keys)
    arrays = [row for row in rows if isinstance(row, np.ndarray)]
    if len(arrays) < len(rows):  # lists: names, labels, or rows of numbers
        return not any(isinstance(row, list) and row and _is_text(row[0]) for row in rows)
    shapes = {array.shape for array in arrays}
    is_one_table = len(keys) == 1 and arrays[0].ndim > 1
    return len(shapes) == 1 and not is_one_table and {a.dtype.kind for a in arrays} <= set("fiu")


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def _name(key: Any) -> str:
    return os.fsdecode(key) if isinstance(key, bytes) else str(key)  # bytes: of Python 2


def _array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list) and value and all(map(_is_text, value)):
        return np.array([_name(text) for text in value], np.str_)
    if isinstance(value, list) and value:
        return _stacked(value)
    raise ValueError("no array, and nothing that could be one")


def _stacked(rows: Sequence[Any]) -> Any:
    """Return rows of one shape as one array.

    Raises:
        ValueError: they are not of one shape, or not of numbers.
    """
    arrays = [np.asarray(row) for row in rows]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        some = " and ".join(str(list(shape)) for shape in sorted(shapes)[:2])
        raise ValueError(f"rows of several shapes, as {some}")
    if not all(array.dtype.kind in "fiub" for array in arrays):
        raise ValueError("rows that are not of numbers")
    return np.stack(arrays)
