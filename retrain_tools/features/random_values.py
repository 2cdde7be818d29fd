"""Values for placeholders that take no images, to run a graph on.

1. A placeholder gets the value that it has outside of training, where the nodes around show it.
2. Else it gets random values: numbers from 0 to 1, whole ones from 0 to 9, truth values. Dimensions
   that are not known are 1; where not even their number is known, it is a scalar.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef.dtypes import dtype_number, dtype_of, numpy_dtype
from retrain_tools.graphdef.feeds import check_feeds
from retrain_tools.graphdef.navigate import nodes_by_name
from retrain_tools.graphdef.purposes import purpose
from retrain_tools.graphdef.tensors import Tensor, list_tensors
from retrain_tools.graphdef.view import view_of

_WHOLE_NUMBERS = 10


class RandomValues:
    """What some placeholders of a graph are fed, other values each time.

    Attributes:
        are_needed: whether any of them gets random values.
    """

    def __init__(self, graph_def: Any, names: Sequence[str], seed: int, where: str) -> None:
        """Look at placeholders, by full names; `where` is the graph's file, for messages.

        Raises:
            InputError: there are no random values for one of them.
        """
        view, nodes = view_of(graph_def), nodes_by_name(graph_def)
        tensors = {tensor.name: tensor for tensor in list_tensors(view)}
        told = {name: purpose(view, nodes, name).value for name in names}
        known = {name: json.loads(value) for name, value in told.items() if value is not None}
        self._known = check_feeds(view, known, where)
        drawn = [tensors[name] for name in names if name not in known]
        self._drawn = {tensor.name: (_dtype(tensor, where), _sizes(tensor)) for tensor in drawn}
        self._numbers = np.random.default_rng(seed)
        self.are_needed = bool(drawn)

    def next(self) -> dict[str, npt.NDArray[Any]]:
        """Return the next values, by the full names of the placeholders."""
        drawn = {name: self._draw(*kind) for name, kind in self._drawn.items()}
        return {**self._known, **drawn}

    def _draw(self, dtype: np.dtype[Any], sizes: Sequence[int]) -> npt.NDArray[Any]:
        if dtype.kind == "b":
            return self._numbers.integers(0, 2, sizes).astype(dtype)
        if dtype.kind in "iu":
            return self._numbers.integers(0, _WHOLE_NUMBERS, sizes).astype(dtype)
        return np.asarray(self._numbers.random(sizes)).astype(dtype)


def _dtype(tensor: Tensor, where: str) -> np.dtype[Any]:
    kind = dtype_of(dtype_number(tensor.dtype) or 0)
    dtype = None if kind is None else numpy_dtype(kind)
    if dtype is None or dtype.kind == "O":
        raise InputError(
            f"{where} takes {tensor.name!r}, {tensor.dtype} {tensor.shape_text}, of which there "
            "are no random values to run it on."
        )
    return dtype


def _sizes(tensor: Tensor) -> list[int]:
    return [1 if size is None else size for size in tensor.shape or ()]
