"""Slim checkpoints as graphs: frozen when first opened, and kept for the next time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock

from retrain_tools import __version__, catalog
from retrain_tools.errors import InputError
from retrain_tools.graphdef.load import read_graph_def
from retrain_tools.graphdef.save import write_graph
from retrain_tools.slim.checkpoint import checkpoint_files
from retrain_tools.slim.freezing import freeze_checkpoint

log = logging.getLogger(__name__)


def open_checkpoint_graph(path: str, model_dir: str | Path | None, preprocess: str) -> Any:
    """Return the frozen graph of a slim checkpoint, made only once.

    It is kept in `frozen/` of the model folder, under the SHA-256 of the checkpoint's files, of
    `preprocess` and of this version.

    Args:
        path: see `slim.checkpoint.open_checkpoint`.
        model_dir: the model folder; None for the user's cache folder.
        preprocess: see `freeze_checkpoint`.

    Raises:
        InputError: the checkpoint cannot be read or is of an unknown network.
    """
    folder = catalog.default_model_dir() if model_dir is None else Path(model_dir).expanduser()
    digest = _fingerprint(checkpoint_files(path), preprocess)
    kept = folder / "frozen" / f"{digest}.pb"
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(kept.with_suffix(".lock")):
            return _read_or_freeze(path, preprocess, kept)
    except OSError as error:
        log.warning("%s is not kept for the next time: %s", path, error)
        return freeze_checkpoint(path, preprocess=preprocess).graph_def


def _read_or_freeze(path: str, preprocess: str, kept: Path) -> Any:
    if kept.exists():
        try:
            return read_graph_def(kept)
        except InputError as error:
            log.warning("%s It is made again.", error)
    frozen = freeze_checkpoint(path, preprocess=preprocess)
    write_graph(str(kept), frozen.graph_def)
    network = frozen.network
    log.info("%s: %s, %d classes; frozen as %s", path, network.name, network.num_classes, kept)
    return frozen.graph_def


def _fingerprint(files: Sequence[Path], preprocess: str) -> str:
    digest = hashlib.sha256(f"{__version__} {preprocess}".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
