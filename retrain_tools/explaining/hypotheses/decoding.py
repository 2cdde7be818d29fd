"""What was read: by which decoder, turned or not, from the original files or from resized ones."""

from __future__ import annotations

from collections.abc import Iterator

from retrain_tools.explaining.hypotheses.facts import Facts, Move
from retrain_tools.explaining.pipeline import Pipeline

_KEPT_FILTERS = ("pillow_bilinear", "pillow_bicubic", "pillow_lanczos", "pillow_nearest")
_KEPT_SIDE = 256  # what people resize data sets to, beside the network's own size


def decoders(facts: Facts, _: Pipeline) -> Iterator[Move]:
    """JPEG decoders: Pillow gives what TensorFlow's INTEGER_ACCURATE gives."""
    if facts.has_jpeg:
        for name in ("tensorflow", "accurate", "plain_chroma", "accurate_plain_chroma"):
            yield {"decoder": name}


def orientations(facts: Facts, _: Pipeline) -> Iterator[Move]:
    """The EXIF orientation, where an image has one."""
    if facts.is_turned:
        yield from ({"orientation": name} for name in ("ignored", "applied"))


def stored_files(facts: Facts, pipeline: Pipeline) -> Iterator[Move]:
    """Files that were resized, or only saved again, before; with their quality once they help."""
    if pipeline.stored == "original":
        yield {"stored": "resaved"}
        for side in dict.fromkeys((facts.side, _KEPT_SIDE)):
            yield from ({"stored": f"{side}_{method}"} for method in _KEPT_FILTERS)
        return
    yield {"stored": "original"}
    yield from ({"quality": name} for name in ("75", "95", "png", "85", "100", "90"))
    if pipeline.stored != "resaved":
        kept = pipeline.stored.partition("_")[0]
        yield from ({"stored": f"{kept}_{method}"} for method in _KEPT_FILTERS)
        if pipeline.resize != "own":
            yield {"stored": f"{kept}_{pipeline.resize}"}
