"""Values of a graph's variables, read one by one from the checkpoint that belongs to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.opened import StoredVariable
from retrain_tools.sources.restored import Place
from retrain_tools.sources.substitution import VARIABLES

# What the checkpoint reader raises beside TensorFlow's own errors; IndexError is a file cut off.
_REFUSALS = (IndexError, RuntimeError, ValueError)


class StoredValues:
    """Gives the value of each variable of a graph; the checkpoint is opened with the first one."""

    def __init__(
        self, prefix: str, places: Callable[[Any], Mapping[str, Place]], where: str
    ) -> None:
        """Remember where the values are.

        Args:
            prefix: the checkpoint's, as TensorFlow takes it.
            places: given TensorFlow's reader, says where each variable is kept, by node name.
            where: the file that the graph is in, for messages.
        """
        self._prefix, self._find_places, self._where = prefix, places, where

    def __call__(self, name: str) -> npt.NDArray[Any]:
        """Read a value.

        Raises:
            InputError: the checkpoint is missing or damaged, or does not have it.
        """
        place = self._places.get(name)
        if place is None or not self._reader.has_tensor(place.key):
            sought = "" if place is None or place.key == name else f" (as {place.key!r})"
            raise InputError(
                f"{self._where}: the variable {name!r} has no value in {self._prefix}{sought}; "
                "the checkpoint is of another graph, or was written without it."
            )
        try:
            if place.part is not None:
                return self._read_part(place.key, place.part)
            return np.asarray(self._reader.get_tensor(place.key))
        except (*_REFUSALS, tf.errors.OpError) as error:
            raise self._unreadable(error) from error

    def _read_part(self, key: str, part: Sequence[tuple[int, int]]) -> npt.NDArray[Any]:
        """Read a slice with the op that Savers use: readers refuse slices of V1 checkpoints."""
        whole = self._reader.get_variable_to_shape_map()[key]
        sizes = " ".join(map(str, whole))
        ranges = ":".join(f"{first},{count}" for first, count in part)
        with tf.init_scope():  # eager, also while a graph is being built
            (value,) = tf.raw_ops.RestoreV2(
                prefix=self._prefix,
                tensor_names=[key],
                shape_and_slices=[f"{sizes} {ranges}"],
                dtypes=[self._reader.get_variable_to_dtype_map()[key]],
            )
            return np.asarray(value.numpy())

    @functools.cached_property
    def _reader(self) -> Any:
        try:
            return tf.train.load_checkpoint(self._prefix)
        except (*_REFUSALS, tf.errors.OpError) as error:
            raise self._unreadable(error) from error

    @functools.cached_property
    def _places(self) -> Mapping[str, Place]:
        return self._find_places(self._reader)

    def _unreadable(self, error: Exception) -> InputError:
        reason = str(getattr(error, "message", error)).strip().splitlines()[0]
        return InputError(
            f"The checkpoint {self._prefix} cannot be read: {reason}. It takes an .index file and "
            "every .data file beside it; download or copy them again."
        )


def checkpoint_there(prefix: Path) -> bool:
    """Tell whether a checkpoint of this prefix is there, of either version."""
    return prefix.with_name(f"{prefix.name}.index").is_file() or prefix.is_file()


def graph_variables(graph_def: Any) -> tuple[StoredVariable, ...]:
    """Return the variables of a graph, in file order, with the types and shapes it gives them."""
    found = []
    for node in graph_def.node:
        if node.op in VARIABLES:
            shape = node.attr["shape"].shape if "shape" in node.attr else None
            dims = None
            if shape is not None and not shape.unknown_rank:
                dims = tuple(d.size if d.size >= 0 else None for d in shape.dim)
            found.append(StoredVariable(node.name, dtype_name(node.attr["dtype"].type), dims))
    return tuple(found)
