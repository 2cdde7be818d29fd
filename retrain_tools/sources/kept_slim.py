"""Slim networks frozen from their checkpoints: made when first asked for, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_tools.graphdef import image_side, note, resizing
from retrain_tools.slim import freezing
from retrain_tools.sources.checkpoints.checkpoint import Checkpoint
from retrain_tools.sources.contents import Choices, Frozen, ImageSize
from retrain_tools.sources.kept import kept_graph, key_of


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

    def make() -> Any:
        return _freeze(checkpoint, size, choices)

    if not choices.keeps_frozen:
        return Frozen(make(), {}, {})
    key = _key(checkpoint, size, choices)
    return Frozen(kept_graph(model_dir, key, str(checkpoint.prefix), make), {}, {})


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


def _key(checkpoint: Checkpoint, size: ImageSize, choices: Choices) -> str:
    said = (size, choices.architecture, choices.moving_averages, choices.preprocess)
    made_by = [str(module.__file__) for module in (image_side, note, resizing)]
    tables = sorted(Path(freezing.__file__).parent.glob("*.py"))
    return key_of(said, tables, map(Path, made_by), checkpoint.files())
