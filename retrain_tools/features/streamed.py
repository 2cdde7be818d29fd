"""Features of any store as a stream: images, labels and vectors, a few megabytes at a time.

What `fetch_tensors` wrote is read a piece at a time, and what `fetch_many` wrote a part at a time.
A pickle, and what another program wrote, is read in one piece.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools import storage
from retrain_tools.errors import InputError, argument
from retrain_tools.extras import import_extra
from retrain_tools.features.cache import Identity
from retrain_tools.features.fetch_record import MadeBy, read_made_by
from retrain_tools.features.parts.reading import (
    are_parts,
    finished_parts,
    read_parts,
    read_parts_made,
)
from retrain_tools.features.read_features import is_features_file, read_features
from retrain_tools.features.row_index import stamp_of
from retrain_tools.features.stores import DAMAGE, FORMATS
from retrain_tools.features.stores.table import IMAGES, LABELS, TEXTS_AT_ONCE, Column, Texts


class Piece(NamedTuple):
    """Some rows: the image and label ('' without one) of each, and float32 [n, ...]."""

    images: Sequence[str]
    labels: Sequence[str]
    values: npt.NDArray[np.float32]


class Stored(NamedTuple):
    """A store of features.

    Attributes:
        place: where it is, as messages say it.
        stamp: another one where anything of it changed.
        identities: what each tensor's values depend on; empty where nobody noted it.
        graph: the graph's file, for people to read; '' for the same.
        names: gives the tensors; of a store that is read in one piece, it reads it.
        pieces: gives the rows of a tensor, in the order of the store.
    """

    place: str
    stamp: str
    identities: Mapping[str, Identity]
    graph: str
    names: Callable[[], list[str]]
    pieces: Callable[[str], Iterator[Piece]]


def open_features(place: str) -> Stored:
    """Look at a store of features: a file of `fetch_tensors`' kinds, or a folder of parts.

    Raises:
        InputError: there is none, it is no such store, or not what its record says.
    """
    try:
        if storage.is_uri(place) or Path(place).is_dir():
            return _of_parts(place)
        return _of_file(Path(place))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{storage.shown(place)} cannot be read: {reason}.") from error


def _of_parts(place: str) -> Stored:
    shown = storage.shown(place)
    if not are_parts(place):
        if storage.is_uri(place) and not place.startswith("file:"):
            what = "copy a file of features to this machine, and name it here"
        else:
            what = f"a folder of bottlenecks is named with {argument('bottleneck_dir')}"
        raise InputError(
            f"{shown} is no folder of parts as fetch_many writes it: it has no manifest.json of "
            f"theirs; {what}."
        )
    made = read_parts_made(place)
    counting = {storage.join(place, name) for name in finished_parts(place)}
    digest = hashlib.sha256()
    for uri, size, version in storage.walk(place):  # a listing tells of a thousand at once
        if uri in counting:
            digest.update(json.dumps([uri, size, version]).encode())

    def pieces(tensor: str) -> Iterator[Piece]:
        for images, labels, values in read_parts(place, [tensor]):
            yield Piece(images, labels, values[tensor])

    stamp = digest.hexdigest()
    return Stored(shown, stamp, made.identities, made.graph, lambda: list(made.identities), pieces)


def _of_file(path: Path) -> Stored:
    if not is_features_file(path):
        read_features(path)  # says what it should be
    made = read_made_by(path)
    form = FORMATS.get(path.suffix.lower())
    known = [] if form is None else form.files(path, made.columns if made else [])
    there = [file for file in (path, Path(f"{path}.json"), *known) if file.exists()]
    if not there:
        raise InputError(f"No such file: {path}")
    stamps = [(file.name, *stamp_of(file.stat())) for file in dict.fromkeys(there)]
    stamp = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
    if made is None or form is None or form.texts is None or form.read is None:
        identities, graph = (made.identities, made.graph) if made else ({}, "")
        return Stored(
            str(path),
            stamp,
            identities,
            graph,
            lambda: list(read_features(path).values),
            lambda tensor: _in_one_piece(path, tensor),
        )
    if form.package:
        import_extra(form.package, str(path))
    return Stored(
        str(path),
        stamp,
        made.identities,
        made.graph,
        lambda: [column.name for column in made.columns],
        lambda tensor: _streamed(path, made, tensor),
    )


def _in_one_piece(path: Path, tensor: str) -> Iterator[Piece]:
    found = read_features(path, tensor)
    count = len(found.values[tensor])
    if not found.images:
        raise InputError(
            f"{path} names no images, by whose names training, validation and testing are told "
            "apart: it takes the name of each row, as a column 'images'."
        )
    labels = found.labels or [""] * count
    yield Piece(found.images, labels, found.values[tensor])


def _streamed(path: Path, made: MadeBy, tensor: str) -> Iterator[Piece]:
    form = FORMATS[path.suffix.lower()]
    column = next(column for column in made.columns if column.name == tensor)
    try:
        images = form.texts(path, IMAGES) if form.texts else None
        labels = form.texts(path, LABELS) if form.texts else None
        if images is None:
            raise ValueError("the list of its images is not there")
        labels = labels or Texts(images.number, itertools.repeat(""))
        if labels.number != images.number:
            raise ValueError(f"{labels.number} labels of {images.number} images")
        file = path if len(made.columns) == 1 else _file_of(path, column, made)
        assert form.read is not None  # noqa: S101 - else it is read in one piece
        for [values] in form.read(file, [column], images.number):
            for start in range(0, len(values), TEXTS_AT_ONCE):
                some = values[start : start + TEXTS_AT_ONCE]
                names = list(itertools.islice(images.texts, len(some)))
                yield Piece(names, list(itertools.islice(labels.texts, len(some))), some)
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as features: {reason}.") from error


def _file_of(path: Path, column: Column, made: MadeBy) -> Path:
    """Return the file of one tensor of several: of .npy files each has its own."""
    if path.suffix.lower() != ".npy":
        return path
    return FORMATS[".npy"].files(path, made.columns)[made.columns.index(column)]
