"""The bottleneck cache: one text file per image, laid out as retrain.py did."""

from __future__ import annotations

import bisect
import dataclasses
import errno
import functools
import logging
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools import disk_space, files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.checksums import (
    add_checksum,
    checksum,
    checksums_path,
    read_checksums,
)
from retrain_tools.features.decimals import shortest_decimals
from retrain_tools.images.decode import EXTENSIONS, ImageError
from retrain_tools.images.folders import ImageFile

log = logging.getLogger(__name__)

Vector = npt.NDArray[np.float32]

IMAGE_ENDS = "|".join(map(re.escape, EXTENSIONS))
"""A pattern for the ends of the names of images."""

_IMAGES_LOOKED_AT_FOR_SUFFIX = 500
# What is wrong with one file's name or place; a full disk is wrong with all.
_OF_THIS_FILE = {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY}
# What a cache has beside the folders of the labels; the suffix goes into it.
_OWN_NAMES = (
    "manifest{}.json", "checksums{}.crc32", "failures{}.csv", "packed_bottlenecks{}.npy",
)  # fmt: skip
_BYTES_OF_CHECKSUM = 13  # in its line, beside the name of the image
_COMMA, _SPACE = ord(","), ord(" ")


class DamagedBottleneckError(Exception):
    """A cache file does not hold what it should; the message says what is wrong.

    Attributes:
        depth: how many numbers it holds, if they are sound, but more or fewer than they should be.
    """

    depth: int | None = None


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the values of a cache depend on; caches that differ in any of these must not be mixed.

    Attributes:
        fingerprint: SHA-256 over the nodes that the tensor is computed from.
        tensor: full name of the cached tensor.
        pooling: how a tensor of rank above 2 became a vector; `none` for a vector.
        preprocessing: see `GraphSpec.preprocessing`.
        precision: of the computation.
    """

    fingerprint: str
    tensor: str
    pooling: str
    preprocessing: dict[str, Any]
    precision: str = "float32"

    def differing(self, other: Identity) -> list[str]:
        """Return the names of the attributes that are not the same in the other."""
        names = [field.name for field in dataclasses.fields(self)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclasses.dataclass(frozen=True)
class Cache:
    """A folder of bottleneck files of one naming.

    Attributes:
        folder: the bottleneck folder.
        suffix: between image name and `.txt`: '' (2016), `_ARCHITECTURE` (2017), `_MODULE` (2018).
        depth: values per file.
    """

    folder: Path
    suffix: str
    depth: int

    def path(self, image: ImageFile) -> Path:
        """Return where the image's bottleneck file is, or would be: LABEL/IMAGE<suffix>.txt."""
        return self.folder / f"{image.relative}{self.suffix}.txt"

    def place(self, image: ImageFile) -> str:
        """Return what messages call the image's bottleneck file."""
        return str(self.path(image))

    def read(self, image: ImageFile) -> Vector | None:
        """Return the image's float32 [depth] values, or None if they are not cached.

        Raises:
            DamagedBottleneckError: the file is not `depth` finite numbers with commas between.
        """
        try:
            text = files.read_regular(self.path(image))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise DamagedBottleneckError(f"cannot be read: {error.strerror}") from error
        if not text.strip():
            raise DamagedBottleneckError("an empty file")
        if self._checksums.get(image.relative, checksum(text)) != checksum(text):
            raise DamagedBottleneckError("changed since it was written: its checksum is another")
        return of_depth(parse_bottleneck(text), self.depth)

    @functools.cached_property
    def _checksums(self) -> dict[str, int]:
        return read_checksums(checksums_path(self.folder, self.suffix))

    def holds_other_images(self, images: Sequence[ImageFile]) -> bool:
        """Whether there are files of this naming for other images than these."""
        name = re.compile(rf".+(?:{IMAGE_ENDS}){re.escape(self.suffix)}\.txt", re.IGNORECASE)
        own = {self.path(image) for image in images}
        files_there = (path for path in self.folder.rglob("*.txt") if name.fullmatch(path.name))
        return any(path not in own for path in files_there)

    def write(self, image: ImageFile, vector: Vector) -> None:
        """Write the image's bottleneck file in one step."""
        top, _, below = image.relative.partition("/")
        if below and top in [name.format(self.suffix) for name in _OWN_NAMES]:
            raise ImageError(f"its bottleneck file would be in the place of {self.folder / top}")
        log.debug("Creating bottleneck at %s", self.path(image))  # retrain.py's line
        try:
            text = format_bottleneck(vector)
            # First its checksum: so a run that is killed leaves no file that nothing vouches for.
            number = self._checksums[image.relative] = checksum(text.encode())
            add_checksum(checksums_path(self.folder, self.suffix), image.relative, number)
            files.write_text(self.path(image), text)
        except OSError as error:
            if error.errno not in _OF_THIS_FILE:
                raise
            reason = f"its bottleneck file cannot be written: {error.strerror}"
            raise ImageError(reason) from error

    def bytes_of_row(self, image: ImageFile, vector: Vector) -> int:
        """Return about how many bytes the image's file and its checksum take on disk."""
        text = disk_space.on_disk(len(format_bottleneck(vector)), self.folder)
        return text + len(image.relative) + _BYTES_OF_CHECKSUM

    def remove(self, images: Sequence[ImageFile]) -> None:
        """Remove the bottleneck files of images."""
        for image in images:
            self.path(image).unlink(missing_ok=True)


def of_depth(vector: Vector, depth: int) -> Vector:
    """Return a vector if it has `depth` values, else raise DamagedBottleneckError."""
    if len(vector) != depth:
        error = DamagedBottleneckError(f"{len(vector)} values instead of {depth}")
        error.depth = len(vector)
        raise error
    return vector


def format_bottleneck(vector: Vector) -> str:
    """Return the shortest decimals that read back to the same float32 values, comma-separated."""
    return shortest_decimals(np.ascontiguousarray(vector, np.float32))


def parse_bottleneck(text: bytes) -> Vector:
    """Return the float32 values of a bottleneck file's text.

    Raises:
        DamagedBottleneckError: something is not a number, or not a finite one.
    """
    characters = np.frombuffer(text, np.uint8)
    if characters.min(initial=255) <= _SPACE:  # fromstring takes more of these than it should
        return _parse_carefully(text)
    try:
        # The number behind tells whether all was read: where something is odd, reading ends early.
        vector = np.fromstring(text + b",0", np.float32, sep=",")[:-1]
    except (ValueError, DeprecationWarning):  # older NumPy warns
        return _parse_carefully(text)
    is_plain = len(vector) == np.count_nonzero(characters == _COMMA) + 1
    return vector if is_plain and np.isfinite(vector).all() else _parse_carefully(text)


def _parse_carefully(text: bytes) -> Vector:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            vector = np.array(text.split(b","), dtype=np.float32)
    except ValueError as error:
        raise DamagedBottleneckError("not comma-separated numbers") from error
    if not np.isfinite(vector).all():
        raise DamagedBottleneckError("a value that is not a finite number")
    return vector


def find_suffix(
    folder: Path, images: Sequence[ImageFile], preferred: str, others: Collection[str] = ()
) -> str:
    """Return the naming that the bottleneck folder uses already, else `preferred`.

    Besides those of text files there may be `others`.

    Raises:
        InputError: there are files of several namings and none of them is the preferred one.
    """
    found = set(others)
    listings: dict[Path, list[str]] = {}
    known = {image.relative for image in images}
    for image in images[:: max(1, len(images) // _IMAGES_LOOKED_AT_FOR_SUFFIX)]:
        parent = (folder / image.relative).parent
        if parent not in listings:
            listings[parent] = sorted(os.listdir(parent)) if parent.is_dir() else []  # noqa: PTH208
        own = Path(image.relative).name
        names = listings[parent]
        for name in names[bisect.bisect_left(names, own) :]:
            if not name.startswith(own):
                break
            rest = name.removeprefix(own)
            # `1.jpg.png.txt` is not a file of `1.jpg` where there is an image `1.jpg.png`.
            longer = any(f"{image.relative}{rest[:end]}" in known for end in range(1, len(rest)))
            if rest.endswith(".txt") and not longer:
                found.add(rest.removesuffix(".txt"))
    return preferred if preferred in found or not found else the_naming(folder, found)


def the_naming(folder: Path, found: Collection[str]) -> str:
    """Return the one naming of a bottleneck folder, or raise InputError if it has several."""
    if len(found) > 1:
        raise InputError(
            f"{folder} holds bottlenecks of several namings: {sorted(found)}. "
            f"Choose one with {argument('bottleneck_suffix')}."
        )
    return next(iter(found))
