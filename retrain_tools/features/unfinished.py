"""OUTPUT.part, the folder in which a run keeps what it has fetched until the output is written."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import filelock

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.features.rows import RowFiles
from retrain_tools.features.stores import Column

log = logging.getLogger(__name__)

# In the folder of an unfinished run: how its rows were made; and a sign that all are there, and the
# output and its record are being written.
_MADE_BY = "identity.json"
_WRITING = "writing"


def folder_of(output: str | Path) -> Path:
    """Return the folder of the unfinished run of an output, whether there is one or not."""
    return Path(f"{output}.part")


@contextlib.contextmanager
def hold(output: Path) -> Iterator[Path]:
    """Hold the folder of the unfinished run, made if need be; it goes when it holds nothing."""
    part = folder_of(output)
    while True:
        lock = filelock.FileLock(part / "lock")
        try:
            with files.naming(part):
                part.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire(timeout=0)
                except filelock.Timeout:
                    log.info("waiting for another run that writes %s", output)
                    lock.acquire()
            break
        except FileNotFoundError:
            continue  # that run has finished, and taken its folder away
    try:
        yield part
    finally:
        if not (part / _MADE_BY).exists():
            with contextlib.suppress(OSError):  # where another run comes in between
                (part / "lock").unlink()
                part.rmdir()
        lock.release()


def was_writing(part: Path, identities: Mapping[str, Identity]) -> bool:
    """Whether a run of these tensors was stopped while it wrote its output."""
    return (part / _WRITING).exists() and _made_by(part) == _as_text(identities)


def mark_writing(part: Path) -> None:
    """Say that all rows are there, and that the output is written from now on."""
    (part / _WRITING).touch()


def leave(part: Path, rows: RowFiles) -> None:
    """Close the rows; where there are none, nothing is worth keeping."""
    rows.close()
    if not len(rows):
        rows.delete()
        empty(part)


def empty(part: Path) -> None:
    """Remove what the folder of a run holds, last what says that the run had come to its end."""
    for path in sorted(part.iterdir(), key=lambda path: path.name in (_WRITING, _MADE_BY)):
        if path.name != "lock":
            path.unlink()


def _as_text(identities: Mapping[str, Identity]) -> str:
    return json.dumps({name: dataclasses.asdict(i) for name, i in identities.items()}, indent=1)


def _made_by(part: Path) -> str | None:
    path = part / _MADE_BY
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def open_rows(
    part: Path, identities: Mapping[str, Identity], columns: Sequence[Column]
) -> RowFiles:
    """Open the rows of an unfinished run; those of a run with other tensors cannot be used."""
    text = _as_text(identities)
    if _made_by(part) not in (None, text):
        raise InputError(
            f"{part} holds what an unfinished run has fetched with other tensors, another graph or "
            "other settings. Finish that run, remove the folder, or choose another "
            f"{argument('output')}."
        )
    files.write_text(part / _MADE_BY, text)
    return RowFiles(part, [column.shape for column in columns])
