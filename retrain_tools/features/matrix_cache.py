"""The bottleneck cache as one matrix: bottlenecks<suffix>.npy, which NumPy maps, and .index.

A row is written first and named in the index after that, in one piece with a checksum of the row.
So a run that is killed, or a power cut, leaves at most a row that nobody names, or one whose
checksum shows that it never reached the disk. Who appends holds bottlenecks<suffix>.lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock
import numpy as np

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import DamagedBottleneckError, Vector
from retrain_tools.features.packed import Loaded
from retrain_tools.features.row_index import (
    Block,
    block_bytes,
    checksum,
    is_index,
    npy_header,
    read_blocks,
    read_rows,
    sound,
)
from retrain_tools.images.folders import ImageFile

log = logging.getLogger(__name__)

_STEM = "bottlenecks"
_ROWS_AT_ONCE = 256


def matrix_namings(folder: Path) -> list[str]:
    """Return the namings of which a folder has a matrix, sorted."""
    found = (path.name for path in folder.glob(f"{_STEM}*.index"))
    suffixes = sorted(name.removeprefix(_STEM).removesuffix(".index") for name in found)
    return [suffix for suffix in suffixes if has_matrix(folder, suffix)]


def has_matrix(folder: Path, suffix: str) -> bool:
    """Whether a folder has a matrix of a naming."""
    return is_index(_index(folder, suffix))


def _index(folder: Path, suffix: str) -> Path:
    return folder / f"{_STEM}{suffix}.index"


class MatrixCache:
    """The bottlenecks of one naming in one matrix, of which each image has a row.

    Several processes may use it at once, and one thread of each.

    Attributes:
        folder: the bottleneck folder.
        suffix: the naming.
        depth: values per row; 0 stands for what the matrix has, and stays where there is none.
        path: the matrix, float32 [N, depth].
    """

    def __init__(self, folder: Path, suffix: str, depth: int) -> None:
        """Look at what is there; nothing is written."""
        self.folder, self.suffix = folder, suffix
        self.path = folder / f"{_STEM}{suffix}.npy"
        self._index = _index(folder, suffix)
        self._lock = filelock.FileLock(folder / f"{_STEM}{suffix}.lock")
        self._forget()
        self._catch_up()
        self.depth = depth or self._depth or 0

    def _forget(self) -> None:
        self._number = 0  # of the index file, which may be made anew
        self._end = 0  # bytes of the index that are whole blocks
        self._is_damaged = False  # whether there is more
        self._depth: int | None = None  # which the index says
        self._count = 0  # rows of the matrix that the index tells of
        self._rows: dict[str, tuple[int, int]] = {}  # row and checksum

    def _catch_up(self) -> None:
        """Read what the index has got since."""
        try:
            with self._index.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._number or status.st_size < self._end:
                    self._forget()
                    self._number = status.st_ino
                file.seek(self._end)
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            self._forget()
            return
        depth, blocks, end = read_blocks(data)
        if depth is not None and self._depth not in (None, depth):
            blocks, end = [], 0
        self._depth = self._depth or depth
        for block in blocks:
            self._learn(block)
        self._end += end
        self._is_damaged = end < len(data)

    def _learn(self, block: Block) -> None:
        for name, row, check in zip(
            block.names, block.rows.tolist(), block.checksums.tolist(), strict=True
        ):
            if row < 0:
                self._rows.pop(name, None)
            else:
                self._rows[name] = (row, check)
                self._count = max(self._count, row + 1)

    def place(self, image: ImageFile) -> str:
        """Return what messages call the row of an image."""
        return f"{image.relative} in {self.path}"

    def images(self) -> list[ImageFile]:
        """Return the images that have rows, sorted, by their paths below the folder."""
        return [ImageFile(name, name) for name in sorted(self._rows)]

    def holds_other_images(self, images: Sequence[ImageFile]) -> bool:
        """Whether there are rows of other images than these."""
        return not self._rows.keys() <= {image.relative for image in images}

    def read(self, image: ImageFile) -> Vector | None:
        """Return the image's float32 [depth] values, or None if they are not cached.

        Raises:
            DamagedBottleneckError: they are not what was written, or of another depth.
        """
        vectors = np.zeros((1, self.depth), np.float32)
        loaded = self.load([image], vectors)
        if loaded.wrong:
            raise loaded.wrong[0]
        return vectors[0] if loaded.good[0] else None

    def load(self, images: Sequence[ImageFile], vectors: Vector | None = None) -> Loaded:
        """Read the rows of images, as `load_texts` reads files."""
        self._catch_up()
        good = [False] * len(images)
        wrong: dict[int, DamagedBottleneckError] = {}
        there = [place for place, image in enumerate(images) if image.relative in self._rows]
        if self._depth != self.depth:
            wrong = {place: self._of_other_depth() for place in there}
            there = []
        scratch = np.zeros((_ROWS_AT_ONCE if vectors is None else 0, self.depth), np.float32)
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self.path.open("rb", buffering=0)) if there else None
            except FileNotFoundError:
                file = None
            start = len(npy_header(0, self.depth))
            for first in range(0, len(there), _ROWS_AT_ONCE):
                some = np.array(there[first : first + _ROWS_AT_ONCE])
                known = np.array([self._rows[images[place].relative] for place in some], np.int64)
                into, at = (scratch, np.arange(len(some))) if vectors is None else (vectors, some)
                whole = np.zeros(len(some), bool)
                if file is not None:
                    whole = read_rows(file, start, known[:, 0], into, at)
                    whole &= sound(into, at, known[:, 1])
                for place, is_whole in zip(some.tolist(), whole.tolist(), strict=True):
                    good[place] = is_whole
                    if not is_whole:
                        wrong[place] = DamagedBottleneckError("not the values that were written")
                        if vectors is not None:
                            vectors[place] = 0
        return Loaded(good, wrong, np.full((len(images), 4), -1))

    def _of_other_depth(self) -> DamagedBottleneckError:
        error = DamagedBottleneckError(f"{self._depth} values instead of {self.depth}")
        error.depth = self._depth
        return error

    def write(self, image: ImageFile, vector: Vector) -> None:
        """Append the image's row; an earlier one counts no more.

        Raises:
            InputError: see `check`.
            OSError: the row cannot be written; then there is none.
        """
        log.debug("Creating bottleneck at %s", self.place(image))
        with self._appending():
            row = self._count
            data = np.ascontiguousarray(vector, "<f4").tobytes()
            header = npy_header(row + 1, self.depth)
            with files.naming(self.path):
                self.path.touch()
                with self.path.open("r+b") as file:
                    file.seek(len(header) + row * len(data))
                    file.write(data)
                    file.flush()
                    self._append([image.relative], row, checksum(vector))
                    file.seek(0)
                    file.write(header)

    def bytes_of_row(self, image: ImageFile, vector: Vector) -> int:
        """Return how many bytes the image's row and its part of the index take."""
        return vector.nbytes + len(block_bytes(self.depth, _block([image.relative], 0, 0)))

    def remove(self, images: Sequence[ImageFile]) -> None:
        """Let images have no rows any more; what they held stays in the matrix, and counts not."""
        with self._appending():
            self._append([image.relative for image in images], -1, 0)

    @contextlib.contextmanager
    def _appending(self) -> Iterator[None]:
        """Hold the lock, knowing what other processes have appended; make the index if need be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._catch_up()
            self.check()
            if self._depth != self.depth:
                with files.replacing(self._index) as file:
                    file.write(block_bytes(self.depth, _block([], -1, 0)))
                self._forget()
                self._catch_up()
            yield

    def check(self) -> None:
        """Raise InputError if a file of another program has the name of the matrix or its index."""
        for path in (self._index, self.path):
            if not self._end and path.exists():
                raise InputError(
                    f"{path} is not of a cache of this program, or damaged: {self._index.name} has "
                    f"to say what the rows of {self.path.name} are. Remove it, or use another "
                    f"{argument('bottleneck_dir')} or another {argument('bottleneck_suffix')}."
                )

    def _append(self, names: list[str], row: int, check: int) -> None:
        block = _block(names, row, check)
        data = block_bytes(self.depth, block)
        with files.naming(self._index), self._index.open("r+b") as file:
            if self._is_damaged:  # a run was stopped in the middle of a block, or a disk was full
                file.truncate(self._end)
            file.seek(self._end)
            self._is_damaged = True  # until all of it is there
            file.write(data)
            file.flush()
        self._is_damaged = False
        self._end += len(data)
        self._learn(block)


def _block(names: list[str], row: int, check: int) -> Block:
    of_each = np.ones(len(names), np.int64)
    return Block(names, row * of_each, check * of_each, np.zeros((len(names), 4), np.int64))
