"""Readers of the rest: the catalogue, labels, kept plans, a training to go on with, images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.readers_of_features import IDENTITY
from retrain_tools.catalog_entry import read_checkpoint_entry, read_entry
from retrain_tools.engine import kept_plans
from retrain_tools.errors import InputError
from retrain_tools.graphdef import schema
from retrain_tools.head import checkpoints
from retrain_tools.head.labels import read_labels
from retrain_tools.images.decode import Decoder, ImageError, decode_with_pillow, read_image
from retrain_tools.images.folders import read_image_list

DEPENDS_ON = {"graph": IDENTITY.fingerprint, "learning_rate": 0.01}
"""What the seed of a training checkpoint depends on."""

_MOST_PIXELS = 4_000_000


def _entry(path: Path) -> Any:
    said = []
    for read in (read_entry, read_checkpoint_entry):
        try:
            said.append(str(read(path)))
        except InputError as error:
            said.append(str(error))
    return said


def _labels(path: Path) -> Any:
    return read_labels(path, 5)


def _plan(path: Path) -> Any:
    """Read a kept plan; one that is damaged is made again."""
    light, weights = kept_plans._read_or_make(path, lambda: (schema.GraphDef(), {}))
    known = kept_plans._read_known(path.with_suffix(".json"))
    return [len(light.node), len(weights), known]


def _training(path: Path) -> Any:
    found = checkpoints._read(path, DEPENDS_ON)
    return [found.part, found.steps, sorted(found.arrays)]


def _image(path: Path) -> Any:
    image = read_image(path, _MOST_PIXELS)
    if not isinstance(image, tuple):
        return "pixels"
    if image.form.decoder is Decoder.PILLOW:
        return decode_with_pillow(image.data).shape
    return image.form.name


READERS: dict[str, Callable[[Path], Any]] = {
    "catalogue": _entry,
    "label_map": _labels,
    "labels": _labels,
    "image_list": read_image_list,
    "plan": _plan,
    "training_checkpoint": _training,
    "image": _image,
}

RAISES: dict[str, tuple[type[BaseException], ...]] = {"image": (ImageError,)}
