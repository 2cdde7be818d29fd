"""Reads features that `fetch_many` wrote in parts: one at a time, those that are finished."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools import storage
from retrain_tools.errors import InputError, did_you_mean
from retrain_tools.extras import import_extra
from retrain_tools.features.cache import Identity
from retrain_tools.features.parts.layout import MANIFEST, sha256
from retrain_tools.features.parts.tables import read_part
from retrain_tools.features.stores.table import DAMAGE

log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

_PART = re.compile(r"part-(\d{5,})\.parquet")
_FORMAT = 1  # of the manifest and of PART.json


class PartsMade(NamedTuple):
    """How the parts of a folder were made.

    Attributes:
        graph: the graph's file, for people to read.
        identities: what each tensor's values depend on, by its name in the parts.
        shards: how many parts there are once all are finished; None while that is not known.
    """

    graph: str
    identities: dict[str, Identity]
    shards: int | None


def are_parts(folder: str) -> bool:
    """Whether a place is a folder of parts, as its manifest tells; bottlenecks have another.

    Raises:
        InputError, OSError: it cannot be told, see `storage.read`.
    """
    try:
        told = json.loads(storage.read(storage.join(folder, MANIFEST)))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(told, dict) and "tensors" in told


def read_parts_made(folder: str) -> PartsMade:
    """Read the manifest of parts.

    Raises:
        InputError: it is none of this version, or cannot be read.
    """
    place = storage.join(folder, MANIFEST)
    try:
        told = json.loads(storage.read(place))
        if told["format"] != _FORMAT:
            raise ValueError
        identities = {name: Identity(**one) for name, one in told["tensors"].items()}
        shards = told["list"]["shards"] if told["list"] else None
        return PartsMade(str(told["graph"]), identities, shards)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{storage.shown(place)} cannot be read: {reason}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{storage.shown(place)} is no manifest of features in parts of this version."
        raise InputError(message) from error


def finished_parts(folder: str) -> list[str]:
    """Return the names of the files of parts that count: those with their record beside them."""
    names = storage.list_names(folder)
    records = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    parts = [name for name in names if _PART.fullmatch(name)]
    finished = [name for name in parts if name.removesuffix(".parquet") in records]
    return sorted(finished, key=lambda name: int(name[5:-8]))  # what is behind 99999 is longer


def read_parts(
    folder: str | Path, tensors: Sequence[str] | None = None
) -> Iterator[tuple[list[str], list[str], dict[str, Array]]]:
    """Yield the rows of parts, a part at a time: images, labels, and the values of each tensor.

    Args:
        folder: the output of `fetch_many`, a local folder or a URI.
        tensors: which to read, by their names; None for all.

    Yields:
        The image of each row, as the list names it; its label, '' without one; float32 [n, ...].

    Raises:
        InputError: it is no folder of parts, has no finished part or no such tensor; or a part is
            damaged or cannot be read.
    """
    place = str(folder)
    import_extra("pyarrow.parquet", storage.shown(place))
    made = read_parts_made(place)
    for name in tensors or []:
        if name not in made.identities:
            hint = did_you_mean(name, made.identities)
            hint = hint or f" There is {', '.join(made.identities)}."
            raise InputError(f"No column {name!r} in {storage.shown(place)}.{hint}")
    parts = finished_parts(place)
    if not parts:
        raise InputError(f"{storage.shown(place)} has no finished part yet.")
    if made.shards != len(parts):
        of = "" if made.shards is None else f"of {made.shards:,} "
        log.warning("%s: %s parts %sare finished, and taken: the job has not ended",
                    storage.shown(place), f"{len(parts):,}", of)  # fmt: skip
    for part in parts:
        yield _read_part(storage.join(place, part), list(tensors or made.identities))


def _read_part(place: str, tensors: list[str]) -> tuple[list[str], list[str], dict[str, Array]]:
    try:
        record = json.loads(storage.read(f"{place.removesuffix('.parquet')}.json"))
        data = storage.read(place)
        if sha256(data) != record["sha256"]:
            raise ValueError("not what was written: its checksum is another")
        table = read_part(data, tensors)
        values = dict(zip(tensors, table.values, strict=True))
        return list(table.images), list(table.labels), values
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        message = f"{storage.shown(place)} cannot be read as a part of features: {reason}."
        raise InputError(message) from error
