"""Features of a store packed into one memory-mapped matrix, for trainings on any number of images.

packed_STORE.npy is an .npy of float32 [N, depth], which NumPy maps, and behind it the names of the
images, where each begins, the number of each one's label, and a record in JSON of what it is a copy
of. It is written in constant memory, and again when the store has changed.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Vector
from retrain_tools.features.row_index import npy_header
from retrain_tools.features.streamed import Piece, Stored
from retrain_tools.progress import progress
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

_FORMAT = 1
_END = struct.Struct("<8sQ")  # mark, bytes of the record before it
_MARK = b"RTpack1\n"
_ALIGNED = 64  # bytes, so that numbers are mapped as NumPy likes them
_NAMES_AT_ONCE = 4096
_FAILURES_NAMED = 100


class Names(Sequence[str]):
    """Names of images in a mapped file: what is read of them is not kept."""

    def __init__(self, text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> None:
        """Take the text of all names, and where each begins and the last one ends."""
        self._text, self._starts = text.data, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        start, stop = self._starts[place], self._starts[place + 1]
        return bytes(self._text[start:stop]).decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _NAMES_AT_ONCE):
            starts = self._starts[first : first + _NAMES_AT_ONCE + 1].tolist()
            text = bytes(self._text[starts[0] : starts[-1]])
            for start, stop in itertools.pairwise(starts):
                yield text[start - starts[0] : stop - starts[0]].decode("utf-8", "surrogateescape")


class PackedRecord(NamedTuple):
    """What a packed matrix is a copy of.

    Attributes:
        stamp: of the store, see `Stored`.
        tensor: whose vectors they are.
        names: all tensors of the store.
        depth: values of a vector.
        labels: those that images have, in the order in which they came.
        rows: how many there are.
        failed: why some rows were left out, by the image; the first of them.
        left_out: how many.
        text_bytes: of all names.
    """

    stamp: str
    tensor: str
    names: list[str]
    depth: int
    labels: list[str]
    rows: int
    failed: dict[str, str]
    left_out: int
    text_bytes: int


@dataclasses.dataclass(frozen=True)
class PackedFeatures:
    """Features in a mapped file.

    Attributes:
        path: the file.
        record: what they are.
        vectors: float32 [N, depth], mapped.
        images: the image of each row.
        labels: int32 [N], places in `record.labels`; -1 for an image without, mapped.
    """

    path: Path
    record: PackedRecord
    vectors: Vector
    images: Names
    labels: npt.NDArray[np.int32]

    @property
    def digest(self) -> str:
        """Another one where any of it is another."""
        return f"{self.record.stamp} {self.record.tensor}"


def packed_features_path(folder: Path, place: str) -> Path:
    """Return where the packed copy of a store is kept."""
    return folder / f"packed_{place.rstrip('/').rpartition('/')[2]}.npy"


def packed_features(folder: Path, stored: Stored, tensor: str) -> PackedFeatures:
    """Return the vectors of a tensor, packed now if they are not there as they should be.

    Raises:
        InputError: the store cannot be read, or its values are no vectors.
        OSError: the packed copy cannot be written.
    """
    path = packed_features_path(folder, stored.place)
    found = read_packed_features(path)
    if found is not None and (found.record.stamp, found.record.tensor) == (stored.stamp, tensor):
        log.info("packed already: %s", _described(found))
        return found
    started = time.monotonic()
    _pack(path, stored, tensor)
    found = read_packed_features(path)
    if found is None:
        raise InputError(f"{path} cannot be read, though it was just written: is the disk sound?")
    log.info("packed in %.1f s: %s", time.monotonic() - started, _described(found))
    return found


def _described(packed: PackedFeatures) -> str:
    record = packed.record
    return f"{counted(record.rows, 'vector')} of {record.depth:,} values: {packed.path}"


def read_packed_features(path: Path) -> PackedFeatures | None:
    """Map a packed copy; None where there is none that is whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - _END.size))
            mark, record_bytes = _END.unpack(file.read(_END.size))
            if mark != _MARK or record_bytes > size - _END.size:
                raise ValueError
            file.seek(size - _END.size - record_bytes)
            told = json.loads(file.read(record_bytes))
            if told.pop("format") != _FORMAT:
                raise ValueError
            record = PackedRecord(**told)
            header = npy_header(record.rows, record.depth)
            file.seek(0)
            if file.read(len(header)) != header:
                raise ValueError
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        log.info("damaged, or no packed copy, and made again: %s", path)
        return None
    text = len(header) + record.rows * record.depth * 4
    starts = _aligned(text + record.text_bytes)
    labels = starts + 8 * (record.rows + 1)
    if labels + 4 * record.rows != size - _END.size - record_bytes:
        log.info("damaged, and made again: %s", path)
        return None

    def mapped(kind: str, start: int, *shape: int) -> Any:
        if not all(shape):
            return np.zeros(shape, kind)
        return np.memmap(path, kind, "r", start, shape)

    names = Names(mapped("u1", text, record.text_bytes), mapped("<i8", starts, record.rows + 1))
    vectors = mapped("<f4", len(header), record.rows, record.depth)
    return PackedFeatures(path, record, vectors, names, mapped("<i4", labels, record.rows))


def _aligned(place: int) -> int:
    return -(-place // _ALIGNED) * _ALIGNED


def _pack(path: Path, stored: Stored, tensor: str) -> None:
    """Write the packed copy of a tensor, a piece of the store at a time."""
    names = stored.names()
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("packing %r of %s into %s", tensor, stored.place, path)
    with (
        files.replacing(path) as file,
        tempfile.TemporaryFile(dir=path.parent) as text,
        tempfile.TemporaryFile(dir=path.parent) as numbers,
    ):
        writer = _Writer(file, text, numbers)
        with progress(None, "vectors") as advance:
            for piece in stored.pieces(tensor):
                writer.add(piece, stored.place, tensor)
                advance(len(piece.images))
        writer.end(stored.stamp, tensor, names)
        file.flush()
        os.fsync(file.fileno())


class _Writer:
    """Writes the pieces of a store one after the other."""

    def __init__(self, file: IO[bytes], text: IO[bytes], numbers: IO[bytes]) -> None:
        self._file, self._text, self._numbers = file, text, numbers
        self._depth = 0
        self._count = self._text_bytes = self._left_out = 0
        self._labels: dict[str, int] = {"": -1}
        self._failed: dict[str, str] = {}

    def add(self, piece: Piece, place: str, tensor: str) -> None:
        """Write the rows of a piece whose values are finite numbers.

        Raises:
            InputError: the values of an image are no vector, or of another length.
        """
        shape = piece.values.shape[1:]
        if len(shape) != 1 or not shape[0]:
            raise InputError(
                f"{tensor!r} in {place} has values of shape {list(shape)} for each image; a layer "
                f"is trained on vectors. Fetch it with {argument('pooling')}=avg, or name another "
                f"with {argument('features_tensor')}."
            )
        if not self._depth:
            self._depth = shape[0]
            self._file.write(npy_header(0, self._depth))
        if shape[0] != self._depth:
            raise InputError(
                f"{place} has vectors of {self._depth} values, and of {shape[0]} from "
                f"{piece.images[0]} on: they were made by two graphs or from two tensors."
            )
        good = np.asarray(np.isfinite(piece.values).all(axis=1))
        values = piece.values if good.all() else piece.values[good]
        self._file.write(np.ascontiguousarray(values, "<f4").data)
        for image, label, is_good in zip(piece.images, piece.labels, good.tolist(), strict=True):
            if is_good:
                name = image.encode("utf-8", "surrogateescape")
                number = self._labels.setdefault(label, len(self._labels) - 1)
                self._numbers.write(struct.pack("<qi", self._text_bytes, number))
                self._text.write(name)
                self._text_bytes += len(name)
                self._count += 1
            else:
                self._left_out += 1
                if len(self._failed) < _FAILURES_NAMED:
                    self._failed[image] = "a value that is not a finite number"

    def end(self, stamp: str, tensor: str, names: list[str]) -> None:
        """Write all that stands behind the matrix, and its number of rows before it."""
        file = self._file
        if not self._depth:
            file.write(npy_header(0, 0))
        self._text.seek(0)
        shutil.copyfileobj(self._text, file)
        file.write(bytes(_aligned(file.tell()) - file.tell()))
        for column, last in (("start", self._text_bytes), ("label", None)):
            for piece in self._pieces_of_numbers():
                file.write(np.ascontiguousarray(piece[column]).data)
            if last is not None:
                file.write(struct.pack("<q", last))
        del self._labels[""]
        record = PackedRecord(
            stamp, tensor, names, self._depth, list(self._labels), self._count, self._failed,
            self._left_out, self._text_bytes,
        )  # fmt: skip
        told = json.dumps({"format": _FORMAT, **record._asdict()}).encode()
        file.write(told + _END.pack(_MARK, len(told)))
        file.seek(0)
        file.write(npy_header(self._count, self._depth))

    def _pieces_of_numbers(self) -> Iterator[npt.NDArray[Any]]:
        kind = np.dtype([("start", "<i8"), ("label", "<i4")])
        self._numbers.seek(0)
        while data := self._numbers.read(kind.itemsize * _NAMES_AT_ONCE):
            yield np.frombuffer(data, kind)
