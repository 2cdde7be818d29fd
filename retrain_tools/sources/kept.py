"""Frozen graphs that take long to make: made when first asked for, and kept in the model folder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import filelock

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.graphdef import note, save
from retrain_tools.sources.readers.graph_def import read_graph_def

log = logging.getLogger(__name__)


def kept_folder(model_dir: str | Path | None) -> Path:
    """Return the folder of what is kept: `frozen/` of the model folder."""
    return catalog.model_folder(model_dir) / "frozen"


def kept_graph(model_dir: str | Path | None, key: str, what: str, make: Callable[[], Any]) -> Any:
    """Return a frozen GraphDef that is made when it is first asked for, and kept.

    Where it cannot be kept, it is made each time, and a warning says so.

    Args:
        model_dir: the model folder; None for the user's cache folder.
        key: of all that it depends on, see `key_of`.
        what: what is frozen, for messages.
        make: makes it.

    Raises:
        InputError: what `make` raises.
    """
    kept = kept_folder(model_dir) / f"{key}.pb"
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(kept.with_suffix(".lock")):
            return _read_or_make(kept, what, make)
    except OSError as error:
        log.warning("%s is frozen again each time: %s", what, error)
        return make()


def _read_or_make(kept: Path, what: str, make: Callable[[], Any]) -> Any:
    if kept.exists():
        try:
            return read_graph_def(kept).proto
        except InputError as error:
            log.warning("%s It is made again.", error)
    graph_def = make()
    save.write_graph(str(kept), graph_def)
    found = note.read_note(graph_def)
    source = found.source if found else what
    name = source if source.startswith(what) else f"{what}: {source}"
    log.info("%s, frozen as %s", name, kept)
    return graph_def


def key_of(said: object, *files: Iterable[Path]) -> str:
    """Return the SHA-256 over what was said, as its `repr`, and the contents of files, in order.

    The code that makes a graph is among the files: what was put right must not leave graphs behind
    that were made wrong.
    """
    digest = hashlib.sha256(repr(said).encode())
    for group in files:
        for path in group:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
