"""TensorFlow's checkpoints of both versions, read without TensorFlow."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.graphdef.dtypes import dtype_name
from retrain_tools.sources.checkpoints.bundle import read_index
from retrain_tools.sources.checkpoints.stored import Array, Ranges
from retrain_tools.sources.checkpoints.table import DamageError
from retrain_tools.sources.checkpoints.version_1 import read_files
from retrain_tools.sources.kinds import (
    Kind,
    Place,
    checkpoint_files,
    checkpoint_name,
    kind_of,
)
from retrain_tools.sources.messages import parse_text

_STATE = "checkpoint"  # the file that names the newest one
_SHARD = re.compile(r".+-(\d{5})-of-(\d{5})")
_LISTED = 12


class Checkpoint:
    """An open checkpoint.

    Attributes:
        prefix: what its files' names begin with; of version 1 mostly the file itself.
        shapes: the shape of each array by its key, in alphabetical order.
        dtypes: TensorFlow's name of the type of each.
    """

    def __init__(self, place: Place) -> None:
        """Open the checkpoint at a place, see `checkpoint_prefix`; no array is read.

        Raises:
            InputError: there is no checkpoint, or its files are damaged or missing.
        """
        self.prefix = checkpoint_prefix(place)
        with self._reported():
            if self._index().is_file():
                found = read_index(self.prefix.path)
            else:
                found = read_files(_complete(self.files(), self.prefix))
        self._arrays = {key: found[key] for key in sorted(found)}
        self.shapes = {key: stored.shape for key, stored in self._arrays.items()}
        self.dtypes = {key: dtype_name(stored.dtype) for key, stored in self._arrays.items()}

    def read(self, key: str, part: Ranges | None = None) -> Array:
        """Read an array.

        Args:
            key: one of `shapes`.
            part: (first, count) along each axis of the array; None for all of it.

        Raises:
            InputError: the checkpoint's data are damaged or cut off.
        """
        with self._reported():
            return self._arrays[key].read(part)

    def files(self) -> list[Path]:
        """Return the files that the checkpoint is read from, in a fixed order."""
        return checkpoint_files(self.prefix.path)

    def _index(self) -> Path:
        return self.prefix.path.with_name(f"{self.prefix.path.name}.index")

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (DamageError, OSError, MemoryError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            reason = said or "it takes more memory than there is"
            takes = "A V2 checkpoint takes its .index file and every .data file beside it"
            if not self._index().is_file():
                takes = "A V1 checkpoint takes all of its files"
            raise InputError(
                f"The checkpoint {self.prefix} cannot be read: {reason}. "
                f"{takes}; download or copy them again."
            ) from error


def _complete(files: list[Path], prefix: Place) -> list[Path]:
    """Return the files of a V1 checkpoint if none is missing.

    Raises:
        DamageError: one is.
    """
    shards = [found for file in files if (found := _SHARD.fullmatch(file.name))]
    counts = {found[2] for found in shards}
    if len(counts) > 1:
        raise DamageError(f"there are files of {' and of '.join(sorted(counts))}")
    there = {file.name for file in files}
    for count in counts:
        for number in range(int(count)):
            name = f"{prefix.path.name}-{number:05}-of-{count}"
            if name not in there:
                raise DamageError(f"{name} is missing")
    return files


def checkpoint_prefix(place: Place) -> Place:
    """Return the prefix that a checkpoint is known to TensorFlow by.

    Args:
        place: a V2 prefix or one of its files, a V1 file or prefix, a folder with a `checkpoint`
            file that names the newest one, or with one checkpoint.

    Raises:
        InputError: there is no checkpoint, or more than one.
    """
    if place.path.name == _STATE and place.path.is_file():
        place = place.parent
    if place.path.is_dir():
        newest = _newest(place)
        if newest is not None:
            return newest
        found = sorted(_prefixes(place.path))
        if len(found) != 1:
            names = ", ".join(Path(name).name for name in found[:_LISTED])
            listed = f": {names}; name one" if found else ""
            raise InputError(f"{place} holds {len(found) or 'no'} checkpoints{listed}.")
        return place / found[0]
    prefix = place.with_name(checkpoint_name(place.path.name))
    if not checkpoint_files(prefix.path) and not place.path.exists():
        raise InputError(f"No checkpoint at {place}: neither that file nor {place}.index is there.")
    return prefix


def _newest(folder: Place) -> Place | None:
    """Return the checkpoint that the folder's `checkpoint` file names, if it is in the folder."""
    state = folder / _STATE
    if not state.path.is_file():
        return None
    try:
        said = parse_text(state.path.read_bytes(), schema.CheckpointState, state, "a list")
    except InputError:
        return None
    name = checkpoint_name(Path(said.model_checkpoint_path).name)
    newest = folder / name
    return newest if name and checkpoint_files(newest.path) else None


def _prefixes(folder: Path) -> set[str]:
    found = set()
    for file in folder.rglob("*"):
        is_named = file.suffix in (".index", ".ckpt")
        if file.is_file() and (is_named or (_SHARD.fullmatch(file.name) and _is_one(file))):
            found.add(str(file.with_name(checkpoint_name(file.name)).relative_to(folder)))
    return found


def _is_one(file: Path) -> bool:
    try:
        return kind_of(file) is Kind.CHECKPOINT
    except InputError:
        return False
