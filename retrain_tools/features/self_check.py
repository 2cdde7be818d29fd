"""Whether a graph's plan gives what the untouched graph gives, seen on one image."""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from retrain_tools.engine.body import Body
from retrain_tools.engine.session import EngineError
from retrain_tools.engine.untouched import Feeds, run_untouched
from retrain_tools.errors import InputError, argument
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.navigate import node_name, nodes_by_name
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError

log = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # of the largest value, or absolute where that is below 1
_SIZE = 240, 320


def check_once(
    frozen: FrozenGraph, fetches: Sequence[str], side: ImagePreparation, body: Body
) -> None:
    """Compare the values of a drawn photo by body and untouched graph, unless that was done before.

    It is remembered with the plan. Where the untouched graph cannot be run, a line says so; the
    same for one that is random, which gives other values every time.

    Raises:
        InputError: they differ.
    """
    if body.known.checked is not None:
        return
    try:
        photo = side.prepare(_photo())[np.newaxis]
        feeds: Feeds = {frozen.spec.pixel_input: photo}
        if _takes_jpeg(frozen):
            feeds = {str(frozen.spec.encoded_input): _photo()}
        ours = body.run(photo)
        untouched = run_untouched(
            frozen.graph_def, fetches, feeds, str(frozen.path), frozen.allow_unsafe_graph
        )
    except (ImageError, EngineError, InputError) as error:
        log.info("%s could not be compared with the untouched graph: %s", frozen.path, error)
        return
    worst = 0.0
    for fetch, own, other in zip(fetches, ours, untouched, strict=True):
        difference = _difference(own[0], other)
        if difference > _TOLERANCE:
            if any(map(np.any, map(np.subtract, body.run(photo), ours))):
                log.warning("%s is random: it gives other values every time", frozen.path)
                return
            raise InputError(_told(frozen, fetch, own[0], other))
        worst = max(worst, difference)
    body.learn(checked=worst)


def _difference(own: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the largest difference, relative to the largest value or 1; NaN agrees with NaN."""
    if own.size != other.size:
        return float("inf")
    a, b = own.reshape(-1).astype(np.float64), other.reshape(-1).astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    apart = np.abs(a - b)[~same]
    largest = np.abs(b[np.isfinite(b)]).max(initial=1.0)
    found = apart.max(initial=0.0) / largest
    return float(found) if np.isfinite(found) else float("inf")


def _told(
    frozen: FrozenGraph, fetch: str, own: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> str:
    start = f"{frozen.path} gives other values than the untouched graph, as this program runs it"
    skip = f"Please report it; {argument('self_check')}=false goes on nevertheless."
    if own.size != other.size:
        return f"{start}: {fetch!r} has {own.size} values instead of {other.size}. {skip}"
    place = int(np.nanargmax(np.abs(own.reshape(-1) - other.reshape(-1))))
    values = [f"{float(value.reshape(-1)[place]):.7g}" for value in (own, other)]
    return f"{start}: value {place} of {fetch!r} is {values[0]} instead of {values[1]}. {skip}"


def _takes_jpeg(frozen: FrozenGraph) -> bool:
    spec = frozen.spec
    if spec.encoded_input is None or spec.decoded is None or spec.is_resized_by_pillow:
        return False
    return bool(nodes_by_name(frozen.graph_def)[node_name(spec.decoded)].op == "DecodeJpeg")


@functools.cache
def _photo() -> bytes:
    """Draw a photo: light from one side, waves of all colours, and noise; the same every time."""
    rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]].astype(np.float64)
    waves = [np.sin(rows / (7 + 5 * c) + columns / (23 - 4 * c)) for c in range(3)]
    light = 90 + 0.3 * columns + 0.2 * rows
    noise = np.random.default_rng(0).normal(0, 12, (*_SIZE, 3))
    pixels = light[:, :, np.newaxis] + 40 * np.stack(waves, axis=-1) + noise
    data = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=90)
    return data.getvalue()
