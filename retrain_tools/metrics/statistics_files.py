"""Files of statistics: `mu` and `sigma`, as TTUR, pytorch-fid, clean-fid and ADM have them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrain_tools import files
from retrain_tools.array_files import DAMAGE
from retrain_tools.errors import InputError
from retrain_tools.images.batches import ARRAY
from retrain_tools.metrics.moments import Moments
from retrain_tools.metrics.network import FEATURES, SPATIAL

NAMES = {FEATURES: ("mu", "sigma"), SPATIAL: ("mu_s", "sigma_s")}
"""The arrays of each tensor's statistics; the second pair is ADM's alone."""

_NOTE = "retrain_tools"
_ROUNDING = 1e-6
# What clean-fid calls its files of statistics, by their mode and by the network.
_CLEAN_FID = {
    "_legacy_pytorch": "images resized by PyTorch, with half-pixel centres",
    "_clean": "images resized by Pillow, bicubic and averaged where they shrink",
    "_clip_": "the features of CLIP, another network",
}


class Statistics(NamedTuple):
    """What a file holds.

    Attributes:
        moments: by FEATURES and SPATIAL, those that are there.
        note: what retrain_tools wrote beside them, of how they were made; empty in others' files.
    """

    moments: Mapping[str, Moments]
    note: Mapping[str, Any]


class Pixels(NamedTuple):
    """Images to be written: uint8, one after the other, and the shape of all, [N, H, W, 3]."""

    shape: tuple[int, ...]
    images: Iterable[npt.NDArray[np.uint8]]


def read_statistics(path: Path) -> Statistics:
    """Read a file of statistics.

    Raises:
        InputError: it is damaged, or an array has not the shape, the numbers or the symmetry that
            statistics have.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts = {
                tensor: [np.asarray(arrays[name], np.float64) for name in names]
                for tensor, names in NAMES.items()
                if names[0] in arrays
            }
            note = json.loads(str(arrays[_NOTE])) if _NOTE in arrays else {}
    except DAMAGE as error:
        raise InputError(f"{path} cannot be read as statistics: {error}.") from error
    counts = note.get("images") if isinstance(note, dict) else None
    count = counts if isinstance(counts, int) else None
    found = {}
    for tensor, (mean, covariance) in parts.items():
        _check(path, NAMES[tensor], mean, covariance)
        found[tensor] = Moments(mean, covariance, count)
    return Statistics(found, note if isinstance(note, dict) else {})


def _check(
    path: Path,
    names: tuple[str, str],
    mean: npt.NDArray[np.float64],
    covariance: npt.NDArray[np.float64],
) -> None:
    mu, sigma = names
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise InputError(
            f"{path} holds no statistics: {mu!r} is {list(mean.shape)} and {sigma!r} "
            f"{list(covariance.shape)}, which have to be [depth] and [depth, depth]."
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InputError(f"{path} holds statistics that are not finite numbers.")
    largest = float(np.abs(covariance).max(initial=0))
    if np.abs(covariance - covariance.T).max(initial=0) > _ROUNDING * largest:
        raise InputError(f"{path} is damaged: {sigma!r} is not symmetric, and so no covariance.")
    if np.diagonal(covariance).min(initial=0) < -_ROUNDING * largest:
        raise InputError(f"{path} is damaged: {sigma!r} has variances below 0.")


def doubts_about(path: Path, statistics: Statistics, fingerprint: str | None) -> list[str]:
    """Return what can be seen of statistics that were made in another way, in sentences.

    Args:
        path: their file.
        statistics: what it holds.
        fingerprint: of the features that the other set has; None where nobody knows.
    """
    doubts = []
    theirs = statistics.note.get("fingerprint")
    if theirs and fingerprint and theirs != fingerprint:
        doubts.append(
            f"{path} was made by another graph ({theirs[:12]}…, not {fingerprint[:12]}…): the "
            "distance is of networks as much as of images."
        )
    name = f"_{path.name.lower()}"
    for part, said in _CLEAN_FID.items():
        if part in name and not theirs:
            doubts.append(
                f"{path} has the name of clean-fid's statistics of {said}: not what the graph does."
            )
            break
    features = statistics.moments.get(FEATURES)
    if features is not None and features.mean.min() < -_ROUNDING:
        doubts.append(
            f"{path} has features with a mean below 0 ({features.mean.min():.3g}): pool_3 of "
            "inception-2015-12-05 has none, so it is of another network."
        )
    return doubts


def write_statistics(
    path: str | Path,
    moments: Mapping[str, Moments],
    note: Mapping[str, Any],
    pixels: Pixels | None = None,
) -> None:
    """Write statistics that TTUR, pytorch-fid, clean-fid and the ADM evaluator read.

    Args:
        path: the `.npz` to write.
        moments: by FEATURES and SPATIAL.
        note: how they were made, kept as JSON in an array that the others leave alone.
        pixels: images to put beside them.
    """
    arrays: dict[str, Any] = {}
    for tensor, names in NAMES.items():
        if tensor in moments:
            known = moments[tensor]
            arrays |= dict(zip(names, (known.mean, known.covariance), strict=True))
    arrays[_NOTE] = np.array(json.dumps(note))
    with files.replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        if pixels is not None:
            with archive.open(f"{ARRAY}.npy", "w", force_zip64=True) as member:
                header = {"descr": "|u1", "fortran_order": False, "shape": pixels.shape}
                np.lib.format.write_array_header_1_0(member, header)
                for image in pixels.images:
                    member.write(image.tobytes())
