"""Slim checkpoints as graphs: frozen when first opened, and kept for the next time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import filelock

from retrain_tools import __version__, catalog
from retrain_tools.errors import InputError
from retrain_tools.graphdef.load import read_graph_def
from retrain_tools.graphdef.save import write_graph
from retrain_tools.slim.checkpoint import checkpoint_files
from retrain_tools.slim.freezing import FrozenCheckpoint, freeze_checkpoint

log = logging.getLogger(__name__)


class Side(NamedTuple):
    """What to put in front of a checkpoint's network; None for the usual.

    Attributes:
        preprocess: `resize` (the usual) or `slim`; see `freeze_checkpoint`.
        height, width: of the images, in pixels; the usual is the network's own size.
    """

    preprocess: str | None = None
    height: int | None = None
    width: int | None = None


def open_checkpoint_graph(path: str, model_dir: str | Path | None, side: Side) -> Any:
    """Return the frozen graph of a slim checkpoint, made only once.

    It is kept in `frozen/` of the model folder, under the SHA-256 of the checkpoint's files, of
    `side` and of this version.

    Args:
        path: see `slim.checkpoint.open_checkpoint`.
        model_dir: the model folder; None for the user's cache folder.
        side: what stands before the network.

    Raises:
        InputError: the checkpoint cannot be read, is of an unknown network, or of one that cannot
            take images of that size.
    """
    # A square where one side was given, so that it is the same graph as when both were.
    height, width = side.height, side.width
    side = Side(
        side.preprocess, width if height is None else height, height if width is None else width
    )
    folder = catalog.default_model_dir() if model_dir is None else Path(model_dir).expanduser()
    kept = folder / "frozen" / f"{_fingerprint(checkpoint_files(path), side)}.pb"
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(kept.with_suffix(".lock")):
            return _read_or_freeze(path, side, kept)
    except OSError as error:
        log.warning("%s is frozen again each time: %s", path, error)
        return _freeze(path, side).graph_def


def _read_or_freeze(path: str, side: Side, kept: Path) -> Any:
    if kept.exists():
        try:
            return read_graph_def(kept)
        except InputError as error:
            log.warning("%s It is made again.", error)
    frozen = _freeze(path, side)
    write_graph(str(kept), frozen.graph_def)
    network = frozen.network
    log.info("%s: %s, %d classes; frozen as %s", path, network.name, network.num_classes, kept)
    return frozen.graph_def


def _freeze(path: str, side: Side) -> FrozenCheckpoint:
    size = None if side.height is None or side.width is None else (side.height, side.width)
    return freeze_checkpoint(path, image_size=size, preprocess=side.preprocess or "resize")


def _fingerprint(files: Sequence[Path], side: Side) -> str:
    digest = hashlib.sha256(f"{__version__} {side}".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
