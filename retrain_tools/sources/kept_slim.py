"""Slim networks frozen from their checkpoints: made when first asked for, and kept."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import filelock

from retrain_tools import catalog
from retrain_tools.errors import InputError
from retrain_tools.graphdef import image_side, note, save
from retrain_tools.slim import freezing
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.contents import Choices, Frozen, ImageSize
from retrain_tools.sources.readers.graph_def import read_graph_def

log = logging.getLogger(__name__)


def frozen_network(
    checkpoint: Checkpoint, size: ImageSize, choices: Choices, model_dir: str | Path | None
) -> Frozen:
    """Return the frozen graph of a slim checkpoint.

    It is kept in `frozen/` of the model folder, under the SHA-256 of the checkpoint's files, of
    all that was chosen, and of the code that describes the networks and freezes them.

    Args:
        checkpoint: one that `recognise` knows.
        size: (height, width) of the images in pixels; None for the network's own.
        choices: what stands before the network, and which variables are read.
        model_dir: the model folder; None for the user's cache folder.

    Raises:
        InputError: see `freeze_network`.
    """
    if not choices.keeps_frozen:
        return Frozen(_freeze(checkpoint, size, choices), {}, {})
    kept = (
        catalog.model_folder(model_dir) / "frozen" / f"{_fingerprint(checkpoint, size, choices)}.pb"
    )
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(kept.with_suffix(".lock")):
            return Frozen(_read_or_freeze(checkpoint, size, choices, kept), {}, {})
    except OSError as error:
        log.warning("%s is frozen again each time: %s", checkpoint.prefix, error)
        return Frozen(_freeze(checkpoint, size, choices), {}, {})


def _read_or_freeze(checkpoint: Checkpoint, size: ImageSize, choices: Choices, kept: Path) -> Any:
    if kept.exists():
        try:
            return read_graph_def(kept).proto
        except InputError as error:
            log.warning("%s It is made again.", error)
    graph_def = _freeze(checkpoint, size, choices)
    save.write_graph(str(kept), graph_def)
    found = note.read_note(graph_def)
    log.info("%s: %s, frozen as %s", checkpoint.prefix, found and found.source, kept)
    return graph_def


def _freeze(checkpoint: Checkpoint, size: ImageSize, choices: Choices) -> Any:
    return freezing.freeze_network(
        checkpoint.shapes,
        checkpoint.read,
        str(checkpoint.prefix),
        architecture=choices.architecture,
        moving_averages=choices.moving_averages,
        image_size=None if size[0] is None or size[1] is None else (size[0], size[1]),
        preprocess=choices.preprocess or "resize",
    )


def _fingerprint(checkpoint: Checkpoint, size: ImageSize, choices: Choices) -> str:
    said = (size, choices.architecture, choices.moving_averages, choices.preprocess)
    digest = hashlib.sha256(f"{said}".encode())
    # A table that was put right must not leave graphs behind that were made from the wrong one.
    slim = Path(freezing.__file__).parent
    made_by = [str(module.__file__) for module in (image_side, note)]
    code = [*sorted(slim.glob("*.py")), *map(Path, made_by)]
    for path in (*code, *checkpoint.files()):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
