"""Reads a slim checkpoint, in any of the forms that they are passed around in."""

from __future__ import annotations

import contextlib
import glob
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools.errors import InputError
from retrain_tools.graphdef.file_kind import TABLE_FOOTER
from retrain_tools.quiet_tensorflow import tf

_PART = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")  # of the files of a V2 checkpoint

# What the checkpoint reader raises beside TensorFlow's own errors; IndexError is a file cut off.
_REFUSALS = (IndexError, RuntimeError, ValueError)


@contextlib.contextmanager
def open_checkpoint(path: str) -> Iterator[Any]:
    """Yield TensorFlow's reader of a checkpoint.

    Args:
        path: a V2 prefix (or one of its files), a V1 file, a folder with a `checkpoint` file or
            with one checkpoint, or a `.tar.gz` that holds one, as slim's were published.

    Raises:
        InputError: there is no checkpoint, or more than one, or its files are damaged or missing.
    """
    with contextlib.ExitStack() as stack:
        place = Path(path)
        if place.is_file() and _is_gzip(place):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _unpack(Path(path), place)
        prefix = _prefix(place, path)
        try:
            reader = tf.train.load_checkpoint(prefix)
        except (*_REFUSALS, tf.errors.OpError) as error:
            raise _unreadable(path, error) from error
        yield reader


class CheckpointVariables(Mapping[str, npt.NDArray[Any]]):
    """A checkpoint's variables, each read when it is asked for: VGG's are half a gigabyte."""

    def __init__(self, reader: Any, names: dict[str, str], path: str) -> None:
        """Remember the open reader, the name to read each variable under, and the path."""
        self._reader, self._names, self._path = reader, names, path

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Read a variable.

        Raises:
            KeyError: there is none of that name.
            InputError: the checkpoint's data are damaged or cut off.
        """
        read_as = self._names[name]
        try:
            return np.asarray(self._reader.get_tensor(read_as))
        except (*_REFUSALS, tf.errors.OpError) as error:
            raise _unreadable(self._path, error) from error

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def holds_checkpoint(path: str) -> bool:
    """Tell from names and contents whether `path` is for `open_checkpoint`, damaged or not."""
    place = Path(path)
    if place.is_dir():
        names = {child.name for child in place.iterdir()}
        is_saved_model = names & {"saved_model.pb", "saved_model.pbtxt"}
        return not is_saved_model and any(map(_is_name_of_checkpoint, names))
    if not place.is_file():
        return place.with_name(f"{place.name}.index").is_file()
    if _is_gzip(place):
        try:
            with tarfile.open(place, "r:gz") as tar:
                return any(_is_name_of_checkpoint(Path(member.name).name) for member in tar)
        except (tarfile.TarError, EOFError, OSError, zlib.error):
            return False
    return _is_name_of_checkpoint(place.name) or _ends_like_a_table(place)


def checkpoint_files(path: str) -> list[Path]:
    """Return the files that a checkpoint is read from, in a fixed order.

    Raises:
        InputError: there is no checkpoint, or more than one.
    """
    place = Path(path)
    if place.is_file() and _is_gzip(place):
        return [place]
    prefix = Path(_prefix(place, path))
    parts = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*"))
    index = prefix.with_name(f"{prefix.name}.index")
    return [file for file in (prefix, index, *parts) if file.is_file()]


def _is_name_of_checkpoint(name: str) -> bool:
    return name == "checkpoint" or name.endswith(".ckpt") or _PART.search(name) is not None


def _ends_like_a_table(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, len(TABLE_FOOTER)), 2)
        return file.read() == TABLE_FOOTER


def _unreadable(path: str, error: Exception) -> InputError:
    reason = str(getattr(error, "message", error)).strip().splitlines()[0]
    return InputError(
        f"The checkpoint {path} cannot be read: {reason}. A V2 checkpoint takes its .index file "
        "and every .data file beside it; download or copy them again."
    )


def _prefix(place: Path, path: str) -> str:
    """Return what TensorFlow wants to hear for the checkpoint at or in `place`."""
    if place.name == "checkpoint" and place.is_file():  # it names the newest of its folder
        place = place.parent
    if place.is_dir():
        if latest := tf.train.latest_checkpoint(str(place)):
            return str(latest)
        found = sorted(_prefixes(place))
        if len(found) != 1:
            listed = f": {', '.join(Path(name).name for name in found)}; name one" if found else ""
            count = len(found) or "no"
            raise InputError(f"{path} holds {count} checkpoints{listed}.")
        return found[0]
    if _PART.search(place.name):
        return str(place.with_name(_PART.sub("", place.name)))
    if not place.exists() and not place.with_name(f"{place.name}.index").exists():
        raise InputError(f"No checkpoint at {path}: neither that file nor {path}.index is there.")
    return str(place)


def _prefixes(folder: Path) -> set[str]:
    indexes = {str(file.with_suffix("")) for file in folder.rglob("*.index")}
    return indexes | {str(file) for file in folder.rglob("*.ckpt") if file.is_file()}


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{archive} is no whole .tar.gz archive: {error}.") from error
