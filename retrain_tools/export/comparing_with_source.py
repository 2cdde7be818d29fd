"""Whether an export computes what its source computes: both are run on the same images."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrain_tools.engine.session import EngineError
from retrain_tools.engine.untouched import run_untouched_on_each
from retrain_tools.errors import InputError
from retrain_tools.export.exported import DEFAULTS, ExportOptions
from retrain_tools.features.image_side import ImagePreparation
from retrain_tools.graphdef.feeds import check_fed
from retrain_tools.graphdef.spec import FrozenGraph
from retrain_tools.images.decode import ImageError
from retrain_tools.leftovers import scratch_folder
from retrain_tools.standin.photos import CLASSES, draw_photos
from retrain_tools.text_tables import counted

log = logging.getLogger(__name__)

MOST_IMAGES = 8
"""So many images are compared, if there are so many: as many as make no export wait."""
_DRAWN = 3
_MAGIC = (b"\xff\xd8", b"\x89PNG")  # how JPEG and PNG files begin

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Images, and what the untouched source gives for each.

    Attributes:
        encoded: the images as files have them.
        pixels: float32 [N, h, w, channels], prepared for the pixel input.
        values: float32 [N, ...] of each tensor, by its full name.
        images: what they are, in words.
    """

    encoded: Sequence[bytes]
    pixels: Array
    values: Mapping[str, Array]
    images: str

    @property
    def is_decoded_by_tensorflow(self) -> bool:
        """Whether the decoder of any graph takes the images: all are JPEG or PNG."""
        return all(data.startswith(_MAGIC) for data in self.encoded)


def run_source(
    frozen: FrozenGraph, tensors: Sequence[str], options: ExportOptions = DEFAULTS
) -> Sample:
    """Run the untouched source on images, one at a time.

    Args:
        frozen: the source.
        tensors: full names of what to fetch.
        options: the images, of which the first that can be used are taken; without any, photos are
            drawn, always the same ones.

    Raises:
        InputError: no image can be used, or one that must not fail; or the source needs more than
            images, or cannot be run.
    """
    check_fed(frozen, tensors)
    with scratch_folder() as folder:
        images = options.images or draw_photos(folder, 1, classes=CLASSES[:_DRAWN])
        encoded, pixels = _prepared(frozen, images, options)
    said = counted(len(encoded), "image" if options.images else "drawn photo")
    feeds = [{frozen.spec.pixel_input: one[np.newaxis]} for one in pixels]
    try:
        results = run_untouched_on_each(
            frozen.graph_def, tensors, feeds, str(frozen.path), frozen.allow_unsafe_graph
        )
    except EngineError as error:
        raise InputError(f"{frozen.path} cannot be run: {error}") from error
    columns = zip(*results, strict=True)
    values = {name: np.concatenate(list(c)) for name, c in zip(tensors, columns, strict=True)}
    return Sample(encoded, pixels, values, said)


def _prepared(
    frozen: FrozenGraph, images: Sequence[str | Path], options: ExportOptions
) -> tuple[list[bytes], Array]:
    encoded, rows = list[bytes](), list[Array]()
    with ImagePreparation(frozen, options.running) as side:
        for image in images:
            if len(rows) == MOST_IMAGES:
                break
            try:
                rows.append(side.prepare(image))
            except ImageError as error:
                if options.on_error == "fail":
                    raise InputError(f"{image} {error}") from error
                log.warning("%s %s; it is left out", image, error)
            else:
                encoded.append(Path(image).read_bytes())
    if not rows:
        raise InputError(f"Of {counted(len(images), 'image')} none can be used.")
    return encoded, np.stack(rows)


def difference(own: npt.ArrayLike, source: Array) -> float:
    """Return the largest absolute difference; infinite for other shapes, NaN agrees with NaN."""
    values = np.asarray(own, np.float32)
    if values.size != source.size:
        return float("inf")
    a, b = values.reshape(-1).astype(np.float64), source.reshape(-1).astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    apart = np.abs(a - b)[~same].max(initial=0.0)
    return float(apart) if np.isfinite(apart) else float("inf")
