"""The statistics of a reference set, written for whoever compares with it next."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrain_tools import __version__
from retrain_tools.errors import InputError, argument
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.images.decode import ImageError
from retrain_tools.metrics.image_sets import Fetching, ImageSet
from retrain_tools.metrics.network import FEATURES, SPATIAL, Network
from retrain_tools.metrics.scoring import Measured
from retrain_tools.metrics.statistics_files import Pixels, write_statistics

log = logging.getLogger(__name__)


def save_reference(
    path: str | Path, measured: Measured, network: Network | None, fetching: Fetching, images: int
) -> None:
    """Write the statistics of the reference, and some of its images beside them.

    Args:
        path: the `.npz` to write.
        measured: the sets.
        network: what the reference was run through, if it was.
        fetching: how.
        images: how many images are written, spread evenly over all, as the graph decodes them.

    Raises:
        InputError: there are no features, or images are asked for and are not of one size.
    """
    one = measured.reference
    there = [name for name in (FEATURES, SPATIAL) if name in one.rows or name in one.moments]
    if FEATURES not in there:
        raise InputError(f"{one.name} has no features to make statistics of.")
    note: dict[str, Any] = {
        "retrain_tools": __version__,
        "of": one.name,
        "images": one.count,
        "kinds": dict(one.facts.kinds),
    }
    if one.is_run and network is not None:
        note |= {"graph": str(network.frozen.path), "fingerprint": network.fingerprint}
        note |= {"resize": network.resize, "precision": fetching.running.computed_in}
    moments = {name: measured.moments(0, name) for name in there}
    with _pixels(one, network, images) as pixels:
        write_statistics(path, moments, note, pixels)
    log.info("statistics of %s: %s", one.name, path)


@contextlib.contextmanager
def _pixels(one: ImageSet, network: Network | None, count: int) -> Iterator[Pixels | None]:
    if not count:
        yield None
        return
    size = one.facts.size
    if network is None or not one.is_run or size is None:
        found = one.facts.size_words() or "no images"
        raise InputError(
            f"{argument('statistics_images')} takes a reference of images that have one size; "
            f"{one.name} has {found}."
        )
    chosen = np.linspace(0, len(one.images) - 1, min(count, len(one.images))).astype(int)
    with ImagePreparation(network.frozen) as side:

        def decoded() -> Iterator[npt.NDArray[np.uint8]]:
            for row in chosen.tolist():
                try:
                    yield side.decode(one.images[row])
                except ImageError as error:
                    raise InputError(f"{one.images[row]} {error}.") from error

        yield Pixels((len(chosen), *size, 3), decoded())
