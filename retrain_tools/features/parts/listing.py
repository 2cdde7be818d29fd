"""The list of images, read piece by piece: a folder, a text file or a Parquet file."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import logging
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from retrain_tools import storage
from retrain_tools.errors import InputError, argument
from retrain_tools.extras import import_extra
from retrain_tools.features.parts.layout import Entry
from retrain_tools.features.parts.tables import LABEL
from retrain_tools.images.decode import EXTENSIONS
from retrain_tools.images.folders import counted_kinds
from retrain_tools.uris import is_uri, join, shown

log = logging.getLogger(__name__)

URI = "uri"
"""The column of a Parquet file that has the paths and URIs."""

_LONGEST_LINE = 1 << 16  # bytes: no path is longer; a file without lines is no list
_ROWS_AT_A_TIME = 4096


def shards_of(entries: Iterator[Entry], size: int) -> Iterator[tuple[int, list[Entry]]]:
    """Yield numbers from 0, and as many images as go together; the last ones may be fewer."""
    for number in itertools.count():
        if not (some := list(itertools.islice(entries, size))):
            return
        yield number, some


def listed_images(image_dir: str | None, image_list: str | None) -> Iterator[Entry]:
    """Return the images of a folder or of a list, as they are read.

    A folder is searched at any depth, its topmost folders are the labels. A list is a text file
    with a path or URI a line, or a Parquet file (`.parquet`) with a column `uri`, and perhaps
    `label`. What a list names twice is there twice.

    Raises:
        InputError: not one of both is given; the folder or list is not there, names no image, or is
            not as it should be, which may be found later.
    """
    if bool(image_dir) == bool(image_list):
        both = f"{argument('image_dir')} or {argument('image_list')}"
        raise InputError(f"Name images with {both}, with one of them.")
    if image_dir:
        return _at_least_one(_walked(image_dir), f"No images in {shown(image_dir)}.")
    where = f"{shown(str(image_list))} ({argument('image_list')})"
    with _reading(where):
        storage.stat(str(image_list))
    found = _of_parquet if _is_parquet(str(image_list)) else _of_text
    return _at_least_one(found(str(image_list), where), f"{where} names no images.")


def count_aside(image_dir: str | None, image_list: str | None) -> Callable[[], int | None]:
    """Count how many images a folder or list names, in a thread; return what tells, once it knows.

    What cannot be read is told where the images themselves are read.
    """
    found: list[int] = []

    def count() -> None:
        with contextlib.suppress(InputError, OSError):
            found.append(_count(image_dir, image_list))

    # A daemon: the job may end before.
    threading.Thread(target=count, daemon=True).start()
    return lambda: found[0] if found else None


def _count(image_dir: str | None, image_list: str | None) -> int:
    if image_dir:
        return sum(1 for _ in _images_below(image_dir, Counter()))
    with _opened(str(image_list), "") as file:
        if _is_parquet(str(image_list)):
            with _damage_of(""):
                return int(_parquet_file(file).metadata.num_rows)
        return sum(1 for line in file if line.strip())


def _at_least_one(entries: Iterator[Entry], otherwise: str) -> Iterator[Entry]:
    first = next(entries, None)
    if first is None:
        raise InputError(otherwise)
    return itertools.chain([first], entries)


def _walked(image_dir: str) -> Iterator[Entry]:
    if not is_uri(image_dir):
        if not Path(image_dir).exists():
            raise InputError(f"No such folder: {image_dir} ({argument('image_dir')})")
        if not Path(image_dir).is_dir():
            raise InputError(
                f"{image_dir} is a file; {argument('image_dir')} takes a folder of images."
            )
    others, found = Counter[str](), 0
    with _reading(f"{shown(image_dir)} ({argument('image_dir')})"):
        for entry in _images_below(image_dir, others):
            found += 1
            yield entry
    kinds = counted_kinds(others)
    if not found:
        ends = ", ".join(EXTENSIONS)
        there = f"; there are files of other kinds: {kinds}" if others else ""
        raise InputError(f"No images in {shown(image_dir)}: no file ends in {ends}{there}.")
    if others:
        count = others.total()
        log.info("%d file%s of other kinds left out: %s", count, "s" * (count > 1), kinds)


def _images_below(image_dir: str, others: Counter[str]) -> Iterator[Entry]:
    """Yield the images of a folder, and count files of other kinds."""
    start = join(image_dir, "")
    for stored in storage.walk(image_dir):
        relative = stored.uri.removeprefix(start)
        parts = relative.split("/")
        if any(part.startswith(".") for part in parts):
            continue
        if relative.lower().endswith(EXTENSIONS):
            label = parts[0] if len(parts) > 1 else ""
            yield Entry(stored.uri, label, stored.size, stored.version)
        else:
            others[Path(relative).suffix.lower() or "no extension"] += 1


def _of_text(path: str, where: str) -> Iterator[Entry]:
    with _opened(path, where) as file:
        is_first = True
        while line := file.readline(_LONGEST_LINE):
            line = line.removeprefix(codecs.BOM_UTF8) if is_first else line
            is_first = False
            if b"\0" in line or (len(line) == _LONGEST_LINE and not line.endswith(b"\n")):
                raise InputError(f"{where} is not a text file of paths.")
            if line.strip():
                yield Entry(os.fsdecode(line.rstrip(b"\r\n")))


def _of_parquet(path: str, where: str) -> Iterator[Entry]:
    with _opened(path, where) as file, _damage_of(where):
        opened = _parquet_file(file)
        names = opened.schema_arrow.names
        if URI not in names:
            raise InputError(f"{where} has no column {URI!r}, but {', '.join(names)}.")
        columns = [name for name in (URI, LABEL) if name in names]
        row = 0
        for batch in opened.iter_batches(_ROWS_AT_A_TIME, columns=columns):
            uris = batch.column(URI).to_pylist()
            labels = batch.column(LABEL).to_pylist() if LABEL in columns else [None] * len(uris)
            for uri, label in zip(uris, labels, strict=True):
                if not isinstance(uri, str) or not uri:
                    raise InputError(f"{where}: row {row} has no text in its column {URI!r}.")
                yield Entry(uri, "" if label is None else str(label))
                row += 1


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _parquet_file(file: BinaryIO) -> Any:
    return import_extra("pyarrow.parquet", "A list in a Parquet file").ParquetFile(file)


@contextlib.contextmanager
def _damage_of(where: str) -> Iterator[None]:
    arrow = import_extra("pyarrow", where)
    try:
        yield
    except (arrow.ArrowException, OSError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{where} is no Parquet file that can be read: {told}") from error


@contextlib.contextmanager
def _opened(path: str, where: str) -> Iterator[BinaryIO]:
    with _reading(where):
        file: BinaryIO
        if is_uri(path):
            file = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
            file.write(storage.read(path))
            file.seek(0)
        else:
            file = Path(path).open("rb")  # noqa: SIM115  (closed below)
    with file:
        yield file


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror or error}") from error
