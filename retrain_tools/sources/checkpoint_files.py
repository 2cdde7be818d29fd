"""TensorFlow's checkpoints on disk: which files one consists of, and reading its arrays."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.quiet_tensorflow import tf
from retrain_tools.sources.kinds import Place, checkpoint_name

# What the checkpoint reader raises beside TensorFlow's own errors; IndexError is a file cut off.
_REFUSALS = (IndexError, RuntimeError, ValueError)


class Checkpoint:
    """An open checkpoint.

    Attributes:
        prefix: its prefix (version 2) or file (version 1).
        shapes: the shape of each array by its key, in alphabetical order.
        dtypes: TensorFlow's name of the type of each.
    """

    def __init__(self, place: Place) -> None:
        """Open the checkpoint at a place; see `checkpoint_prefix`.

        Raises:
            InputError: there is no checkpoint, or its files are damaged or missing.
        """
        self.prefix = checkpoint_prefix(place)
        try:
            self._reader = tf.train.load_checkpoint(str(self.prefix.path))
        except (*_REFUSALS, tf.errors.OpError) as error:
            raise self._unreadable(error) from error
        shapes = self._reader.get_variable_to_shape_map()
        dtypes = self._reader.get_variable_to_dtype_map()
        self.shapes = {key: tuple(shapes[key]) for key in sorted(shapes)}
        self.dtypes = {key: str(dtypes[key].name) for key in self.shapes}

    def read(self, key: str, part: Sequence[tuple[int, int]] | None = None) -> npt.NDArray[Any]:
        """Read an array.

        Args:
            key: one of `shapes`.
            part: (first, count) along each axis of the array; None for all of it.

        Raises:
            InputError: the checkpoint's data are damaged or cut off.
        """
        try:
            if part is None:
                value = self._reader.get_tensor(key)
                # An array of bytes would lose the zeros at their end.
                return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)
            return self._read_part(key, part)
        except (*_REFUSALS, tf.errors.OpError) as error:
            raise self._unreadable(error) from error

    def _read_part(self, key: str, part: Sequence[tuple[int, int]]) -> npt.NDArray[Any]:
        """Read a slice with the op that Savers use: readers refuse slices of V1 checkpoints."""
        sizes = " ".join(map(str, self.shapes[key]))
        ranges = ":".join(f"{first},{count}" for first, count in part)
        with tf.init_scope():  # eager, also while a graph is being built
            (value,) = tf.raw_ops.RestoreV2(
                prefix=str(self.prefix.path),
                tensor_names=[key],
                shape_and_slices=[f"{sizes} {ranges}"],
                dtypes=[self.dtypes[key]],
            )
            return np.asarray(value.numpy())

    def files(self) -> list[Path]:
        """Return the files that the checkpoint is read from, in a fixed order."""
        prefix = self.prefix.path
        parts = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*"))
        index = prefix.with_name(f"{prefix.name}.index")
        return [file for file in (prefix, index, *parts) if file.is_file()]

    def _unreadable(self, error: Exception) -> InputError:
        path, named = str(self.prefix.path), str(self.prefix)
        reason = str(getattr(error, "message", error)).strip().splitlines()[0]
        if path != named and path in reason:  # where an archive was unpacked to
            reason = "its data are damaged, cut off or missing"
        return InputError(
            f"The checkpoint {named} cannot be read: {reason}. A V2 checkpoint takes its .index "
            "file and every .data file beside it; download or copy them again."
        )


def checkpoint_prefix(place: Place) -> Place:
    """Return the prefix that a checkpoint is known to TensorFlow by.

    Args:
        place: a V2 prefix or one of its files, a V1 file, a folder with a `checkpoint` file that
            names the newest one, or with one checkpoint.

    Raises:
        InputError: there is no checkpoint, or more than one.
    """
    if place.path.name == "checkpoint" and place.path.is_file():
        place = place.parent
    if place.path.is_dir():
        if latest := tf.train.latest_checkpoint(str(place.path)):
            return place / Path(latest).name
        indexes = [file.with_suffix("") for file in place.path.rglob("*.index")]
        files = [file for file in place.path.rglob("*.ckpt") if file.is_file()]
        found = sorted({str(prefix.relative_to(place.path)) for prefix in (*indexes, *files)})
        if len(found) != 1:
            listed = f": {', '.join(Path(name).name for name in found)}; name one" if found else ""
            raise InputError(f"{place} holds {len(found) or 'no'} checkpoints{listed}.")
        return place / found[0]
    prefix = place.with_name(checkpoint_name(place.path.name))
    if not checkpoint_there(prefix.path) and not place.path.exists():
        raise InputError(f"No checkpoint at {place}: neither that file nor {place}.index is there.")
    return prefix


def checkpoint_there(prefix: Path) -> bool:
    """Tell whether a checkpoint of this prefix is there, of either version."""
    return prefix.with_name(f"{prefix.name}.index").is_file() or prefix.is_file()
