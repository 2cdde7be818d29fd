"""Rows of several tensors on disk, one row per image, in the order in which they were computed.

A job that is stopped, even killed, finds again what it had written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from retrain_tools import files
from retrain_tools.images.batches import file_of

Row = list[npt.NDArray[np.float32]]
Shape = tuple[int, ...]

_ITEM_BYTES = 4  # float32


@dataclasses.dataclass(frozen=True)
class Source:
    """An image file as it was when its row was computed.

    Attributes:
        path: the file, or the name of an image in a batch, of which the rest is about its file.
        bytes: its size.
        modified_ns: when it was written.
        label: the folder that is its class, or ''; the same file under another label is the same.
    """

    path: str
    bytes: int
    modified_ns: int
    label: str = dataclasses.field(default="", compare=False)

    @classmethod
    def of(cls, path: str, label: str = "") -> Source:
        """Look at a file; one that is missing has 0 bytes and is never known."""
        try:
            status = file_of(path).stat()
        except OSError:
            return cls(path, 0, 0, label)
        return cls(path, status.st_size, status.st_mtime_ns, label)

    def as_json(self) -> str:
        """Return the arguments that make it, as a list in JSON."""
        known = (self.path, self.bytes, self.modified_ns)
        return json.dumps((*known, self.label) if self.label else known)


class RowFiles:
    """An open folder of rows: `N.rows` for tensor N, and `sources`, a line for each row.

    Reading and writing go through files, not memory maps, so that rows do not count as the
    process's memory. Not safe for use from several threads at once.
    """

    def __init__(self, folder: Path, shapes: Sequence[Shape]) -> None:
        """Open the folder, of these rows alone, or make it; a row only half written is dropped.

        The `shapes` are those of each tensor's values for one image.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.shapes = [tuple(shape) for shape in shapes]
        self._row_bytes = [math.prod(shape) * _ITEM_BYTES for shape in shapes]
        self._files = [_open(folder / f"{index}.rows") for index in range(len(shapes))]
        self._sources = _open(folder / "sources")
        self._rows = self._recover()

    def _recover(self) -> dict[Source, int]:
        whole = min(
            os.fstat(file.fileno()).st_size // count if count else 1 << 62
            for file, count in zip(self._files, self._row_bytes, strict=True)
        )
        rows: dict[Source, int] = {}
        self._listed = 0  # bytes of `sources` that are whole lines
        for number, line in enumerate(self._sources):
            if number == whole or not line.endswith(b"\n"):
                break
            try:
                rows[Source(*files.json_of(line))] = number
            except (ValueError, TypeError):  # where the power failed there may be anything
                break
            self._listed += len(line)
        self._sources.truncate(self._listed)
        for file, count in zip(self._files, self._row_bytes, strict=True):
            file.truncate(len(rows) * count)
        return rows

    def __contains__(self, source: Source) -> bool:
        return source in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._rows)

    @property
    def bytes_of_row(self) -> int:
        """How many bytes of values an image has."""
        return sum(self._row_bytes)

    def append(self, source: Source, row: Row) -> None:
        """Write the row of an image that has none yet.

        Raises:
            OSError: it cannot be written; the error names the folder.
        """
        with files.naming(self.folder):
            self._append(source, row)

    def _append(self, source: Source, row: Row) -> None:
        number = len(self._rows)
        for file, count, values in zip(self._files, self._row_bytes, row, strict=True):
            file.seek(number * count)  # not the end: a disk that was full took half of a row
            file.write(np.ascontiguousarray(values, np.float32).tobytes())
            file.flush()
        # The line comes last: what it names is there.
        line = source.as_json().encode() + b"\n"
        self._sources.seek(self._listed)
        self._sources.write(line)
        self._sources.flush()
        self._listed += len(line)
        self._rows[source] = number

    def read(self, tensor: int, sources: Sequence[Source]) -> npt.NDArray[np.float32]:
        """Return one tensor's rows of some images, float32 [len(sources), *shape]."""
        shape, count = self.shapes[tensor], self._row_bytes[tensor]
        result = np.empty((len(sources), *shape), np.float32)
        file = self._files[tensor]
        for place, source in enumerate(sources):
            file.seek(self._rows[source] * count)
            values = np.frombuffer(file.read(count), np.float32)
            result[place] = values.reshape(shape)
        return result

    def close(self) -> None:
        """Close the files; they stay where they are."""
        for file in (*self._files, self._sources):
            # All that counts is flushed; what a full disk did not take is tried once more here.
            with contextlib.suppress(OSError):
                file.close()

    def delete(self) -> None:
        """Close and remove the files."""
        self.close()
        for name in [*(f"{index}.rows" for index in range(len(self._files))), "sources"]:
            (self.folder / name).unlink(missing_ok=True)


def _open(path: Path) -> BinaryIO:
    path.touch()
    return path.open("r+b")
