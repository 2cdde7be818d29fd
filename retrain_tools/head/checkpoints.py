"""Checkpoints of a training: a file that a stopped one goes on from, to the same bits.

One NumPy archive holds the arrays as they are, and a record in JSON of the random numbers, the
curves and what the training depends on. No part of it is a pickle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools import files
from retrain_tools.errors import InputError, argument
from retrain_tools.features.cache import Identity
from retrain_tools.head.dataset import Dataset
from retrain_tools.head.settings import RetrainSettings
from retrain_tools.images.splits import SPLITS
from retrain_tools.numpy_files import read_arrays

log = logging.getLogger(__name__)

HEAD, LAYERS = "head", "layers"
"""The parts of a training: of the head alone, and of layers with it."""

_FORMAT, _RECORD = 1, "record"
_BOTTLENECKS = "bottlenecks"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A training after a step.

    Attributes:
        part: `HEAD` or `LAYERS`.
        steps: how many of the part's steps are done.
        random: the state of the random numbers' generator.
        curves: what was told of all steps, as metrics.json has it.
        arrays: the values of what is trained, by name.
    """

    part: str
    steps: int
    random: Mapping[str, Any]
    curves: dict[str, Any]
    arrays: Mapping[str, npt.NDArray[np.float32]]


class Checkpoints:
    """The checkpoint file of one training.

    Attributes:
        found: what is gone on from; None to begin with the first step.
    """

    def __init__(self, settings: RetrainSettings, depends_on: Mapping[str, Any]) -> None:
        """Read the file if the training is to go on from it; `depends_on` is of `dependencies`.

        Raises:
            InputError: it is damaged, or of another training.
        """
        self._path, self._minutes = Path(settings.checkpoint), settings.checkpoint_minutes
        self._depends_on, self._last = dict(depends_on), time.monotonic()
        self.found: Checkpoint | None = None
        is_there = self._path.exists()
        if settings.resume and is_there:
            self.found = _read(self._path, self._depends_on)
            part = "fine-tuning" if self.found.part == LAYERS else "training"
            log.info("%s goes on from %s, after step %d", part, self._path, self.found.steps - 1)
        elif settings.resume:
            log.info("no checkpoint %s: training begins with its first step", self._path)
        elif is_there:
            log.warning(
                "%s is of a training that was stopped; this one begins anew (resume goes on)",
                self._path,
            )

    @property
    def is_due(self) -> bool:
        """Whether it is time to write one."""
        return 0 < self._minutes * 60 <= time.monotonic() - self._last

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint in the place of the last one."""
        record = dataclasses.asdict(dataclasses.replace(checkpoint, arrays={}))
        record |= {"format": _FORMAT, "depends_on": self._depends_on}
        stored: dict[str, Any] = {_RECORD: np.frombuffer(json.dumps(record).encode(), np.uint8)}
        stored |= checkpoint.arrays
        with files.replacing(self._path) as file:
            np.savez(file, **stored)
        log.debug("checkpoint after step %d: %s", checkpoint.steps - 1, self._path)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the training is done."""
        self._path.unlink(missing_ok=True)


def dependencies(
    settings: RetrainSettings, dataset: Dataset, identity: Identity | None
) -> dict[str, Any]:
    """Return all that the bits of a training depend on, by the names of arguments."""
    digest = hashlib.sha256(json.dumps(dataset.labels).encode())
    for name in SPLITS:
        for rows in dataset.rows[name]:
            if dataset.digest is None:
                digest.update(json.dumps([dataset.images[row].relative for row in rows]).encode())
                digest.update(np.ascontiguousarray(dataset.vectors[rows]).data)
            else:
                digest.update(f"{dataset.digest} {len(rows)}".encode())
                digest.update(np.ascontiguousarray(rows).data)
    tuned = settings.fine_tuning
    return {
        **dataclasses.asdict(settings.training),
        **dataclasses.asdict(settings.distortions),
        "fine_tune_from": None,
        **({} if tuned is None else dataclasses.asdict(tuned)),
        "pooling": settings.cache.pooling,
        "graph": None if identity is None else identity.fingerprint,
        _BOTTLENECKS: digest.hexdigest(),
    }


def _check(found: Checkpoint) -> None:
    """Raise an exception of `_DAMAGE` if something is not what training goes on from."""
    np.random.default_rng(0).bit_generator.state = found.random
    weights, biases = found.arrays["weights"], found.arrays["biases"]
    told = [found.curves, *([found.curves["fine_tuning"]] if found.part == LAYERS else [])]
    lists = [part for one in told for part in (*one["steps"].values(), one["evaluations"])]
    if not (
        found.part in (HEAD, LAYERS)
        and type(found.steps) is int
        and found.steps >= 0
        and all({"accuracy", "cross_entropy"} <= one["steps"].keys() for one in told)
        and all(isinstance(one, list) for one in lists)
        and weights.dtype == biases.dtype == np.float32
        and weights.shape[1:] == biases.shape
    ):
        raise ValueError("it lacks what a training goes on from")


def _read(path: Path, depends_on: Mapping[str, Any]) -> Checkpoint:
    try:
        arrays = read_arrays(path)
        record = files.json_of(arrays.pop(_RECORD).tobytes())
        if record.pop("format") != _FORMAT:
            raise ValueError("another format")
        before = dict(record.pop("depends_on"))
        found = Checkpoint(**(record | {"arrays": arrays}))
        _check(found)
    except _DAMAGE as error:
        raise InputError(
            f"{path} cannot be read as a checkpoint of a training; remove it, or begin anew "
            f"without {argument('resume')}."
        ) from error
    names = [name for name in depends_on if before.get(name) != depends_on[name]]
    if names:
        if names[0] in (_BOTTLENECKS, "graph"):
            difference = f"the {names[0]} it was begun with were others"
        else:
            was, now = before.get(names[0]), depends_on[names[0]]
            difference = f"{argument(names[0])} was {was} and is {now}"
        raise InputError(
            f"{path} is of another training: {difference}. Go on with what it was begun with, or "
            f"begin anew without {argument('resume')}."
        )
    return found
