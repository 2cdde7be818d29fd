"""The readers that are fuzzed: each gets a path, and may raise InputError and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing import planted, readers_of_features, readers_of_models, readers_of_texts

Read = Callable[[Path], Any]
"""Reads a path as the package's own code does; what it returns tells one outcome from another."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """A reader.

    Attributes:
        name: what it is called here, and the folder of its seeds.
        read: reads a path, and looks at all that comes of it.
        raises: what may leave it, as its docstring says.
    """

    name: str
    read: Read
    raises: tuple[type[BaseException], ...]


def _readers() -> dict[str, Reader]:
    rooms = (readers_of_models, readers_of_features, readers_of_texts)
    found = {name: read for room in rooms for name, read in room.READERS.items()}
    raises = {name: kinds for room in rooms for name, kinds in room.RAISES.items()}
    return {name: Reader(name, read, raises.get(name, ())) for name, read in found.items()}


READERS = _readers()
"""All readers by name."""

PLANTED = {name: Reader(name, read, ()) for name, read in planted.READERS.items()}
"""Readers with known faults, each of which has to be found."""
